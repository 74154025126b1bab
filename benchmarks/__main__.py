"""Run every benchmark and write docs/benchmarks.md:  make bench  (about 5 minutes)."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.cost import ROOT, compare

ROUNDS = 3
SECONDS = 20.0

TEMPLATE = """# Benchmarks

Written by `make bench` on {date} ({cores} cores, {system}, Python {python}, eventlet {eventlet}). Absolute figures
belong to that machine; the ratios were taken within one run, the two sides in turns: medians of {rounds} rounds.

## What a hub costs

326 simulated products at 1,500 ticks/s and 326 heartbeats/s, to Socket.IO clients over WebSocket that drain what they
get. Beside it `benchmarks/naive_hub.py`: the same job as one would write it in an afternoon (one connection, one loop,
plain `emit`; no checks, no watchdog, no limits). Each client's ticks are counted.

| clients | | CPU (cores) | memory (MB) | ticks a client and second |
|---|---|---|---|---|
{rows}

The hub does more (22 connections, exact values, trade ids in order, volume windows) and costs less, because a tick is
serialised and framed once for all clients, and what {flush} ms gathered leaves in one write a client.
"""


def row(clients: int, name: str, side: dict[str, Any]) -> str:
    """Return one table row."""
    return f"| {clients} | {name} | {side['cores']:.3f} | {side['mb']:.1f} | {side['ticks_per_client_second']:,.0f} |"


def main() -> None:
    """Measure, print, write."""
    rows = []
    for clients in (1, 10):
        result = compare(clients, SECONDS, ROUNDS)
        rows.append(row(clients, "Price Hub", result["hub"]))
        rows.append(row(clients, "naive hub", result["naive"]))
        rows.append(f"| {clients} | **ratio** | **{result['cpu_ratio']:.2f}** | **{result['memory_ratio']:.2f}** | |")
    text = TEMPLATE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", cores=os.cpu_count(), system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(), eventlet=version("eventlet"), rounds=ROUNDS, rows="\n".join(rows), flush=10,
    )  # fmt: skip
    (ROOT / "docs" / "benchmarks.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
