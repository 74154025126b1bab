"""What happens to sessions by the clock, in one thread for all: pings, and the end of those that keep no time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hub.fanout.seat import CutReason

if TYPE_CHECKING:
    from hub.fanout.client import ClientSocket
    from hub.fanout.engine import HubEngine

SWEEP_SECONDS = 1.0
LATE_SECONDS = 3.0  # so late a sweep means that the hub itself stood still: what waited meanwhile is to be read first
BUG_SECONDS = 1.0
TURN_SECONDS = 0.01  # for sessions, before others have their turn
MAX_ANSWERS_BYTES = 16_777_216  # that wait for all clients together; past it, those go that read least
FAIR_ANSWERS_BYTES = 32_768  # of one client: it stays
log = logging.getLogger(__name__)


class Pulse:
    """Of an engine. ``step`` is public for tests."""

    def __init__(self, engine: HubEngine) -> None:
        self._engine = engine
        self._pings: deque[tuple[float, str]] = deque()  # all wait equally long: the first is the first to be due
        self._swept_at = time.monotonic()
        self._skipped = False

    def ping_later(self, sid: str) -> None:
        """Have a session sent its next ping when the interval has passed. An ended one is not kept alive by that."""
        self._pings.append((time.monotonic() + self._engine.ping_interval, sid))

    def may_judge(self, now: float) -> bool:
        """Tell whether silence is a client's: not after a pause of the hub's own, until what waited was read."""
        return not self._skipped and now - self._swept_at < self._sweep_seconds + LATE_SECONDS

    @property
    def _sweep_seconds(self) -> float:
        return min(SWEEP_SECONDS, self._engine.ping_interval / 2)

    def run(self) -> None:
        """Go on as long as the process does."""
        while True:
            try:
                seconds = self.step(time.monotonic())
            except Exception:
                self._engine.counters["pulse_failures"] += 1
                log.exception("bug in the pulse of sessions")
                seconds = BUG_SECONDS
            self._engine.sleep(seconds)

    def step(self, now: float) -> float:
        """Do what is due; return the seconds until something is."""
        due_ids = []
        while self._pings and self._pings[0][0] <= now:
            due_ids.append(self._pings.popleft()[1])
        for client in self._in_turns([self._engine.sockets[sid] for sid in due_ids if sid in self._engine.sockets]):
            client.ping()
        if now - self._swept_at >= self._sweep_seconds:
            self._sweep(now)
        due = self._swept_at + self._sweep_seconds
        if self._pings:
            due = min(due, self._pings[0][0])
        return max(0.0, due - time.monotonic())

    def _in_turns(self, clients: list[ClientSocket]) -> Iterator[ClientSocket]:
        """Yield each that is still there; let others have their turn meanwhile."""
        turn_began = time.monotonic()
        for client in clients:
            if client.closed or client.sid not in self._engine.sockets:
                continue
            yield client
            if time.monotonic() - turn_began > TURN_SECONDS:
                self._engine.sleep(0)
                turn_began = time.monotonic()

    def _sweep(self, now: float) -> None:
        was_late = now - self._swept_at > self._sweep_seconds + LATE_SECONDS
        self._swept_at = now
        self._skipped = was_late and not self._skipped  # one that is always late must judge all the same
        if self._skipped:
            return
        late = [client for client in self._engine.sockets.newcomers.values() if client.join_by <= now]
        for client in self._in_turns(late):
            client.cut(CutReason.NOT_JOINED)
        clients, stuck, answers_bytes = list(self._engine.sockets.values()), [], 0
        for client in self._in_turns(clients):
            if client.is_stuck(now):
                stuck.append(client)  # their end costs some: none of them is sent prices until its turn comes
            answers_bytes += client.outbox.answers_bytes
        for client in self._in_turns(stuck):
            client.cut(CutReason.NOT_READING)
        if answers_bytes > MAX_ANSWERS_BYTES:
            for client in self._in_turns(clients):
                if client.outbox.answers_bytes > FAIR_ANSWERS_BYTES:
                    client.cut(CutReason.NOT_READING)
