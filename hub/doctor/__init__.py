"""``app.py --doctor``: can the hub run here, and does it reach the exchange? A line each, with what to do.

It uses the hub's own ways (``hub.feed``), opens one connection on each path, and is done within some 15 seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hub.doctor import alerts, exchange, machine
from hub.doctor.judge import Check, Level
from hub.settings import Settings

__all__ = ["examine"]


def examine(settings: Settings, sources: Mapping[str, str]) -> int:
    """Look at everything and print it; return the exit status: 1 if anything failed."""
    counts: Counter[Level] = Counter()
    _tell("This machine", machine.look(settings, sources), counts)
    for url, lines in exchange.look(settings):
        _tell(url, lines, counts)
    if receivers := alerts.look(settings):
        _tell("Alerts", receivers, counts)
    failed, doubtful = counts[Level.FAIL], counts[Level.WARN]
    print(f"\n{failed} failed, {doubtful} to think about, {counts[Level.OK]} well.")
    return 1 if failed else 0


def _tell(title: str, lines: Iterable[Check], counts: Counter[Level]) -> None:
    print(f"\n{title}")
    for line in lines:
        counts[line.level] += 1
        print(f"  {line.level:5}{line.name:12} {line.text}", flush=True)
        if line.do:
            print(f"       {'':12} → {line.do}", flush=True)
