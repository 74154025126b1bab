"""One entry of the journal out of the state file, checked as what comes from outside: by an older version, or broken.

What is restored is shown to people and sent as it is: one entry of the wrong shape must not break those beside it.
"""

from __future__ import annotations

from typing import Any

import orjson

from hub.detect.relayed import RELAYED, check
from hub.journal import KINDS, MAX_PAYLOAD, MAX_TEXT, TONES, Entry

MAX_ID = 10**15  # as ``GET /journal?after=`` takes it, and as JavaScript knows it to the last digit
MAX_AT = 1e11  # seconds; of a later time there is no ISO 8601
MAX_NAME = 64
MAX_BODY = 65_536  # characters of a row
LISTS = ("products", "connections")  # in ``data``


def parse(body: str) -> Entry:
    """Return the entry of a row. Raises ``ValueError`` or ``TypeError``, which say what is wrong."""
    if len(body) > MAX_BODY:
        raise ValueError(f"it has {len(body)} characters")
    entry = Entry(*orjson.loads(body))
    if type(entry.id) is not int or not 0 < entry.id < MAX_ID:
        raise ValueError("its id is none")
    if type(entry.at) not in (int, float) or not 0 <= entry.at < MAX_AT:
        raise ValueError("its time is none")
    if entry.kind not in KINDS or entry.tone not in TONES:
        raise ValueError("its kind or tone is not known")
    if not all(name is None or _is_name(name) for name in (entry.connection_id, entry.product)):
        raise ValueError("what it is about has no name")
    if not isinstance(entry.text, str) or not isinstance(entry.data, dict):
        raise ValueError("it has no text or no data")
    if not all(_is_names(entry.data.get(name, [])) for name in LISTS):
        raise ValueError("it names no products")
    return entry._replace(text=entry.text[:MAX_TEXT], payload=_payload(entry.data.get("event"), entry.payload))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(_is_name(item) for item in value)


def _payload(event: Any, payload: Any) -> str | None:
    """Return what was sent, where it may be shown: what would not be relayed today is not."""
    if not isinstance(payload, str) or len(payload) > MAX_PAYLOAD:
        return None
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if event in RELAYED and (not isinstance(body, dict) or check(event, body) is not None):
        return None
    return payload
