"""What is relayed of a client's alert: it goes on unchanged, or it is refused. Pure.

An alert reaches every client and every dashboard. What no reader expects is refused: a number that is none, or a text
where a name belongs, would break one of them. A field that is missing or null is the sender's own business.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_DEPTH = 8
MAX_VALUES = 256  # of all objects and lists together
MAX_NAME = 64  # characters: of a field, of a product
MAX_WORD = 40
MAX_DIGITS = 39
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
NUMBERS = {
    "spike_alert": ("pct_change", "old_price", "new_price", "peak_price"),
    "trade_update": ("current_vol", "avg_vol", "threshold", "ratio"),
}
WORDS = {"symbol": MAX_NAME, "crypto": MAX_NAME, "spike_type": MAX_WORD, "event_type": MAX_WORD}
RELAYED = tuple(NUMBERS)  # the events


def check(event: str, payload: dict[str, Any]) -> str | None:
    """Return what is wrong with a client's alert, in words; None for one that may go on."""
    if (problem := _shape(payload)) is not None:
        return problem
    for name in NUMBERS[event]:
        if not _is_number(payload.get(name)):
            return f"{name} must be a finite number"
    for name, most in WORDS.items():
        if not _is_word(payload.get(name), most):
            return f"{name} must be a text of at most {most} printable characters"
    return None


def _shape(payload: dict[str, Any]) -> str | None:
    level: list[Any] = [payload]
    values = 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if any(len(name) > MAX_NAME for name in item):
                    return f"a name of a field has at most {MAX_NAME} characters"
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        values += len(inner)
        if values > MAX_VALUES:
            return f"an alert has at most {MAX_VALUES} values"
        if not inner:
            return None
        level = inner
    return f"an alert is nested at most {MAX_DEPTH} deep"


def _is_number(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return len(value) <= MAX_DIGITS and NUMBER.fullmatch(value) is not None and math.isfinite(float(value))
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_word(value: object, most: int) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= most and value.isprintable())
