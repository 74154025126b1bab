"""What was sent last, kept once for all clients: from it a client that could not take it gets what it missed. Pure.

Every message has an offset, 1, 2, 3, …. Of events that a newer one replaces, the latest of each product is kept; of the
others, which nothing replaces, the newest, up to a number of bytes. A client that lags costs nothing meanwhile: of it
only a ``Mark`` is kept, the offset up to which it has everything.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from hub.fanout.batch import CONFLATED, TICK, Message
from hub.fanout.choice import Choice

LOOK_UP = 64  # so many names at most are looked up one by one; with more, all that is newer than the mark is looked at


class Tally:
    """How many events there were, by product."""

    __slots__ = ("_by_product", "total")

    def __init__(self) -> None:
        self.total = 0
        self._by_product: defaultdict[str | None, int] = defaultdict(int)

    def add(self, product: str | None) -> None:
        """Count one."""
        self.total += 1
        self._by_product[product] += 1

    def of(self, choice: Choice) -> int:
        """Return how many of them a choice wanted."""
        counts = self._by_product
        if choice.names is None:
            return self.total
        if choice.has_patterns:
            return sum(count for product, count in counts.items() if choice.wants(product))
        return counts.get(None, 0) + sum(counts.get(name, 0) for name in choice.names)


class Mark(NamedTuple):
    """How far a client came: up to ``offset`` it has all that it wanted.

    ``at``: since when. ``loose``: how many events that nothing replaces it was sent or told of by then. ``ticks``: the
    same of ticks, of which those past ``ticks_offset`` count; None where it is no lag that ticks are left out.
    """

    offset: int
    at: float
    loose: int
    ticks: int | None = None
    ticks_offset: int = 0


class Missed(NamedTuple):
    """What a client gets in place of all that was sent since its mark, in order; counts of what it does not get."""

    messages: list[Message]
    at: float = 0.0
    conflated: int = 0
    dropped: int = 0


class Latest:
    """Not thread-safe: for one loop. ``loose_bytes``: of events that nothing replaces, as frames."""

    def __init__(self, loose_bytes: int) -> None:
        self.offset = 0  # of the last message
        self._ticks, self._loose = Tally(), Tally()
        # event → product → message, those that were sent last at the end
        self._tables: dict[str, dict[str | None, Message]] = {event: {} for event in CONFLATED}
        self._ring: deque[Message] = deque()
        self._ring_bytes, self._ring_limit_bytes = 0, loose_bytes

    def add(self, messages: Iterable[Message]) -> None:
        """Number messages that are sent now, and keep what is to be kept of them."""
        offset, ticks, table_of_ticks = self.offset, self._ticks, self._tables[TICK]
        for message in messages:
            offset += 1
            message.offset = offset
            event, product = message.event, message.product
            if event == TICK:
                ticks.add(product)
                table = table_of_ticks
            elif event in CONFLATED:
                table = self._tables[event]
            else:
                self._add_loose(message)
                continue
            table.pop(product, None)
            table[product] = message
        self.offset = offset

    def _add_loose(self, message: Message) -> None:
        self._loose.add(message.product)
        self._ring.append(message)
        self._ring_bytes += len(message.frame)
        while self._ring_bytes > self._ring_limit_bytes and len(self._ring) > 1:
            self._ring_bytes -= len(self._ring.popleft().frame)

    # -- marks ----------------------------------------------------------------------------------------

    def mark(self, choice: Choice, now: float) -> Mark:
        """Return the mark of a client that has everything, and is to get the latest later by its own wish."""
        return Mark(self.offset, now, self._loose.of(choice))

    def moved(self, mark: Mark, choice: Choice, now: float) -> Mark:
        """Return ``mark``, one of a client that now has everything, at the present offset."""
        return Mark(self.offset, now, self._loose.of(choice) if self._any_loose(mark) else mark.loose)

    def mark_before(self, refused: Sequence[Message], choice: Choice, now: float) -> Mark:
        """Return the mark of a client that had everything but these, which were sent last: it lags from now on."""
        ticks = sum(message.event == TICK for message in refused)
        loose = sum(message.event not in CONFLATED for message in refused)
        offset = refused[0].offset - 1 if refused else self.offset
        return Mark(offset, now, self._loose.of(choice) - loose, self._ticks.of(choice) - ticks, offset)

    def rechosen(self, mark: Mark, before: Choice, after: Choice) -> Mark:
        """Return a mark of a client that wants less than before: counts of what was sent stay as they are."""
        loose = mark.loose + self._loose.of(after) - self._loose.of(before)
        ticks = mark.ticks if mark.ticks is None else mark.ticks + self._ticks.of(after) - self._ticks.of(before)
        return mark._replace(loose=loose, ticks=ticks)

    def conflated_at_least(self, mark: Mark) -> int:
        """Return how many ticks a client that takes everything will not get any more; fast, and never too much."""
        return 0 if mark.ticks is None else max(0, self._ticks.total - mark.ticks - len(self._tables[TICK]))

    # -- what was missed --------------------------------------------------------------------------------

    def missed(self, mark: Mark, choice: Choice, loose_bytes: int) -> Missed:
        """Return what a client gets now, of other events than the latest the newest that fit into ``loose_bytes``."""
        latest = list(self._newer(mark.offset, choice))
        loose = self._newer_loose(mark.offset, choice, loose_bytes)
        dropped = self._loose.of(choice) - mark.loose - len(loose) if self._any_loose(mark) else 0
        conflated = 0
        if mark.ticks is not None:
            sent = sum(message.event == TICK and message.offset > mark.ticks_offset for message in latest)
            conflated = self._ticks.of(choice) - mark.ticks - sent
        return Missed(sorted(latest + loose, key=_offset), mark.at, conflated, dropped)

    def missed_loose(self, mark: Mark, choice: Choice, loose_bytes: int) -> Missed:
        """Return the same without the latest of each product, for a client that is sent a snapshot."""
        loose = self._newer_loose(mark.offset, choice, loose_bytes)
        # one that joins may have come to want more meanwhile
        return Missed(loose, mark.at, 0, max(0, self._loose.of(choice) - mark.loose - len(loose)))

    def _any_loose(self, mark: Mark) -> bool:
        return bool(self._ring) and self._ring[-1].offset > mark.offset

    def _newer(self, offset: int, choice: Choice) -> Iterator[Message]:
        names = choice.names
        for table in self._tables.values():
            if names is not None and len(names) <= LOOK_UP and not choice.has_patterns:
                found = (table[name] for name in names if name in table)
                yield from (message for message in found if message.offset > offset)
            else:
                newer = takewhile(lambda message: message.offset > offset, reversed(table.values()))
                yield from newer if names is None else (item for item in newer if choice.wants(item.product))

    def _newer_loose(self, offset: int, choice: Choice, limit_bytes: int) -> list[Message]:
        found: list[Message] = []
        for message in takewhile(lambda item: item.offset > offset, reversed(self._ring)):
            if choice.wants(message.product):
                limit_bytes -= len(message.frame)
                if limit_bytes < 0 and found:
                    break
                found.append(message)
        found.reverse()
        return found


def _offset(message: Message) -> int:
    return message.offset
