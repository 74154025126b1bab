"""What waits for one client: in order, bounded, and conflated where the client lags. It opens nothing and never waits.

A client that keeps up gets everything. Past ``limit_bytes`` nothing more is queued: of each product the latest is held,
and leaves, after a ``lag`` event that counts what it replaced, when most of the queue has been taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from engineio import packet

from hub.fanout.batch import CONFLATED, TICK, Batch, Control, Frames, Message

ENTRY_BYTES = 128  # that one thing takes besides its frames
RELEASE_PART = 4  # what is held joins the queue when no more than this part of the limit waits


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
        self._held: dict[object, Message] = {}
        self._held_loose: deque[Message] = deque()  # those that nothing replaces, in order
        self._loose_bytes = 0
        self._lag_since = 0.0
        self._told = (0, 0)  # conflated and dropped, as of the last ``lag`` event

    @property
    def empty(self) -> bool:
        """Whether nothing waits, in whatever form."""
        return not (self._entries or self._packets or self._held)

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

    def add(self, batch: Batch, now: float) -> None:
        """Queue a batch, or hold the latest of it where too much waits; ``now`` is monotonic."""
        if not self.lagging and self.pending_bytes + len(batch.frames) <= self.limit_bytes:
            self.put(batch)
            return
        if not self.lagging:
            self._lag_since = now
        for message in batch.messages:
            self._hold(message)
        self.lagging = bool(self._held)

    def _hold(self, message: Message) -> None:
        if message.event in CONFLATED:
            key = (message.event, message.product)
            replaced = self._held.pop(key, None)
            self.conflated_total += replaced is not None and message.event == TICK
            self._held[key] = message
            return
        self._held[message] = message
        self._held_loose.append(message)
        self._loose_bytes += len(message.frame)
        while self._loose_bytes > self.limit_bytes and len(self._held_loose) > 1:
            oldest = self._held_loose.popleft()
            del self._held[oldest]
            self._loose_bytes -= len(oldest.frame)
            self.dropped_total += 1

    def keep(self, wanted: Callable[[Message], bool]) -> None:
        """Let go of what is held and no longer wanted."""
        self._held = {key: message for key, message in self._held.items() if wanted(message)}
        self._held_loose = deque(message for message in self._held_loose if message in self._held)
        self._loose_bytes = sum(len(message.frame) for message in self._held_loose)
        self.lagging = bool(self._held)

    def clear(self) -> None:
        """Let go of everything: the client has ended."""
        self.keep(lambda _: False)
        self._entries.clear()
        self._packets.clear()
        self._head = None
        self.pending_bytes = self.answers_bytes = 0

    def release(self, now: float, anyway: bool = False) -> None:
        """Queue what is held, if little waits before it (or ``anyway``)."""
        if not self.lagging or (self.pending_bytes * RELEASE_PART > self.limit_bytes and not anyway):
            return
        messages = list(self._held.values())
        messages.sort(key=lambda message: message.product is None or not self._urgent(message.product))
        conflated, dropped = self.conflated_total - self._told[0], self.dropped_total - self._told[1]
        if conflated or dropped:
            self._told = (self.conflated_total, self.dropped_total)
            behind_ms = int((now - self._lag_since) * 1000)
            body = f'{{"conflated":{conflated},"dropped":{dropped},"behind_ms":{behind_ms}}}'
            messages.insert(0, Message("lag", body))
        self._held = {}
        self.lagging = False
        self._held_loose.clear()
        self._loose_bytes = 0
        self.put(Batch(messages, self.batched))

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
            self.release(now)
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
            self.release(now)
            if not self._entries:
                break
            entry = self._entries.popleft()
            self._count(entry, -1)
            self.taken_bytes += len(entry.frames)
            self._packets.extend(entry.packets())
        return [self._packets.popleft() for _ in range(min(limit, len(self._packets)))]
