"""One gap of the ledger out of the state file, checked as what comes from outside: by an older version, or broken."""

from __future__ import annotations

import json
import re
from typing import Any

from hub.ledger import Gap
from hub.model import IdRange
from hub.parse import PRODUCT_ID

MAX_ID = 2**53  # of a gap or a trade: as JavaScript knows it to the last digit
MAX_AT = 1e11  # seconds; of a later time there is no ISO 8601
WORD = re.compile(r"[\w .:-]{1,64}")


def parse(body: Any) -> Gap:
    """Return the gap of a row. Raises ``ValueError`` or ``TypeError``, which say what is wrong."""
    gap = Gap(**json.loads(body))
    gap.missing = _ranges(gap.missing)
    if not _is_id(gap.id) or not all(item is None or _is_id(item) for item in (gap.first_id, gap.last_id)):
        raise ValueError("its ids are none")
    if gap.product is not None and not (isinstance(gap.product, str) and PRODUCT_ID.fullmatch(gap.product)):
        raise ValueError("its product is none")
    if gap.product is None and gap.missing:
        raise ValueError("it misses trades of no product")
    if not all(_is_word(item) for item in (gap.epoch, gap.cause)):
        raise ValueError("it has no epoch or no cause")
    if not all(item is None or _is_word(item) for item in (gap.connection_id, gap.healed)):
        raise ValueError("its connection, or its end, has no name")
    if not _is_time(gap.opened_at) or not (gap.closed_at is None or _is_time(gap.closed_at)):
        raise ValueError("its time is none")
    if gap.duration_ms is not None and type(gap.duration_ms) is not int:
        raise ValueError("its length is none")
    gap.opened_monotonic = 0.0  # of another process
    return gap


def _ranges(found: Any) -> list[IdRange]:
    """Return trade ids as ranges: each after the one before it."""
    ranges = [(first, last) for first, last in found]
    before = -1
    for first, last in ranges:
        if not (_is_id(first) and _is_id(last) and before < first <= last):
            raise ValueError("its missing trades are none")
        before = last
    return ranges


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_ID


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_AT


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None
