"""Drills: faults that a simulated exchange plays on command, to be watched on the dashboard. Each ends by itself."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from hub.hub import PriceHub

Control = Callable[[str, dict[str, Any]], dict[str, Any]]
"""The simulator's control interface: ``control(path, body)`` returns its answer or raises."""

BUSY_PRODUCTS = 5  # a drill of a product takes one of the busiest: of a quiet one there would be nothing to see


class Drill(NamedTuple):
    """One drill. ``hits`` is what ``fault`` needs to be told: ``connection``, ``product``, ``endpoint``, or nothing."""

    name: str
    title: str
    text: str
    hits: str
    fault: dict[str, Any]
    seconds: float  # until the next may begin: the fault, and what the hub needs to heal


DRILLS = (
    Drill("kill", "Kill a connection",
          "One connection is reset. Its products are not live until it is back, a second or two later.",
          "connection", {"kind": "kill"}, 4),
    Drill("half_open", "Half-open connection",
          "One connection stays open, but nothing is read or written for 10 s. After three it is replaced.",
          "connection", {"kind": "mute", "seconds": 10}, 12),
    Drill("no_data", "Heartbeats without data",
          "For 10 s one connection brings heartbeats only. They name trades that never came, so it is replaced.",
          "connection", {"kind": "no_data", "seconds": 10}, 12),
    Drill("slow_feed", "A feed at one byte a second",
          "For 10 s one connection drips a byte a second. No frame gets done in time, and it is replaced.",
          "connection", {"kind": "drip", "seconds": 10}, 12),
    Drill("stuck", "A stuck product",
          "For 15 s the ticks of one busy product are withheld. It falls behind, is resubscribed, moved, caught up.",
          "product", {"kind": "stuck", "seconds": 15}, 20),
    Drill("gap", "A gap",
          "The next 20 ticks of one busy product are lost. The gap is noted, and filled in by REST.",
          "product", {"kind": "drop", "count": 20}, 5),
    Drill("outage", "The exchange refuses everybody",
          "All connections are reset, and for 10 s none is accepted. REST carries on; then all come back.",
          "endpoint", {"kind": "restart", "seconds_down": 10}, 25),
    Drill("burst", "Four times the trades",
          "For 10 s the market trades four times as much.",
          "", {"kind": "burst", "factor": 4, "seconds": 10}, 11),
)  # fmt: skip


class DrillError(Exception):
    """A drill can't be played now; the text says why. ``retry_after_seconds``: when it may be."""

    def __init__(self, text: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_seconds = math.ceil(retry_after_seconds)


class Drills:
    """Plays one drill at a time, through ``control``, and never waits for it."""

    def __init__(self, hub: PriceHub, control: Control) -> None:
        self._hub = hub
        self._control = control
        recorded = bool(hub.settings.simulate_replay)  # nobody can have a recording trade more
        self.known = {drill.name: drill for drill in DRILLS if not (recorded and drill.fault["kind"] == "burst")}
        self._turn: tuple[Drill, float] | None = None  # what is played, until when (monotonic); each is its own object

    def body(self) -> list[dict[str, str]]:
        """Return what can be played, for people."""
        return [{"name": drill.name, "title": drill.title, "text": drill.text} for drill in self.known.values()]

    def play(self, drill: Drill, failed: Callable[[str], None]) -> tuple[str | None, str | None]:
        """Begin a drill; return the (connection, product) that it is about to hit. Raises ``DrillError``.

        ``failed(why)`` is called later, from another thread, if the simulator would not do it.
        """
        if self._turn is not None and (left := self._turn[1] - time.monotonic()) > 0:
            raise DrillError(f"the drill {self._turn[0].name} is on for another {math.ceil(left)} s", left)
        pool = self._hub.pool
        connection_id = product = None
        fault = dict(drill.fault)
        if drill.hits:
            fault["endpoint"] = pool.path.dialect.name
        if drill.hits == "connection":
            slots = [slot for slot in pool.slots() if slot.is_open and slot.products]
            if not slots:
                raise DrillError("no connection is up")
            slot = random.choice(slots)
            connection_id = slot.id
            fault["connections"] = {"product": slot.products[0]}
        elif drill.hits == "product":
            busy = sorted(self._hub.book.quotes(), key=_turnover, reverse=True)[:BUSY_PRODUCTS]
            if not busy:
                raise DrillError("no product has a price yet")
            fault["product"] = product = random.choice(busy).ticker.product_id
        turn = self._turn = (drill, time.monotonic() + drill.seconds)
        threading.Thread(target=self._cause, args=(turn, fault, failed), name="drill", daemon=True).start()
        return connection_id, product

    def _cause(self, turn: tuple[Drill, float], fault: dict[str, Any], failed: Callable[[str], None]) -> None:
        try:
            hit = self._control("fault", fault)["hit"]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            self._give_back(turn)
            failed(str(error) if isinstance(error, RuntimeError) else type(error).__name__)
            return
        if not hit:
            self._give_back(turn)
            failed("it hit nothing")

    def _give_back(self, turn: tuple[Drill, float]) -> None:
        if self._turn is turn:  # else another is on
            self._turn = None


def _turnover(quote: Any) -> float:
    return float(quote.ticker.price) * float(quote.ticker.volume_24h)
