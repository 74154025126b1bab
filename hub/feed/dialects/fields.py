"""The fields that the exchange's protocols share, each checked strictly: what passes may be passed on without escaping.

Each check takes a message's object and returns a field of it, or raises ``FrameRefused`` with the reason given.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from hub.model import FrameRefused

MAX_INTEGER = 2**53 - 1  # beyond it, JavaScript clients would read another number

_PRODUCT_ID = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}", re.ASCII).fullmatch
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?", re.ASCII).fullmatch
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,9})?Z", re.ASCII).fullmatch


def load(frame: bytes) -> dict[str, Any]:
    """Return the JSON object that a frame is."""
    if not frame:
        raise FrameRefused("empty")
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise FrameRefused("not_json", str(error)[:200]) from None
    if type(message) is not dict:
        raise FrameRefused("not_object", type(message).__name__)
    return message


def product_id(message: dict[str, Any]) -> str:
    """Return ``product_id``."""
    value = message.get("product_id")
    if type(value) is not str or not _PRODUCT_ID(value):
        raise FrameRefused("bad_product_id", repr(value)[:80])
    return value


def is_product_id(value: object) -> bool:
    """Tell whether a value is a product id."""
    return type(value) is str and _PRODUCT_ID(value) is not None


def decimal(message: dict[str, Any], field: str, reason: str) -> str:
    """Return a plain decimal number's text."""
    value = message.get(field)
    if type(value) is not str or not _DECIMAL(value):
        raise FrameRefused(reason, f"{field} is {repr(value)[:80]}")
    return value


def optional_decimal(message: dict[str, Any], field: str) -> str:
    """Return a plain decimal number's text, ``"0"`` where the field is not there."""
    return decimal(message, field, "bad_number") if field in message else "0"


def price(message: dict[str, Any]) -> str:
    """Return ``price``, which is not 0."""
    value = decimal(message, "price", "bad_price")
    if not value.strip("0."):
        raise FrameRefused("bad_price", "price is 0")
    return value


def integer(message: dict[str, Any], field: str, reason: str) -> int:
    """Return an integer of 0 or more that every client can tell from the next."""
    value = message.get(field)
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise FrameRefused(reason, f"{field} is {repr(value)[:80]}")
    return value


def time(message: dict[str, Any], field: str = "time") -> str:
    """Return a UTC time's RFC 3339 text."""
    value = message.get(field)
    if type(value) is not str or not _TIME(value):
        raise FrameRefused("bad_time", repr(value)[:80])
    if not _minute_exists(value[:16]):
        raise FrameRefused("bad_time", value)
    return value


def mark(message: dict[str, Any]) -> bool:
    """Return whether the simulator marked it."""
    simulated = message.get("simulated", False)
    if type(simulated) is not bool:
        raise FrameRefused("bad_mark", f"simulated is {simulated!r}"[:80])
    return simulated


@lru_cache(maxsize=1024)
def _minute_exists(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
