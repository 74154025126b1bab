"""What of the alerts fits into one answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.web.signals import MAX_BYTES, fitting


def entry(number: int, text: str, payload: str | None) -> dict[str, Any]:
    return {
        "id": 1_795_276_790_640 + number, "time": "2026-11-21T16:00:04.067254Z", "event": "trade_update",
        "symbol": f"{'A' * 20}-{'B' * 20}", "text": text,
        "payload": orjson.Fragment(payload) if payload is not None else None,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["short", "x" * 500, "\u0000" * 500, "😀" * 500, '"\\' * 250])
@pytest.mark.parametrize("payload", [None, '{"a":1}', '{"a":"%s"}' % ("x" * 4_000)])
@pytest.mark.parametrize("count", [0, 1, 50, 200])
def test_an_answer_has_a_bound_and_every_entry(text: str, payload: str | None, count: int) -> None:
    entries = [entry(number, text, payload) for number in range(count)]
    found = fitting(entries)
    assert len(orjson.dumps(found)) <= MAX_BYTES + 2
    assert [item["id"] for item in found] == [item["id"] for item in entries]
    if count == 1:
        assert found == entries


def test_what_is_long_takes_no_room_from_what_is_short() -> None:
    long = entry(0, "x" * 500, '{"a":"%s"}' % ("x" * 4_000))
    short = entry(1, "the hub's own", '{"a":1}')
    found = fitting([*[long] * 199, short])
    assert found[0]["payload"] is not None, "the newest is whole"
    assert found[-2]["payload"] is None
    assert found[-1] == short
