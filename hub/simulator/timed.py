"""Values that hold until a deadline: what every lasting fault is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Timed(Generic[Value]):
    """At most one value and its deadline, in monotonic seconds; a new one replaces it."""

    def __init__(self) -> None:
        self._value: Value | None = None
        self._until = 0.0

    def set(self, value: Value, until: float) -> None:
        """Let ``value`` hold from now on, until ``until``."""
        self._value, self._until = value, until

    def at(self, now: float) -> Value | None:
        """Return the value that holds at ``now``, None for none."""
        return self._value if now < self._until else None

    def clear(self) -> None:
        """End it."""
        self._value = None


class TimedMap(Generic[Value]):
    """A value for each product, until a deadline of its own; a new one replaces it."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Value, float]] = {}

    def set(self, product_id: str, value: Value, until: float) -> None:
        """Let ``value`` hold for a product from now on, until ``until``."""
        self._entries[product_id] = (value, until)

    def at(self, now: float) -> dict[str, Value]:
        """Return product → the value that holds at ``now``."""
        return {product_id: value for product_id, (value, until) in self._entries.items() if now < until}

    def clear(self) -> None:
        """End all of them."""
        self._entries.clear()


class TimedSet:
    """Product ids, each until a deadline of its own."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, product_ids: Iterable[str], until: float) -> None:
        """Add products; those that are in get the new deadline."""
        self._until.update(dict.fromkeys(product_ids, until))

    def holds(self, product_id: str, now: float) -> bool:
        """Tell whether a product is in it at ``now``."""
        return bool(self._until) and now < self._until.get(product_id, 0.0)

    def at(self, now: float) -> frozenset[str]:
        """Return the products that are in it at ``now``."""
        return frozenset(product_id for product_id, until in self._until.items() if now < until)

    def clear(self) -> None:
        """Remove all of them."""
        self._until.clear()
