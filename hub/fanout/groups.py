"""Who wants a message: from its product to those that asked for it, so that cost follows what is delivered. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Generic, TypeVar

from hub.fanout.batch import Batch, Message
from hub.fanout.choice import ALL, Choice, keys

T = TypeVar("T")


class Index(Generic[T]):
    """From names and patterns to those that asked for them."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[T, None]] = {}  # a dict keeps the order in which they came
        self._names: dict[T, frozenset[str]] = {}

    def add(self, item: T, names: frozenset[str] | None) -> None:
        """Have an item found by its names; None is everything."""
        self._names[item] = names = frozenset({ALL}) if names is None else names
        for name in names:
            self._by_name.setdefault(name, {})[item] = None

    def discard(self, item: T) -> None:
        """Forget an item."""
        for name in self._names.pop(item, ()):
            items = self._by_name[name]
            del items[item]
            if not items:
                del self._by_name[name]

    def touched(self, messages: Iterable[Message]) -> Iterator[T]:
        """Yield each item that wants any of these messages, some of them more than once."""
        by_name = self._by_name
        if any(message.product is None for message in messages):
            yield from self._names
            return
        names = {name for message in messages for name in keys(message.product or "") if name in by_name}
        for name in names:
            yield from by_name[name]

    def wanted(self, messages: Iterable[Message]) -> dict[T, list[Message]]:
        """Return item → what it wants of these messages, in order; items that want the same may share the list."""
        by_name, by_found = self._by_name, dict[str, list[Message]]()
        loose: list[Message] = []
        for message in messages:
            if message.product is None:
                loose.append(message)
                continue
            for name in keys(message.product):
                if name in by_name:
                    by_found.setdefault(name, []).append(message)
        lists: dict[T, list[list[Message]]] = {}
        for name, found in by_found.items():
            for item in by_name[name]:
                lists.setdefault(item, []).append(found)
        if loose:
            for item in self._names:
                lists.setdefault(item, []).append(loose)
        return {item: parts[0] if len(parts) == 1 else _merged(parts) for item, parts in lists.items()}


def _merged(parts: list[list[Message]]) -> list[Message]:
    return sorted({message.offset: message for part in parts for message in part}.values(), key=lambda one: one.offset)


class Groups(Generic[T]):
    """Members of equal choices share their batches."""

    def __init__(self) -> None:
        self._members: dict[tuple[object, bool], dict[T, None]] = {}
        self._index: Index[tuple[object, bool]] = Index()

    def add(self, member: T, choice: Choice) -> None:
        """Have a member get what its choice wants."""
        group = (choice.names, choice.batch)
        if group not in self._members:
            self._members[group] = {}
            self._index.add(group, choice.names)
        self._members[group][member] = None

    def discard(self, member: T, choice: Choice) -> None:
        """Forget a member, that was added with this choice."""
        group = (choice.names, choice.batch)
        members = self._members[group]
        del members[member]
        if not members:
            del self._members[group]
            self._index.discard(group)

    def batches(self, messages: Iterable[Message]) -> Iterator[tuple[Batch, list[T]]]:
        """Yield each batch of these messages and the members that want it."""
        if not self._members:
            return
        made: dict[tuple[bool, tuple[int, ...]], Batch] = {}
        for group, wanted in self._index.wanted(messages).items():
            batched = group[1]
            key = (batched, tuple([message.offset for message in wanted]))
            if (batch := made.get(key)) is None:
                batch = made[key] = Batch(wanted, batched)
            yield batch, list(self._members[group])


class Paces(Generic[T]):
    """Members that want to be written to at most so often."""

    def __init__(self) -> None:
        self._index: Index[T] = Index()
        self._due_at: dict[T, float] = {}  # before that, nothing for it
        self._waiting: dict[T, int] = {}  # those for which there is something → the number of their turn
        self._turns: list[tuple[float, int, T]] = []  # a heap; a turn whose number is another one's is void
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._due_at)

    def add(self, member: T, names: frozenset[str] | None, due_at: float) -> None:
        """Have a member get a turn, not before ``due_at``, when there is something that it wants."""
        self._index.add(member, names)
        self._due_at[member] = due_at

    def discard(self, member: T) -> float:
        """Forget a member; return when its next turn is due."""
        self._index.discard(member)
        self._waiting.pop(member, None)
        return self._due_at.pop(member)

    def touch(self, messages: Iterable[Message]) -> None:
        """Note who wants any of these."""
        if self._due_at:
            for member in self._index.touched(messages):
                self.want_turn(member)

    def want_turn(self, member: T) -> None:
        """Note that there is something for a member."""
        if member not in self._waiting:
            number = self._waiting[member] = next(self._numbers)
            heapq.heappush(self._turns, (self._due_at[member], number, member))

    def due(self, now: float) -> Iterator[T]:
        """Yield each member whose turn it is; it should get its next one with ``went``."""
        while self._turns and self._turns[0][0] <= now:
            _, number, member = heapq.heappop(self._turns)
            if self._waiting.get(member) == number:
                del self._waiting[member]
                yield member

    def went(self, member: T, due_at: float) -> None:
        """Note when a member's next turn is due."""
        if member in self._due_at:
            self._due_at[member] = due_at

    def wait_seconds(self, now: float) -> float | None:
        """Return the seconds until the next turn, None if nobody waits for one."""
        while self._turns and self._waiting.get(self._turns[0][2]) != self._turns[0][1]:
            heapq.heappop(self._turns)
        return max(0.0, self._turns[0][0] - now) if self._turns else None
