"""WebSocket or polling: how late a price is, which trades are seen, what it costs; on sockets and by REST.

The simulator is the exchange here, since it has REST with its limits. What happened is taken down from a socket of our
own, and held against what the simulator says that it sent.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

import requests

from benchmarks.common import (
    LOAD_CORE,
    SERVER_CORE,
    Goal,
    Process,
    Result,
    free_port,
    get,
    module,
    say,
    start_hub,
    table,
    until,
    wait_until_full,
)
from benchmarks.records import Recorder, Shown, Tape, Witness, delays, percentile
from hub.feed.fallback import POLL_SECONDS
from hub.simulator.limits import REST_PER_SECOND

PRODUCTS, RATE = 326, 1_500
QUICK_PRODUCTS, QUICK_RATE = 30, 300
ROUNDS = 2  # of the plain poller, whole ones: or the busy products' turn in it would decide
WARM_UP_SECONDS = 3.0
WAYS = {
    "websocket": "Price Hub on WebSockets",
    "fallback": "Price Hub's fallback: no socket, REST",
    "poller": "plain poller: `/products/{id}/ticker` in a loop",
}
MAX_MS = {"websocket": 100.0, "fallback": POLL_SECONDS * 1000 + 500.0}  # of the p99: a step and a flush; a poll more
TEXT = """## WebSocket or polling

{products} products at {rate:,} trades/s, {seconds:.0f} s each way, one after the other on the same made-up market; the
exchange allows {limit} requests a second. *Delay*: for each trade that moved its product's price, the time from the
trade's own time on the exchange until the reader has that trade or a later one, by trade id; where a poll names no
trade (`/products/stats`), its price stands for the newest trade at that price, in its favour. A trade at an unchanged
price is not counted here. The readers: a Socket.IO client of the hub, and the plain poller itself. Up to 10 ms of each
delay are the simulator's, which sends in steps. *Trades seen*: by trade id, late ones (`trade_backfill`) too, up to
some seconds after. *Requests*: REST and WebSocket upgrades that reached the exchange; *refused*: answered with 429. CPU
and memory are the process's, on a core of its own: the hub's with all that it does besides, the poller's with nothing
else.

{table}
{conclusion}

Not in it: the exchange's REST answers are themselves up to seconds old (a CDN stands before them), which the simulator
does for pages of trades only, not for statistics and tickers. All rows but the first would be later by that.
"""


class Simulated:
    """The simulator's commands."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.urls = urls

    def post(self, path: str, **body: Any) -> None:
        """Send a command; raises ``requests.RequestException``."""
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.urls['control_url']}/{path}", json=body, timeout=10).raise_for_status()

    def get(self, path: str) -> Any:
        """Ask."""
        return get(f"{self.urls['control_url']}/{path}")

    def product_ids(self) -> list[str]:
        """Return the products that trade in USD."""
        rows = get(f"{self.urls['rest_url']}/products")
        return [row["id"] for row in rows if row["quote_currency"] == "USD" and row["status"] == "online"]

    def requests(self) -> tuple[int, int]:
        """Return how many requests reached the exchange so far, and how many were answered with 429."""
        answers, upgrades = self.get("rest")["answers"], self.get("connections")
        count = sum(answers.values()) + upgrades["accepted_total"] + upgrades["refused_total"]
        return count, answers.get("429", 0)

    def cut_sockets(self, but: int) -> None:
        """Refuse every upgrade from now on, and reset all connections but one."""
        self.post("fault", kind="refuse", endpoint="both", status=503, seconds=None)
        indexes = [row["index"] for row in self.get("connections")["open"] if row["index"] != but]
        self.post("fault", kind="kill", connections=indexes)


