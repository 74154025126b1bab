"""What several routes read: of their query, each raising ``ValueError``, in words, for what can't be; of their body."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import orjson
from flask import current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from hub.parse import PRODUCT_ID
from hub.web.guard import MAX_BODY_BYTES

MAX_DEPTH = 32  # of objects and lists in each other


def limit(default: int, most: int) -> int:
    """Return a positive integer; ``most`` for a larger one."""
    text = request.args.get("limit", str(default))
    if not re.fullmatch(r"0*[1-9][0-9]{0,999}", text, re.ASCII):
        raise ValueError("limit must be a positive integer")
    return min(int(text), most)


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


def json_body(max_bytes: int = MAX_BODY_BYTES) -> Any:
    """Return the parsed body, None where it is no strict JSON or too deep; raises 413 for one that is too large."""
    request.max_content_length = max_bytes + 1  # one that comes in chunks is cut off there without an error
    data = request.get_data(cache=False)
    if len(data) > max_bytes:
        raise RequestEntityTooLarge
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        current_app.logger.debug("no JSON in a body of %d bytes: %s", len(data), error)
        return None
    return body if not_deep(body) else None


def not_deep(value: Any) -> bool:
    """Tell whether JSON is nested no deeper than ``MAX_DEPTH``: deeper ones can be parsed, but not written again."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        parents = [item for item in level if isinstance(item, dict | list)]
        if not parents:
            return True
        level = [item for parent in parents for item in (parent.values() if isinstance(parent, dict) else parent)]
    return False
