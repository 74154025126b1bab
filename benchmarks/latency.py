"""Latency: from the exchange's time of a trade to the moment when a client has read it, and whether all are there."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from benchmarks.common import (
    LOAD_CORE,
    Goal,
    Process,
    Result,
    free_port,
    module,
    say,
    start_exchange,
    start_hub,
    table,
    wait_until_full,
)

PRODUCTS = 326
SAMPLED = 20
WARM_UP_SECONDS = 3.0
LOADS = ((100, 1_500), (1_000, 1_500), (400, 3_000))  # clients, ticks a second
GOALS = {(100, 1_500): {"p50": 5.0, "p99": 20.0}, (1_000, 1_500): {"p99": 100.0}, (400, 3_000): {}}
# The crowd shares its core with those that are sampled, and must not hide when they read. Where others work beside, it
# then gets too little of that core, falls behind, and loses ticks by its own fault: see its core's share.
NICE = 10
TEXT = """## Latency: exchange to client

{products} products; each tick is stamped and written by the exchange's process at its own moment, goes through the
hub's feed, and is timed where {sampled} of the clients have read it (one machine, one clock). They joined last, and so
are written to last. The hub has a core of its own; the exchange and all clients share the other. *Lost*: ticks that any
client did not get, by count at every client and by trade ids without a hole at the sampled ones.

{table}"""


def measure(clients: int, rate: int, seconds: float, warm_up_seconds: float = WARM_UP_SECONDS) -> dict[str, Any]:
    """Run a hub with so many clients at such a rate."""
    sampled = min(SAMPLED, clients // 2)
    with tempfile.TemporaryDirectory() as state, start_exchange(PRODUCTS) as exchange:
        urls, port = exchange.answer(), free_port()
        with start_hub(urls["ws_url"], urls["rest_url"], state, port) as hub:
            wait_until_full(port, PRODUCTS)
            crowd = module("benchmarks.clients", port, clients - sampled, "ticks")
            sample = module("benchmarks.clients", port, sampled, "sample")
            with Process(crowd, LOAD_CORE, nice=NICE) as drain, Process(sample, LOAD_CORE) as sampler:
                for process in (drain, sampler):
                    process.answer()
                    process.ask(f"expect {PRODUCTS}")  # the snapshot
                for length in (warm_up_seconds, seconds):
                    before = exchange.ask("sent")["ticks"]
                    if length == seconds:
                        hub.profile(f"latency_{clients}_{rate}.txt", seconds)
                    cpu, load, began = hub.cpu_seconds(), drain.cpu_seconds(), time.monotonic()
                    exchange.ask(f"rate {rate}")
                    time.sleep(length)
                    exchange.ask("stop")
                    took = time.monotonic() - began
                    used, load = hub.cpu_seconds() - cpu, drain.cpu_seconds() - load
                    sent = exchange.ask("sent")["ticks"] - before
                    seen = [process.ask(f"expect {sent}") for process in (drain, sampler)]
    lost = sum((sent - int(ticks)) * count for one in seen for ticks, count in one["ticks"].items())
    return {
        **seen[1]["ms"], "lost": lost + seen[1]["out_of_order"], "rate": sent / took, "hub": used / took,
        "clients": load / took,
    }  # fmt: skip


def run(quick: bool = False) -> Result:
    """Measure each load once."""
    rows, goals = [], []
    for clients, rate in ((20, 1_500),) if quick else LOADS:
        found = measure(clients, rate, 2.0 if quick else 20.0)
        shown = "  ".join(f"{name} {value:,.2f}" for name, value in found.items())
        say(f"{clients:5} clients  {rate:6,} ticks/s  {shown}")
        rows.append((
            clients, f"{found['rate']:,.0f}", *(f"{found[key]:.1f}" for key in ("p50", "p95", "p99", "max")),
            found["lost"], f"{found['hub']:.2f}", f"{found['clients']:.2f}",
        ))  # fmt: skip
        load = f"{clients:,} clients at {rate:,} ticks/s"
        for key, bound in GOALS.get((clients, rate), {}).items():
            goals.append(Goal(f"{load}: {key} at most {bound:g} ms", f"{found[key]:.1f} ms", found[key] <= bound))
        goals.append(Goal(f"{load}: no tick lost", f"{found['lost']} lost", found["lost"] == 0))
    heads = ("clients", "ticks/s", "p50 (ms)", "p95", "p99", "max", "lost", "hub's core", "crowd's core")
    return Result(TEXT.format(products=PRODUCTS, sampled=SAMPLED, table=table(heads, rows)), goals)
