"""The words of a fault request, and the register of the kinds of fault.

A kind is a function with the fields that it knows, registered by ``@kind``; it breaks something and returns how many
things it hit. What goes on for a while is kept in ``broken.Faults`` and ends by itself or by ``clear``. A kind that
knows ``endpoint`` can hit either endpoint, or both; the others hit the Exchange, or the market.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hub.simulator.endpoint import Endpoint
from hub.simulator.market import GeneratedMarket
from hub.simulator.session import Session


class FaultError(ValueError):
    """A fault was asked for in words that make no sense."""


class Wanted:
    """The fields of a fault request, checked as they are read (``FaultError`` names the bad one)."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number of 0 or more; required without a default."""
        value = self._fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < math.inf):
            raise FaultError(f"{name} has to be a number of 0 or more, not {value!r}")
        return value

    def signed(self, name: str) -> float:
        """Return a finite number of any sign."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FaultError(f"{name} has to be a number, not {value!r}")
        return value

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer from ``low`` to ``high``; required without a default."""
        value = self._fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise FaultError(f"{name} has to be an integer from {low} to {high}, not {value!r}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean, False when absent."""
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            raise FaultError(f"{name} has to be true or false, not {value!r}")
        return value

    def text(self, name: str) -> str | None:
        """Return a text, None when absent."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise FaultError(f"{name} has to be a text, not {value!r}")
        return value

    def until(self, now: float) -> float:
        """Return the deadline that ``seconds`` sets; null is until it is cleared."""
        if "seconds" in self._fields and self._fields["seconds"] is None:
            return math.inf
        return now + self.number("seconds")

    def has(self, name: str) -> bool:
        """Tell whether a field is there."""
        return name in self._fields

    def product(self, exchange: Endpoint) -> str:
        """Return ``product``, one that the market has."""
        return _known(self.text("product"), exchange)

    def products(self, exchange: Endpoint) -> tuple[str, ...]:
        """Return ``products``: a list of the market's, or ``"half"``, every other one."""
        value = self._fields.get("products")
        if value == "half":
            return made_up(exchange).half()
        if not isinstance(value, list) or not value:
            raise FaultError('products has to be a list of product ids or "half"')
        return tuple(_known(one, exchange) for one in value)

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty when absent."""
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise FaultError(f"{name} has to be a list of texts, not {value!r}")
        return tuple(value)

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, empty when absent."""
        value = self._fields.get(name, {})
        if not isinstance(value, dict):
            raise FaultError(f"{name} has to be an object, not {value!r}")
        return value

    def is_null(self, name: str) -> bool:
        """Tell whether a field is there and null."""
        return name in self._fields and self._fields[name] is None

    def connections(self, exchange: Endpoint) -> list[Session]:
        """Return the open connections meant: ``"all"``, indexes, or ``{"product": id}``."""
        chosen = self._fields.get("connections")
        sessions = exchange.sessions()
        if chosen == "all":
            return sessions
        if isinstance(chosen, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in chosen):
            return [session for session in sessions if session.index in chosen]
        if isinstance(chosen, dict) and set(chosen) == {"product"}:
            product_id = _known(chosen["product"], exchange)
            return [session for session in sessions if product_id in session.product_ids()]
        raise FaultError('connections has to be "all", a list of indexes, or {"product": id}')


def made_up(exchange: Endpoint) -> GeneratedMarket:
    """Return the market; ``FaultError`` if it is a recorded one, which nothing can change."""
    if not isinstance(exchange.market, GeneratedMarket):
        raise FaultError("only a made-up market can do this, and this simulator replays a recording")
    return exchange.market


def _known(product_id: Any, exchange: Endpoint) -> str:
    if not isinstance(product_id, str) or product_id not in exchange.market.product_ids:
        raise FaultError(f"product has to be one of the market's, not {product_id!r}")
    return product_id


Kind = Callable[[Wanted, Endpoint, float], int]
KINDS: dict[str, tuple[frozenset[str], Kind]] = {}


def kind(name: str, *fields: str) -> Callable[[Kind], Kind]:
    """Register a kind of fault and the fields that it knows."""

    def register(function: Kind) -> Kind:
        KINDS[name] = frozenset({"kind", *fields}), function
        return function

    return register
