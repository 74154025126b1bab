"""What of the alerts fits into one answer: strangers send some of them, and one that is not read is held. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

MAX_BYTES = 98_304  # of the entries of an answer, which is no longer than 100 KB then
LEAST_BYTES = 400  # that are kept free for each entry that follows, so that long ones push none out
SHORT_TEXT = 30  # characters, each up to 6 bytes


def fitting(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all of them, the newest first; without its payload, and with a shorter text, where there is no room."""
    found: list[dict[str, Any]] = []
    left = MAX_BYTES
    for number, whole in enumerate(entries, 1):
        room = left - LEAST_BYTES * (len(entries) - number)
        without = {**whole, "payload": None}
        for entry in (whole, without, {**without, "text": whole["text"][: SHORT_TEXT - 1] + "…"}):
            size = len(orjson.dumps(entry)) + 1  # a comma
            if size <= room:
                break
        found.append(entry)
        left -= size
    return found
