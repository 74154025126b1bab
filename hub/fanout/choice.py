"""What a client asked to be sent. Pure.

``subscribe {"products": ["BTC-USD", "*-EUR"], "max_hz": 5, "batch": true}``: of these products only, each at most so
often, ticks as lists. What concerns no product (relayed alerts, ``lag``, ``hub_stopping``) reaches everybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

MAX_NAMES = 1_000
MAX_TOLD = 50  # unknown names in an acknowledgement
ALL = "*-*"
MIN_HZ, MAX_HZ = 0.1, 1_000.0
_NAME = re.compile(r"([A-Z0-9]{1,20}|\*)-([A-Z0-9]{1,20}|\*)", re.ASCII).fullmatch
KNOWN = {"products", "max_hz", "batch"}


class ChoiceError(ValueError):
    """A request that can't be met; the text says why, for whoever sent it."""


@lru_cache(16_384)
def keys(product: str) -> tuple[str, ...]:
    """Return the names by which a product may be asked for."""
    base, _, quote = product.partition("-")
    return product, f"*-{quote}", f"{base}-*", ALL


class Choice(NamedTuple):
    """What a client gets: ``names`` are product ids, and patterns with ``*`` for a whole side (None: everything)."""

    names: frozenset[str] | None = None
    max_hz: float | None = None
    batch: bool = False

    def wants(self, product: str | None) -> bool:
        """Tell whether the client gets events of this product (None: what concerns no product)."""
        names = self.names
        if names is None or product is None or product in names:
            return True
        # a handful of look-ups, however many names there are: nobody's patterns cost the others anything
        return not names.isdisjoint(keys(product))

    @property
    def has_patterns(self) -> bool:
        """Whether any name stands for more than one product."""
        return self.names is None or any("*" in name for name in self.names)

    def narrowed(self, wish: Choice) -> Choice:
        """Return what of a wish holds at once: all but products that the client does not get yet, and a lifted pace."""
        names = wish.names if self.names is None else self.names if wish.names is None else self.names & wish.names
        return Choice(names, self.max_hz if wish.max_hz is None else wish.max_hz, wish.batch)

    def beyond(self, other: Choice, products: Callable[[], Iterable[str]]) -> list[str]:
        """Return the products that this choice wants and another one does not; ``products()``: those that there are."""
        if self.names is not None and other.names is not None:
            more = self.names - other.names
            candidates = products() if any("*" in name for name in more) else more
        else:
            candidates = products() if other.names is not None else ()
        return [product for product in candidates if self.wants(product) and not other.wants(product)]


EVERYTHING = Choice()


def subscribed(old: Choice, request: Any, known: Callable[[str], bool]) -> tuple[Choice, list[str]]:
    """Return (the new choice, the names that are not watched and were left out). Raises ``ChoiceError``.

    The first ``subscribe`` that names products ends "everything"; later ones add to it.
    """
    fields = _fields(request)
    names, unknown = _names(fields["products"], known) if "products" in fields else (None, [])
    if names is None:
        chosen = old.names
    else:
        chosen = frozenset(names) | (old.names or frozenset())
        if len(chosen) > MAX_NAMES:
            raise ChoiceError(f"more than {MAX_NAMES} names")
    return Choice(chosen, _max_hz(fields, old.max_hz), _flag(fields, old.batch)), unknown


def unsubscribed(old: Choice, request: Any) -> Choice:
    """Return the choice without these names; without ``products``: nothing is left. Raises ``ChoiceError``."""
    fields = _fields(request)
    if "products" not in fields:
        return old._replace(names=frozenset())
    if old.names is None:
        raise ChoiceError("this client gets everything; subscribe to products first")
    names, _ = _names(fields["products"], lambda _: True)
    return old._replace(names=old.names - frozenset(names))


def acknowledgement(less: Choice, more: Choice, new: Choice, unknown: list[str]) -> dict[str, Any]:
    """Return what a client is told: what ``more`` has and ``less`` has not, one of which is its ``new`` choice.

    Never all that it chose: nobody should get more out than it puts in.
    """
    fewer, names = (frozenset({ALL}) if choice.names is None else choice.names for choice in (less, more))
    return {
        "success": True, "products": sorted(names - fewer),
        "products_count": None if new.names is None else len(new.names),
        "max_hz": new.max_hz, "batch": new.batch, "unknown": unknown[:MAX_TOLD], "unknown_count": len(unknown),
    }  # fmt: skip


def _fields(request: Any) -> dict[str, Any]:
    if not isinstance(request, dict):
        raise ChoiceError("one JSON object is needed")
    if strange := set(request) - KNOWN:
        raise ChoiceError(f"unknown field {sorted(map(str, strange))[0][:40]!r}; known are {', '.join(sorted(KNOWN))}")
    return request


def _names(value: Any, known: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise ChoiceError(f"products must be a list of at most {MAX_NAMES} names")
    names: list[str] = []
    unknown: list[str] = []
    for item in value:
        name = item.upper() if isinstance(item, str) and len(item) <= 41 else ""
        if not _NAME(name):
            raise ChoiceError(f"products: {str(item)[:41]!r} is no name such as BTC-USD or *-EUR")
        (names if "*" in name or known(name) else unknown).append(name)
    return names, unknown


def _max_hz(fields: dict[str, Any], old: float | None) -> float | None:
    if "max_hz" not in fields:
        return old
    value = fields["max_hz"]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not MIN_HZ <= value <= MAX_HZ:
        raise ChoiceError(f"max_hz must be a number from {MIN_HZ:g} to {MAX_HZ:g}, or null")
    return float(value)


def _flag(fields: dict[str, Any], old: bool) -> bool:
    value = fields.get("batch", old)
    if not isinstance(value, bool):
        raise ChoiceError("batch must be true or false")
    return value
