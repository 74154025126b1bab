"""What is broken at the moment, and the kinds of fault that can be asked for.

A kind is a function with the fields that it knows, registered by ``@kind``; it breaks something and returns how many
things it hit. What goes on for a while is kept in ``Faults`` with a deadline and ends by itself or by ``clear``.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from hub import wire

if TYPE_CHECKING:
    from hub.simulator.exchange import Exchange
    from hub.simulator.session import Session


class Refusal(NamedTuple):
    """How upgrades are refused: with a status, or by never answering."""

    until: float
    status: int
    retry_after: str | None
    hang: bool


class RestFault(NamedTuple):
    """How REST answers badly. ``body`` replaces the right one; ``status`` None leaves the right one."""

    until: float
    status: int | None
    body: bytes | None
    content_type: str
    truncate: bool
    delay_seconds: float


class Faults:
    """The faults that last. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._refusal: Refusal | None = None
        self._rest: RestFault | None = None
        self._drops: dict[str, int] = {}

    def refusal(self, now: float) -> Refusal | None:
        """Return how upgrades are refused at ``now``, None if they are not."""
        return self._refusal if self._refusal is not None and now < self._refusal.until else None

    def rest(self, now: float) -> RestFault | None:
        """Return how REST fails at ``now``, None if it does not."""
        return self._rest if self._rest is not None and now < self._rest.until else None

    def takes(self, product_id: str) -> bool:
        """Tell whether a trade's ticker is dropped, and count it off."""
        left = self._drops.get(product_id)
        if left is None:
            return False
        if left > 1:
            self._drops[product_id] = left - 1
        else:
            del self._drops[product_id]
        return True

    def refuse(self, refusal: Refusal) -> None:
        """Refuse upgrades from now on."""
        self._refusal = refusal

    def break_rest(self, fault: RestFault) -> None:
        """Answer REST badly from now on."""
        self._rest = fault

    def drop(self, product_id: str, count: int) -> None:
        """Send no ticker of the product's next ``count`` trades."""
        self._drops[product_id] = self._drops.get(product_id, 0) + count

    def clear(self) -> None:
        """End all of them."""
        self._refusal = self._rest = None
        self._drops.clear()


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

    def product(self, exchange: Exchange) -> str:
        """Return ``product``, one that the market has."""
        return _known(self.text("product"), exchange)

    def connections(self, exchange: Exchange) -> list[Session]:
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


def _known(product_id: Any, exchange: Exchange) -> str:
    if not isinstance(product_id, str) or product_id not in exchange.market.product_ids:
        raise FaultError(f"product has to be one of the market's, not {product_id!r}")
    return product_id


Kind = Callable[[Wanted, "Exchange", float], int]
KINDS: dict[str, tuple[frozenset[str], Kind]] = {}


def kind(name: str, *fields: str) -> Callable[[Kind], Kind]:
    """Register a kind of fault and the fields that it knows."""

    def register(function: Kind) -> Kind:
        KINDS[name] = frozenset({"kind", *fields}), function
        return function

    return register


def cause(body: dict[str, Any], exchange: Exchange, now: float) -> int:
    """Cause the fault that ``body`` asks for and return how many things were hit."""
    name = body.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise FaultError(f"kind has to be one of {', '.join(sorted(KINDS))}, not {name!r}")
    fields, function = KINDS[name]
    unknown = sorted(set(body) - fields)
    if unknown:
        raise FaultError(f"{name} does not know {', '.join(unknown)}; it knows {', '.join(sorted(fields))}")
    return function(Wanted(body), exchange, now)


@kind("kill", "connections")
def _kill(wanted: Wanted, exchange: Exchange, now: float) -> int:  # noqa: ARG001 - every kind has the same form
    """TCP reset."""
    sessions = wanted.connections(exchange)
    for session in sessions:
        session.reset()
    return len(sessions)


@kind("mute", "connections", "seconds")
def _mute(wanted: Wanted, exchange: Exchange, now: float) -> int:
    """The socket stays open; nothing is read or written any more."""
    sessions, until = wanted.connections(exchange), wanted.until(now)
    for session in sessions:
        session.mute(until)
    return len(sessions)


@kind("drop", "product", "count")
def _drop(wanted: Wanted, exchange: Exchange, now: float) -> int:  # noqa: ARG001
    """The next trades of a product happen, and their tickers are not sent."""
    exchange.faults.drop(wanted.product(exchange), wanted.whole("count", 1, 1_000_000))
    return 1


@kind("garbage", "connections", "text", "base64", "raw")
def _garbage(wanted: Wanted, exchange: Exchange, now: float) -> int:  # noqa: ARG001
    """A text frame of anything; ``raw`` writes the bytes without a frame around them."""
    sessions = wanted.connections(exchange)
    text, encoded = wanted.text("text"), wanted.text("base64")
    if (text is None) == (encoded is None):
        raise FaultError("garbage wants either text or base64")
    try:
        data = text.encode() if text is not None else base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise FaultError(f"garbage that can not be encoded: {error}") from error
    framed = data if wanted.flag("raw") else wire.text_frame(data)
    for session in sessions:
        session.write_now(framed)
    return len(sessions)


@kind("refuse", "seconds", "status", "retry_after", "hang")
def _refuse(wanted: Wanted, exchange: Exchange, now: float) -> int:
    """Upgrades are refused; connections that are open stay."""
    retry_after = f"{wanted.number('retry_after'):g}" if wanted.has("retry_after") else None
    status = wanted.whole("status", 200, 599, default=503)
    exchange.faults.refuse(Refusal(wanted.until(now), status, retry_after, wanted.flag("hang")))
    return 1


@kind("rest", "seconds", "status", "html", "truncate", "empty", "body", "delay_seconds")
def _rest(wanted: Wanted, exchange: Exchange, now: float) -> int:
    """REST answers with an error, HTML, half a body, none, another one, or late."""
    if not any(wanted.has(name) for name in ("status", "html", "truncate", "empty", "body", "delay_seconds")):
        raise FaultError("rest wants at least one of status, html, truncate, empty, body, delay_seconds")
    status = wanted.whole("status", 200, 599) if wanted.has("status") else None
    given = wanted.text("body")
    body = given.encode() if given is not None else None
    content_type = "application/json"
    if wanted.flag("empty"):
        body = b""
    elif wanted.flag("html"):
        body, content_type = b"<!DOCTYPE html><html><body>maintenance</body></html>", "text/html"
    elif status is not None and body is None:
        body = b'{"message":"simulated fault"}'
    delay = wanted.number("delay_seconds", default=0.0)
    fault = RestFault(wanted.until(now), status, body, content_type, wanted.flag("truncate"), delay)
    exchange.faults.break_rest(fault)
    return 1
