"""A gap out of the state file: what is none is refused, before anything is done with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.kept_gap import parse

GOOD: dict[str, Any] = {
    "id": 7, "epoch": "1f0c-7", "product": "BTC-USD", "connection_id": "conn_000", "cause": "sequence", "first_id": 8,
    "last_id": 12, "opened_at": 1.7e9, "missing": [[8, 9], [11, 12]], "closed_at": None, "duration_ms": None,
    "healed": None,
}  # fmt: skip


def test_a_good_one_comes_back() -> None:
    gap = parse(json.dumps(GOOD))
    assert (gap.id, gap.product, gap.missing) == (7, "BTC-USD", [(8, 9), (11, 12)])
    whole = {"product": None, "first_id": None, "last_id": None, "missing": [], "closed_at": 1.7e9, "duration_ms": 5,
             "healed": "not watched"}  # fmt: skip
    assert parse(json.dumps({**GOOD, **whole})).body()["open"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"}, {"id": True}, {"id": -1}, {"id": 2**60}, {"id": 1.5}, {"epoch": 5}, {"epoch": "x" * 100},
        {"epoch": "a\nb"}, {"product": "btc"}, {"product": 5}, {"product": "<b>-USD"}, {"product": None},
        {"connection_id": 5}, {"connection_id": "\x00"}, {"cause": None}, {"cause": ["sequence"]}, {"first_id": "8"},
        {"last_id": 2**60}, {"opened_at": None}, {"opened_at": 1e300}, {"opened_at": "x"}, {"opened_at": float("nan")},
        {"closed_at": -1}, {"closed_at": True}, {"duration_ms": "5"}, {"duration_ms": 5.5}, {"healed": {}},
        {"missing": None}, {"missing": 5}, {"missing": [5]}, {"missing": [[1]]}, {"missing": [[9, 8]]},
        {"missing": [[8, 9], [9, 10]]}, {"missing": [[11, 12], [8, 9]]}, {"missing": [["8", "9"]]},
        {"missing": [[-5, 9]]}, {"missing": [[8, 2**60]]}, {"missing": [[8, 9.5]]}, {"unknown": 1},
    ],
)  # fmt: skip
def test_what_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse(json.dumps({**GOOD, **wrong}))


@pytest.mark.parametrize("body", ["", "null", "5", "[]", "{}", b"\xff", None, 5, '{"id": 7}'])
def test_no_object_is_no_gap(body: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse(body)


def test_what_is_nested_without_an_end_is_refused() -> None:
    with pytest.raises((ValueError, TypeError, RecursionError)):
        parse('{"missing":' + "[" * 400_000)
