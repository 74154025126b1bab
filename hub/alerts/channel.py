"""A channel: one receiver, with a queue, a worker, a pace and a breaker of its own. A slow one slows nobody else.

- The queue is bounded: where it is full the oldest signal goes, else the oldest notice (``dropped``). It is short, so
  that a receiver that comes back is not flooded with what is over.
- No more than ``PER_MINUTE`` notices a minute, signals and operational ones counted apart, so that a market that moves
  hides no outage. What is over it is left out (``suppressed``). One digest counts what was left out or dropped.
- The end of what was told is told, whatever the pace: by a notice of its own, or, from a full queue, by the digest.
- A notice that fails is tried again, later and later, ``TRIES`` times at most; what the receiver refuses (4xx but 408
  and 429), once. A ``Retry-After`` is honoured.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from hub.alerts.breaker import Breaker
from hub.alerts.post import Poster, PostError
from hub.detect.rules import FIRING, INFO, ONCE, RESOLVED, SIGNALS, Alert
from hub.feed.backoff import Backoff
from hub.logs import Cooldown
from hub.payload import iso_time
from hub.worker import Worker

QUEUE = 20
PER_MINUTE = 10
MINUTE_SECONDS = 60.0
TRIES = 10  # with the breaker's pauses, some minutes of a receiver that is down;
KEEP_SECONDS = 3_600.0  # but as long as this a notice is kept, at a try a minute
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 30.0
DIGEST = "digest"
NAMED_ENDS = 12  # in one digest
MAX_OWED = 5_000
OUTCOMES = ("sent", "failed", "retried", "dropped", "suppressed")
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Notice(NamedTuple):
    """An alert on its way, made at ``at`` (wall-clock seconds)."""

    alert: Alert
    at: float

    @property
    def is_signal(self) -> bool:
        """Whether it is about the market, not the hub."""
        return self.alert.kind in SIGNALS

    @property
    def is_end(self) -> bool:
        """Whether it says that something is over."""
        return self.alert.state == RESOLVED


class _Pace:
    """At most ``PER_MINUTE`` in any minute, how many were over it, and what of them was an end that is owed."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=PER_MINUTE)
        self.left_out: Counter[str] = Counter()  # by kind
        self.ends: dict[str, None] = {}  # keys

    def wait_seconds(self, now: float) -> float:
        return max(0.0, self._times[0] + MINUTE_SECONDS - now) if len(self._times) == PER_MINUTE else 0.0

    def take(self, now: float) -> None:
        self._times.append(now)


