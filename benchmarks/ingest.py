"""Ingest: frames a CPU second from the exchange's sockets into the book, beside a bare receiver and Coinbase's SDK."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import requests

from benchmarks.common import (
    ROOT,
    SERVER_CORE,
    Goal,
    Process,
    Result,
    free_port,
    get,
    median_of,
    module,
    say,
    start_exchange,
    start_hub,
    table,
    wait_until_full,
)

PRODUCTS, PER_CONNECTION = 326, 15
SETTLE_SECONDS = 3.0  # of flood, before the measuring begins
SDK = "coinbase-advanced-py==1.8.4"
SDK_HOME = ROOT / "benchmarks" / "sides" / ".sdk"
GOAL = 0.6
NAMES = {
    "hub": "Price Hub: into the book, with all checks",
    "bare": "bare: `websocket-client` + the hub's parser",
    "transport": "the hub's transport + its parser, no book",
    "sdk": f"Coinbase's SDK (`{SDK.replace('==', ' ')}`), Advanced Trade's form of the same ticks",
}
TEXT = """## Ingest: the exchange's frames into the book

{products} products on {connections} connections, every connection sent as much as it takes (the simulator's `ticker`
frames, dense trade ids, a heartbeat a product and second). Sender and receiver have a core each. *bare* is one loop on
eventlet that reads and parses, and keeps nothing; its UTF-8 check, which alone would cost more than all else, is off.

{table}{note}"""


def sdk_python() -> str | None:
    """Return the Python that has Coinbase's SDK, in an environment of its own; None, and said, where there is none."""
    python = SDK_HOME / "bin" / "python"
    if not python.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", SDK_HOME], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", SDK], check=True, timeout=180,
                           stderr=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            say(f"left out: Coinbase's SDK, because it could not be installed: {error}")
    works = python.exists() and not subprocess.run([python, "-c", "import coinbase.websocket"], check=False).returncode
    return str(python) if works else None


def measure(side: str, seconds: float, python: str | None) -> dict[str, float]:
    """Let one receiver take in all it can; return what it made of it."""
    with tempfile.TemporaryDirectory() as state, start_exchange(PRODUCTS) as exchange:
        urls = exchange.answer()
        if side == "hub":
            port = free_port()
            with start_hub(urls["ws_url"], urls["rest_url"], state, port) as hub:
                wait_until_full(port, PRODUCTS)
                figures = _flood(exchange, hub, side, seconds, lambda: _messages(port))
                _check(exchange, port)
                return figures
        arguments = (urls["rest_url"], urls["ws_url"], PER_CONNECTION)
        if side == "sdk":
            assert python is not None
            command = [python, str(ROOT / "benchmarks" / "sides" / "ingest_sdk.py"), *map(str, arguments)]
        else:
            command = module("benchmarks.sides.ingest_bare", *arguments, side)
        with Process(command, SERVER_CORE) as receiver:
            time.sleep(3.0)  # until all are subscribed
            return _flood(exchange, receiver, side, seconds, lambda: _reported(receiver))


def _flood(
    exchange: Process, receiver: Process, side: str, seconds: float, frames: Callable[[], int]
) -> dict[str, float]:  # fmt: skip
    exchange.ask("flood")
    time.sleep(SETTLE_SECONDS)
    receiver.profile(f"ingest_{side}.txt", seconds)
    before, cpu, began, sender = frames(), receiver.cpu_seconds(), time.monotonic(), exchange.cpu_seconds()
    time.sleep(seconds)
    got, used, took = frames() - before, receiver.cpu_seconds() - cpu, time.monotonic() - began
    return {
        "frames_per_cpu_second": got / used, "frames_per_second": got / took, "receiver": used / took,
        "sender": (exchange.cpu_seconds() - sender) / took,
    }  # fmt: skip


def _messages(port: int) -> int:
    return get(f"http://127.0.0.1:{port}/health")["total_messages_received"]


def _reported(receiver: Process) -> int:
    """Return what a receiver counted by now: its next report that is not an old one."""
    asked_at = time.monotonic()
    while True:
        report = receiver.answer(10.0)
        if report["at"] >= asked_at:
            return report["frames"]


def _check(exchange: Process, port: int) -> None:
    """Raise ``RuntimeError`` unless the hub got every tick."""
    exchange.ask("stop")
    last_ids = exchange.ask("sent")["last_ids"]
    seen: dict[str, int] = {}
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        with contextlib.suppress(requests.RequestException):  # it is busy with what it still has to read
            found = get(f"http://127.0.0.1:{port}/tickers", 5.0)
            seen = {product: item["trade_id"] for product, item in found.items()}
        if seen == last_ids:
            break
        time.sleep(0.2)
    health = get(f"http://127.0.0.1:{port}/health")
    if seen != last_ids or health["counters"]["missing"] or health["open_gaps"]:
        raise RuntimeError(f"the hub did not get every tick: {health}")


def run(quick: bool = False) -> Result:
    """Measure all receivers in turns, a few rounds."""
    seconds, rounds = (2.0, 1) if quick else (6.0, 3)
    python = sdk_python()
    sides = ["hub", "bare", "transport", *(["sdk"] if python else [])]
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            taken[side].append(figures := measure(side, seconds, python))
            say(f"{side:10}  " + "  ".join(f"{name} {value:,.2f}" for name, value in figures.items()))
    medians = {side: median_of(found) for side, found in taken.items()}
    bare = medians["bare"]["frames_per_cpu_second"]
    rows = [
        (NAMES[side], f"{found['frames_per_cpu_second']:,.0f}", f"{found['frames_per_cpu_second'] / bare:.2f}",
         f"{found['frames_per_second']:,.0f}", f"{found['receiver']:.2f}", f"{found['sender']:.2f}")
        for side, found in medians.items()
    ]  # fmt: skip
    heads = ("", "frames a CPU second", "× bare", "frames/s", "receiver's core", "sender's core")
    ratio = medians["hub"]["frames_per_cpu_second"] / bare
    connections = -(-PRODUCTS // PER_CONNECTION)
    note = "" if python else "\nCoinbase's SDK is left out: it could not be installed here.\n"
    return Result(
        TEXT.format(products=PRODUCTS, connections=connections, table=table(heads, rows), note=note),
        [Goal(f"at least {GOAL:.0%} of the bare receiver's frames a CPU second", f"{ratio:.0%}", ratio >= GOAL)],
    )
