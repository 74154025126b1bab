"""What a hub costs: CPU and memory against products, rate and clients; and beside a naive hub, in turns."""

from __future__ import annotations

import tempfile
import time

from benchmarks.common import (
    LOAD_CORE,
    SERVER_CORE,
    SUFFICIENT,
    Process,
    Result,
    free_port,
    median_of,
    module,
    say,
    start_exchange,
    start_hub,
    table,
    wait_until_full,
)

PRODUCTS, RATE, CLIENTS = 326, 1_500, 10
LOADS = (  # products, ticks a second, clients
    (PRODUCTS, RATE, CLIENTS), (1_000, RATE, CLIENTS), (3_000, RATE, CLIENTS),
    (PRODUCTS, 5_000, CLIENTS), (PRODUCTS, 10_000, CLIENTS), (PRODUCTS, 20_000, CLIENTS),
    (PRODUCTS, 40_000, CLIENTS),
    (PRODUCTS, RATE, 100), (PRODUCTS, RATE, 1_000),
)  # fmt: skip
WARM_UP_SECONDS = 3.0
BEHIND_SECONDS = 0.5  # after the last tick was sent: whoever takes longer to deliver it is not keeping up
RATE_PART = 0.98  # of the rate that was asked for: an exchange that sends less is itself the limit
TEXT = """## What a hub costs

The hub as its users run it, on a core of its own, with a heartbeat a product and second besides; its clients take all
that they are sent. *Behind*: how long after the exchange's last tick the last client had it.

{loads}
Beside it `benchmarks/naive_hub.py`: the same job as one would write it in an afternoon (one connection, one loop, plain
`emit`; no checks, no watchdog, no limits). {products} products at {rate:,} ticks/s, in turns, medians of the rounds.

{compared}
The hub does more ({connections} connections, exact values, trade ids in order, proofs, volume windows).
"""


def measure(side: str, products: int, rate: int, clients: int, seconds: float) -> dict[str, float]:
    """Run one side under a load."""
    with tempfile.TemporaryDirectory() as state, start_exchange(products) as exchange:
        urls, port = exchange.answer(), free_port()
        if side == "naive":
            server = Process(module("benchmarks.naive_hub", urls["ws_url"], urls["rest_url"], port), SERVER_CORE)
        else:
            server = start_hub(urls["ws_url"], urls["rest_url"], state, port)
        with server:
            wait_until_full(port, products)
            with Process(module("benchmarks.clients", port, clients, "ticks"), LOAD_CORE) as crowd:
                crowd.answer()
                crowd.ask(f"expect {products}")  # the snapshot
                for length in (WARM_UP_SECONDS, seconds):
                    before = exchange.ask("sent")["ticks"]
                    if length == seconds:
                        server.profile(f"cost_{side}_{products}_{rate}_{clients}.txt", seconds)
                    cpu, began = server.cpu_seconds(), time.monotonic()
                    exchange.ask(f"rate {rate}")
                    time.sleep(length)
                    stopped = exchange.ask("stop")["now"]
                    used, took = server.cpu_seconds() - cpu, time.monotonic() - began
                    sent = exchange.ask("sent")["ticks"] - before
                    seen = crowd.ask(f"expect {sent}")
                memory = server.resident_mb()
    got = sum(int(ticks) * count for ticks, count in seen["ticks"].items()) / clients
    return {
        "cores": used / took, "mb": memory, "sent": sent / took, "got": got / took,
        "behind": max(0.0, seen["last"] - stopped),
    }  # fmt: skip


def _verdict(rate: int, found: dict[str, float]) -> str:
    if found["sent"] < rate * RATE_PART:
        return "the exchange's process is the limit"
    if found["behind"] > BEHIND_SECONDS or found["cores"] > SUFFICIENT:
        return "the hub is at its limit"
    return ""


def run(quick: bool = False) -> Result:
    """Measure the hub under each load, then beside the naive hub."""
    rows = []
    for products, rate, clients in LOADS[:1] if quick else LOADS:
        found = measure("hub", products, rate, clients, 2.0 if quick else 8.0)
        say(f"{products} products  {rate} ticks/s  {clients} clients  " + _figures(found))
        rows.append((
            f"{products:,}", f"{rate:,}", f"{clients:,}", f"{found['cores']:.3f}", f"{found['mb']:.0f}",
            f"{found['got']:,.0f}", f"{found['behind']:.2f}", _verdict(rate, found),
        ))  # fmt: skip
    figures = ("CPU (cores)", "memory (MB)", "ticks a client and second")
    loads = table(("products", "ticks/s", "clients", *figures, "behind (s)", ""), rows)
    rows, seconds, rounds = [], *((2.0, 1) if quick else (8.0, 3))
    for clients in (10,) if quick else (1, 10):
        taken: dict[str, list[dict[str, float]]] = {"hub": [], "naive": []}
        for _ in range(rounds):
            for side, found_so_far in taken.items():
                found_so_far.append(measure(side, PRODUCTS, RATE, clients, seconds))
                say(f"{side:6} {clients:3} clients  " + _figures(found_so_far[-1]))
        hub, naive = (median_of(all_of_it) for all_of_it in taken.values())
        for name, found in (("Price Hub", hub), ("naive hub", naive)):
            rows.append((clients, name, f"{found['cores']:.3f}", f"{found['mb']:.1f}", f"{found['got']:,.0f}"))
        ratios = (f"**{hub[key] / naive[key]:.2f}**" for key in ("cores", "mb"))
        rows.append((clients, "**ratio**", *ratios, ""))
    compared = table(("clients", "", *figures), rows)
    return Result(
        TEXT.format(
            loads=loads, compared=compared, products=PRODUCTS, rate=RATE, connections=-(-PRODUCTS // 15)
        ),
        [],
    )  # fmt: skip


def _figures(found: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:,.3f}" for name, value in found.items())
