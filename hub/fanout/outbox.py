"""What waits for one client: in order and bounded. It opens nothing and never waits.

A client that keeps up gets everything. Past ``limit_bytes`` a batch is refused, and the client lags: nothing is kept
for it. When most of the queue has been taken, the owner is asked for what was missed; a ``lag`` event before it counts
what the client does not get.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from engineio import packet

from hub.fanout.batch import Batch, Control, Frames, Message, parts
from hub.fanout.latest import Missed

ENTRY_BYTES = 128  # that one thing takes besides its frames
RELEASE_PART = 4  # what was missed joins the queue when no more than this part of the limit waits


class Entry(Protocol):
    """One thing that waits: its bytes for a WebSocket, its packets for a client that polls.

    ``is_answer``: it is this client's alone, and came of what the client has sent.
    """

    @property
    def is_answer(self) -> bool:
        """Whether it counts among the answers."""

    @property
    def frames(self) -> bytes:
        """All of it, as WebSocket frames."""

    def packets(self) -> list[packet.Packet]:
        """All of it, as Engine.IO packets."""


class Outbox:
    """Not thread-safe: for one loop. ``urgent(product)`` tells the products that go first under pressure."""

    def __init__(self, limit_bytes: int, urgent: Callable[[str], bool] = lambda _: False) -> None:
        self.limit_bytes = limit_bytes
        self.batched = False  # whether released ticks leave as ``ticker_batch``
        self.lagging = False  # whether the client gets the latest only, for now
        self.pending_bytes = 0  # queued, and neither written nor fetched
        self.answers_bytes = 0  # of memory, that answers among these take
        self.conflated_total = 0  # ticks that a newer one replaced
        self.dropped_total = 0
        self.taken_bytes = 0  # written or fetched, since the start
        self._urgent = urgent
        self._framed = False  # whether a WebSocket takes it: the packets are not needed
        self._entries: deque[Entry] = deque()
        self._head: memoryview | None = None  # what is left of the first entry
        self._packets: deque[packet.Packet] = deque()
        self._lag_since = 0.0
        self._when_room: Callable[[float], object] = lambda _: None

    @property
    def empty(self) -> bool:
        """Whether nothing waits, in whatever form."""
        return not (self._entries or self._packets or self.lagging)

    def put(self, entry: Entry) -> None:
        """Queue something that must not be lost."""
        if not entry.frames:
            return
        self._entries.append(Frames(entry.frames, entry.is_answer) if self._framed else entry)
        self._count(entry, 1)

    def put_first(self, entry: Entry) -> None:
        """Queue something that passes what waits, but for what was written in part: a ping is no use later."""
        if self._packets:  # for a client that polls, these come before the entries
            self._packets.extendleft(reversed(entry.packets()))
            return
        self._entries.insert(0 if self._head is None else 1, entry)
        self._count(entry, 1)

    def _count(self, entry: Entry, sign: int) -> None:
        self.pending_bytes += sign * len(entry.frames)
        if entry.is_answer:
            self.answers_bytes += sign * (len(entry.frames) + ENTRY_BYTES)

    def add(self, batch: Batch, now: float) -> bool:
        """Queue a batch; False if too much waits: the client lags from ``now`` (monotonic) on."""
        if self.lagging:
            return False
        if self.pending_bytes and self.pending_bytes + len(batch.frames) > self.limit_bytes:
            self.lagging = True
            self._lag_since = now
            return False
        self.put(batch)
        return True

    def when_room(self, call: Callable[[float], object]) -> None:
        """Have ``call(now)`` bring what a client that lags has missed, as soon as little waits for it."""
        self._when_room = call

    def clear(self) -> None:
        """Let go of everything: the client has ended."""
        self._entries.clear()
        self._packets.clear()
        self._head = None
        self.pending_bytes = self.answers_bytes = 0
        self.lagging = False
        self._when_room = lambda _: None

    def catch_up(self, missed: Missed, now: float) -> None:
        """Queue what was missed, and what is to be told of the rest; the client lags no more."""
        messages = missed.messages
        if self.lagging:
            urgent = [item for item in messages if item.product is not None and self._urgent(item.product)]
            if urgent:
                first = set(urgent)
                messages = urgent + [item for item in messages if item not in first]
        self.lagging = False
        if missed.conflated or missed.dropped:
            self.conflated_total += missed.conflated
            self.dropped_total += missed.dropped
            behind_ms = int((now - missed.at) * 1000)
            body = f'{{"conflated":{missed.conflated},"dropped":{missed.dropped},"behind_ms":{behind_ms}}}'
            self.put(Batch([Message("lag", body)]))
        for part in parts(messages):
            self.put(Batch(part, self.batched))

    def make_room(self, now: float, anyway: bool = False) -> None:
        """Have what was missed brought, if the client lags and little waits (or ``anyway``)."""
        if self.lagging and (anyway or self.pending_bytes * RELEASE_PART <= self.limit_bytes):
            self._when_room(now)

    def behind_seconds(self, now: float) -> float:
        """Return for how long the client has got the latest only; 0 for one that gets everything."""
        return max(0.0, now - self._lag_since) if self.lagging else 0.0

    # -- for a WebSocket ------------------------------------------------------------------------------

    def upgraded(self) -> None:
        """Go on with a WebSocket where polling ended: packets that were taken apart and not fetched come first."""
        self._framed = True
        for pkt in reversed(self._packets):
            entry = Frames(Control(pkt).frames, is_answer=False)
            self._entries.appendleft(entry)
            self._count(entry, 1)
        self._packets.clear()

    def head(self, now: float) -> memoryview | None:
        """Return the bytes that are to be written next, None if there are none."""
        if self._head is None:
            self.make_room(now)
            if not self._entries:
                return None
            self._head = memoryview(self._entries[0].frames)
        return self._head

    def wrote(self, count: int) -> None:
        """Note that so many bytes of ``head`` were written."""
        assert self._head is not None
        self.pending_bytes -= count
        self.taken_bytes += count
        self._head = self._head[count:]
        if not self._head:
            self._head = None
            entry = self._entries.popleft()
            if entry.is_answer:
                self.answers_bytes -= len(entry.frames) + ENTRY_BYTES

    # -- for a client that polls ----------------------------------------------------------------------

    def packets(self, limit: int, now: float) -> list[packet.Packet]:
        """Take at most ``limit`` packets out."""
        while len(self._packets) < limit:
            self.make_room(now)
            if not self._entries:
                break
            entry = self._entries.popleft()
            self._count(entry, -1)
            self.taken_bytes += len(entry.frames)
            self._packets.extend(entry.packets())
        return [self._packets.popleft() for _ in range(min(limit, len(self._packets)))]