class Channel:
    """Owner of what waits for one receiver; ``offer`` never waits. Thread-safe."""

    def __init__(
        self, name: str, poster: Poster, body_of: Callable[[Notice], bytes], rng: Random,
        breaker: Breaker | None = None, backoff: Backoff | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._poster = poster
        self._body_of = body_of
        self._breaker = breaker or Breaker()
        # which starts over with each delivery: a receiver that takes one is well
        self._backoff = backoff or Backoff(BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS, float("inf"), rng)
        self._lock = threading.Lock()  # the queue and the paces
        self._queue: deque[Notice] = deque()
        self._paces = {False: _Pace(), True: _Pace()}  # operational, signals
        self._owed: dict[str, None] = {}  # keys that were told to fire: their end is to be told
        self._tries = 0  # of the first in the queue
        self._not_before = 0.0  # monotonic
        self._idle = threading.Event()  # there is nothing to send now
        self._idle.set()
        self._sent_at: float | None = None  # wall-clock
        self._failed_at: float | None = None
        self._reason: str | None = None
        self.worker = Worker(f"alerts-{name}", self.step)

    def owe(self, key: str) -> None:
        """Note that something was told to fire, if not by this process: its end is to be told."""
        with self._lock:
            self._owe(key)

    def _owe(self, key: str) -> None:
        self._owed[key] = None
        if len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]

    def offer(self, notice: Notice, now: float) -> None:
        """Take a notice in, or count it as left out."""
        with self._lock:
            owed = notice.is_end and notice.alert.key in self._owed
            pace = self._paces[notice.is_signal]
            # that connections are gone is told whatever else there is to tell; the rules' cooldown bounds it
            outage = notice.alert.kind == "connections" and not notice.is_signal
            if not outage and not owed and (pace.left_out or pace.wait_seconds(now)):
                pace.left_out[notice.alert.kind] += 1
                self.counts["suppressed"] += 1
            else:
                pace.take(now)
                if notice.alert.state == FIRING:
                    self._owe(notice.alert.key)
                if notice.is_end:
                    self._owed.pop(notice.alert.key, None)
                self._append(notice)
                self._idle.clear()
        self.worker.wake()

    def _append(self, notice: Notice) -> None:
        if len(self._queue) >= QUEUE:
            first = self._queue[0]
            passing = [item for item in self._queue if not item.is_end]  # an end goes last
            victim = next((item for item in passing if item.is_signal), passing[0] if passing else first)
            self._queue.remove(victim)
            pace = self._paces[victim.is_signal]
            pace.left_out[victim.alert.kind] += 1
            if victim.is_end:
                pace.ends[victim.alert.key] = None
                if len(pace.ends) > MAX_OWED:
                    del pace.ends[next(iter(pace.ends))]
            elif victim is not first:  # that may be on its way
                self._owed.pop(victim.alert.key, None)
            self.counts["dropped"] += 1
            if victim is first:
                self._tries = 0
        self._queue.append(notice)

    def step(self) -> float | None:
        """Make one attempt at most; return the seconds until the next, None to wait for a notice."""
        now = time.monotonic()
        digest_in = self._digest(now)
        with self._lock:
            notice = self._queue[0] if self._queue else None
            wait = max(self._not_before - now, self._breaker.wait_seconds(now))
            if notice is None:
                self._idle.set()
                return digest_in
            if wait > 0:
                return wait
        self._deliver(notice)
        return 0.0

    def _digest(self, now: float) -> float | None:
        """Queue a digest of what was left out, where there is room in the minute; return when else to look again."""
        waits = []
        with self._lock:
            for pace in self._paces.values():
                if not (pace.left_out or pace.ends) or len(self._queue) >= QUEUE:
                    continue
                if wait := pace.wait_seconds(now):
                    waits.append(wait)
                    continue
                at = time.time()
                self._append(Notice(Alert(DIGEST, DIGEST, INFO, ONCE, _sum_up(pace), at), at))
                pace.take(now)
        return min(waits, default=None)

    def _deliver(self, notice: Notice) -> None:
        problem = self.attempt(notice)
        now = time.monotonic()
        if problem is None:
            self._done(notice)
            self._backoff.failures = 0
            return
        self._tries += 1
        # an outage of ours takes the way to the receiver with it: what happened is told when that is back
        if problem.final or (self._tries >= TRIES and time.time() - notice.at >= KEEP_SECONDS):
            self.counts["failed"] += 1
            _warn.warning(f"{self.name}_failed", "alert not delivered channel=%s reason=%s tries=%d", self.name,
                          problem.reason, self._tries)  # fmt: skip
            self._done(notice)
            return
        self.counts["retried"] += 1
        self._not_before = now + max(problem.retry_after_seconds, self._backoff.failed())

    def _done(self, notice: Notice) -> None:
        self._tries = 0
        with self._lock:
            if self._queue and self._queue[0] is notice:  # else it was dropped meanwhile
                self._queue.popleft()

    def attempt(self, notice: Notice) -> PostError | None:
        """Try once, here and now; return what went wrong."""
        try:
            self._poster.post(self._body_of(notice))
        except PostError as error:
            self._breaker.failed(time.monotonic())
            self._failed_at, self._reason = time.time(), error.reason
            return error
        self._breaker.succeeded()
        self._sent_at = time.time()
        self.counts["sent"] += 1
        return None

    def flush(self, timeout_seconds: float) -> None:
        """Wait until what can leave has left."""
        self._idle.wait(timeout_seconds)

    def stop(self, timeout_seconds: float) -> None:
        """End whatever is under way, and the worker. Idempotent."""
        self._poster.cut()
        self.worker.stop(timeout_seconds)

    def body(self) -> dict[str, Any]:
        """Return the channel as ``GET /alerts`` shows it."""
        return {
            "name": self.name,
            "queued": len(self._queue),
            "breaker": self._breaker.state(time.monotonic()),
            "last_sent": iso_time(self._sent_at) if self._sent_at is not None else None,
            "last_failed": iso_time(self._failed_at) if self._failed_at is not None else None,
            "last_failure": self._reason,
            "counts": dict(self.counts),
        }


def _sum_up(pace: _Pace) -> str:
    """Return the words of a digest, and forget what it tells."""
    total, parts = pace.left_out.total(), ", ".join(f"{n} of {kind}" for kind, n in sorted(pace.left_out.items()))
    told = [f"{total} more alerts were left out ({parts}): see GET /alerts and /signals"] if total else []
    pace.left_out.clear()
    ends = list(pace.ends)[:NAMED_ENDS]
    for key in ends:
        del pace.ends[key]
    told += [f"over meanwhile: {', '.join(ends)}"] if ends else []
    return "; ".join(told)
