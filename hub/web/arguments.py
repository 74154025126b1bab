"""What several routes read of their query: each raises ``ValueError``, in words, for what can't be."""

from __future__ import annotations

import re
from datetime import datetime

from flask import request

from hub.parse import PRODUCT_ID


def limit(default: int, name: str = "limit") -> int:
    """Return a positive integer."""
    text = request.args.get(name, str(default))
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text, re.ASCII):
        raise ValueError(f"{name} must be a positive integer")
    return int(text)


def since() -> float | None:
    """Return a time as wall-clock seconds since the epoch; None where none is asked for."""
    text = request.args.get("since")
    if text is None:
        return None
    try:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text, re.ASCII):
            return float(text)
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError("since must be a time: ISO 8601, or seconds since 1970") from None


def product_id(name: str) -> str | None:
    """Return a product id in upper case."""
    text = request.args.get(name)
    if text is not None and not PRODUCT_ID.fullmatch(text := text.upper()):
        raise ValueError(f"{name} must be an id such as BTC-USD")
    return text
