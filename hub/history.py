"""How the hub fared: a sample a second, into the rings of ``hub.rings``. What ``GET /history`` shows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hub.fanout.latency import bucket
from hub.model import Order, Trust
from hub.rings import RANGES, STEPS, Number, Rings, point
from hub.worker import Worker

if TYPE_CHECKING:
    from hub.hub import PriceHub
    from hub.summary import Summary

EARLY_SECONDS = 0.05  # a sample that comes this much before the full second is of that
SET_BACK_SECONDS = 5  # by which a clock must be set back for seconds to be sampled again
MAX_ANNOTATIONS = 500
ANNOTATED = ("connected", "lost", "rotated", "moved", "status", "path", "pause", "action", "priority")  # and alerts
AT_PEACE = (Trust.LIVE, Trust.QUIET, Trust.HALTED, Trust.DELISTED)


class History:
    """Owner of the rings. Its worker also looks after what else wants a turn each second: health, and the journal."""

    def __init__(self, hub: PriceHub, summary: Summary) -> None:
        self._hub = hub
        self._summary = summary
        self.rings = Rings()
        self.lags: Counter[int] = Counter()  # by how much each turn came late, since the start: a histogram
        self._due_at: float | None = None  # monotonic
        self._sampled_at = 0.0  # monotonic
        self._end: int | None = None  # of the last second that was sampled
        self._totals = (0, 0)
        self.worker = Worker("history", self.step)

    def step(self) -> float:
        """Sample the second that is over; return the time until the next is."""
        now, wall = time.monotonic(), time.time()
        lag_ms = round(max(0.0, now - self._due_at) * 1000, 1) if self._due_at is not None else 0.0
        self.lags[bucket(lag_ms)] += 1
        body = self._summary.sample()
        self._hub.journal.tidy()
        end = int(wall + EARLY_SECONDS)
        if self._end is None or end > self._end or end <= self._end - SET_BACK_SECONDS:
            self._sample(body, end, now, lag_ms)
        wait = max(0.0, end + 1 - time.time())
        self._due_at = time.monotonic() + wait
        return wait

    def _sample(self, body: Mapping[str, Any], end: int, now: float, lag_ms: float) -> None:
        hub, trust = self._hub, body["trust"]
        totals = body["total_messages_received"], hub.counters[Order.NEW.value]
        counts = hub.fanout.latency.cut()
        seconds = now - self._sampled_at
        messages, ticks = (round(max(0, new - old) / seconds, 1) for new, old in zip(totals, self._totals, strict=True))
        first, self._end, self._totals, self._sampled_at = self._end is None, end, totals, now
        if first:
            return
        numbers: dict[str, Number] = {
            "messages_per_second": messages,
            "ticks_per_second": ticks,
            "clients": body["clients"],
            "connected": body["connected_connections"],
            "live": trust[Trust.LIVE],
            "quiet": trust[Trust.QUIET],
            "trouble": sum(trust.values()) - sum(trust[state] for state in AT_PEACE),
            "open_gaps": body["open_gaps"],
            "loop_lag_ms": lag_ms,
        }
        self.rings.add(point(end - 1, numbers, {stage.value: found for stage, found in counts.items() if found}))

    def body(self, name: str, since: float | None = None) -> dict[str, Any]:
        """Return the body of ``GET /history``; ``name`` of ``RANGES``."""
        step = RANGES[name]
        times, series = self.rings.table(step, since)
        begin = since if since is not None else times[0] if times else time.time() - step * STEPS[step]
        # alerts get the room that is left: they come by the hundred, and a lost connection must not go under
        entries = self._hub.journal.query(since=begin, kinds=ANNOTATED, limit=MAX_ANNOTATIONS)
        entries += self._hub.journal.alerts(begin, limit=MAX_ANNOTATIONS - len(entries))
        return {
            "range": name,
            "step_seconds": step,
            "times": times,
            "series": series,
            "running": self.rings.running(step),
            "annotations": [entry.body() for entry in sorted(entries, key=lambda entry: entry.id)],
            "simulated": self._hub.simulated,
        }