def measure(way: str, products: int, rate: int, seconds: float) -> dict[str, float]:
    """Have one reader follow the market for so long; delays in ms."""
    with ExitStack() as stack:
        command = module("hub.simulator", "--exit-with-stdin", "--products", products, "--rate", rate)
        exchange = Simulated(stack.enter_context(Process(command, LOAD_CORE)).answer())
        product_ids = exchange.product_ids()
        witness = Witness(exchange.urls["ws_url"], product_ids)
        stack.callback(witness.close)
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {LOAD_CORE})  # what records must not be on the reader's core
        recorder = Recorder(witness)
        recorder.start()
        tape = None
        if way == "poller":
            asks = module("benchmarks.naive_poller", exchange.urls["rest_url"], REST_PER_SECOND)
            reader, rest_seconds = stack.enter_context(Process(asks, SERVER_CORE)), products / REST_PER_SECOND + 1.0
            reader.answer()
        else:
            port, state = free_port(), stack.enter_context(tempfile.TemporaryDirectory())
            reader = stack.enter_context(start_hub(exchange.urls["ws_url"], exchange.urls["rest_url"], state, port))
            wait_until_full(port, products)
            tape, rest_seconds = Tape(port), 2 * POLL_SECONDS
            taking = Recorder(tape)
            taking.start()
            if way == "fallback":
                exchange.cut_sockets(but=0)
                prices = f"http://127.0.0.1:{port}/tickers"
                until(lambda: {row["source"] for row in get(prices, 5.0).values()} == {"rest"}, "prices by REST")
        time.sleep(WARM_UP_SECONDS)
        asked, refused = exchange.requests()
        cpu, began, begin = reader.cpu_seconds(), time.monotonic(), time.time()
        time.sleep(seconds)
        end, took = time.time(), time.monotonic() - began
        used, memory = reader.cpu_seconds() - cpu, reader.resident_mb()
        now_asked, now_refused = exchange.requests()
        exchange.post("pause")
        time.sleep(rest_seconds)
        if tape is not None:
            taking.stop()
            shown, told = tape.shown()
            tape.sock.close()
        else:
            shown, told = defaultdict(list), set()
            for at, product_id, trade_id, price in reader.ask("stop")["rows"]:
                shown[product_id].append(Shown(at, trade_id, float(price)))
                told.add((product_id, trade_id))
        ended = time.time()
        sent = exchange.get("sent")["products"]
        recorder.stop()
        happened = witness.trades({one: sent[one]["last_id"] for one in product_ids})
    late, never = [], 0
    for product_id, trades in happened.items():
        found, left = delays(trades, shown[product_id], begin, end)
        late += found + [ended - at for at in left]
        never += len(left)
    late.sort()
    ids = {(one, trade.trade_id) for one, trades in happened.items() for trade in trades if begin <= trade.time < end}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        **{name: percentile(late, share) * 1000 for name, share in shares.items()},
        "never": never, "moves": len(late), "happened": len(ids), "seen": len(ids & told),
        "requests": (now_asked - asked) / took, "refused": now_refused - refused, "cores": used / took, "mb": memory,
    }  # fmt: skip


def conclusion(found: dict[str, dict[str, float]]) -> str:
    """Say in a sentence what came out."""
    ws, fallback, poller = (found[way] for way in WAYS)
    share = {way: figures["seen"] / figures["happened"] for way, figures in found.items()}
    return (
        f"At the median a price came {fallback['p50'] / ws['p50']:,.0f} times later by the fallback than by WebSocket, "
        f"and {poller['p50'] / ws['p50']:,.0f} times later by the plain poller ({ws['p50']:,.0f} ms, "
        f"{fallback['p50'] / 1000:.1f} s, {poller['p50'] / 1000:.1f} s); of the trades they told "
        f"{share['websocket']:.2%}, {share['fallback']:.2%} and {share['poller']:.2%}."
    )


def run(quick: bool = False) -> Result:
    """Measure each way once, on the same market."""
    products, rate = (QUICK_PRODUCTS, QUICK_RATE) if quick else (PRODUCTS, RATE)
    seconds = ROUNDS * products / REST_PER_SECOND
    found, rows = {}, []
    for way, name in WAYS.items():
        one = found[way] = measure(way, products, rate, seconds)
        say(f"{way:9}  " + "  ".join(f"{key} {value:,.3f}" for key, value in one.items()))
        rows.append((
            name, *(f"{one[key]:,.0f}" for key in ("p50", "p95", "p99", "max")), f"{one['seen']:,}",
            f"{one['happened']:,}", f"{one['seen'] / one['happened']:.2%}", f"{one['requests']:.1f}",
            f"{one['refused']:.0f}", f"{one['cores']:.3f}", f"{one['mb']:.0f}",
        ))  # fmt: skip
    heads = (
        "", "delay p50 (ms)", "p95", "p99", "max", "trades seen", "of", "", "requests/s", "refused", "CPU (cores)",
        "memory (MB)",
    )  # fmt: skip
    ws, fallback, poller = (found[way] for way in WAYS)
    missed = ws["happened"] - ws["seen"]
    goals = [Goal("WebSocket: every trade seen", f"{missed:,} missed", not missed)]
    for way, bound in MAX_MS.items():
        p99 = found[way]["p99"]
        goals.append(Goal(f"{WAYS[way]}: p99 at most {bound:,.0f} ms", f"{p99:,.0f} ms", p99 <= bound))
    goals.append(Goal(
        f"fallback: at most {REST_PER_SECOND} requests/s, none refused",
        f"{fallback['requests']:.1f}, {fallback['refused']:.0f}",
        fallback["requests"] <= REST_PER_SECOND and not fallback["refused"],
    ))  # fmt: skip
    goals.append(Goal(
        "fallback: median delay below the plain poller's", f"{fallback['p50'] / poller['p50']:.2f} ×",
        fallback["p50"] < poller["p50"],
    ))  # fmt: skip
    never = sum(one["never"] for one in found.values())
    goals.append(Goal("every way: the last price came in the end", f"{never:.0f} did not", not never))
    text = TEXT.format(
        products=products, rate=rate, seconds=seconds, limit=REST_PER_SECOND, table=table(heads, rows),
        conclusion=conclusion(found),
    )  # fmt: skip
    return Result(text, goals)
