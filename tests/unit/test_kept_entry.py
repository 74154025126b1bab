"""What the state file may hold of the journal: an entry of the wrong shape breaks nothing beside it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.journal import MAX_PAYLOAD, MAX_TEXT, Entry, Journal
from hub.kept_entry import parse

GOOD = Entry(7, 1_800_000_000.0, "alert", "warn", None, "BTC-USD", "a text", {"event": "spike_alert"}, '{"symbol":"X"}')


def row(**changed: Any) -> str:
    return orjson.dumps(list(GOOD._replace(**changed))).decode()


def test_a_good_one_comes_back() -> None:
    assert parse(row()) == GOOD
    assert parse(orjson.dumps(list(GOOD[:8])).decode()) == GOOD._replace(payload=None)  # of before there were payloads


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "7"}, {"id": 2**60}, {"id": -1}, {"id": True}, {"at": "today"}, {"at": 1e300}, {"at": -1}, {"at": None},
        {"kind": "constructor"}, {"kind": []}, {"tone": "__proto__"}, {"tone": {}}, {"connection_id": 7},
        {"product": {"a": 1}}, {"product": "X" * 65}, {"text": None}, {"text": {}}, {"data": []}, {"data": None},
        {"data": {"products": 7}}, {"data": {"products": [{}]}}, {"data": {"connections": "conn"}},
        {"data": {"x": "y" * 70_000}},
    ],
)  # fmt: skip
def test_a_bad_one_is_left_out(changed: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse(row(**changed))


@pytest.mark.parametrize("body", ["", "{}", "[]", "7", "null", "[1,2]", "[" * 9_999])
def test_what_is_no_entry(body: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse(body)


@pytest.mark.parametrize(
    "payload", ['{"old_price":"1e999999"}', '{"spike_type":{"toString":1}}', "[]", "{", '{"a":NaN}', 7, {}, "1" * 5_000]
)
def test_what_would_not_be_relayed_today_is_not_shown(payload: Any) -> None:
    assert parse(row(payload=payload)) == GOOD._replace(payload=None)


def test_of_the_hub_s_own_the_payload_is_any_json() -> None:
    assert parse(row(data={"event": "hub_alert"}, payload="[1]")).payload == "[1]"
    assert parse(row(text="x" * 9_999)).text == "x" * MAX_TEXT
    assert parse(row(payload='"' + "x" * (MAX_PAYLOAD - 2) + '"', data={"event": "hub_alert"})).payload is not None


words = st.sampled_from(["alert", "warn"])
simple = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | words
anything = simple | st.lists(simple, max_size=2) | st.dictionaries(st.sampled_from(["products", "event"]), simple)


@given(st.lists(anything, min_size=7, max_size=10))
def test_what_is_let_in_can_be_asked_for(values: list[Any]) -> None:
    try:
        entry = parse(orjson.dumps(values).decode())
    except (ValueError, TypeError):
        return
    journal = Journal()
    journal.restore([entry])
    orjson.dumps([found.body() for found in (*journal.query(product="A-USD"), *journal.query(), *journal.alerts())])
