"""What clients may have relayed: bots of today, and what would break a reader."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.detect import relayed
from hub.detect.relayed import MAX_DEPTH, MAX_VALUES, RELAYED, check

SPIKE = {
    "symbol": "BTC-USD", "spike_type": "pump", "event_type": "spike_start", "pct_change": 5.2, "old_price": 64000.0,
    "new_price": 67328.0,
}  # fmt: skip
VOLUME = {"crypto": "BTC-USD", "current_vol": 12.5, "avg_vol": 5.0, "threshold": 1.5}


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("spike_alert", SPIKE), ("trade_update", VOLUME), ("spike_alert", {}), ("trade_update", {"text": "to all"}),
        ("spike_alert", {**SPIKE, "symbol": "btc-usd", "note": "two\nlines", "tags": ["a", {"b": None}]}),
        ("trade_update", {**VOLUME, "avg_vol": None, "current_vol": "12.5", "threshold": 2}),
        ("trade_update", {"current_vol": "-1e3", "avg_vol": ".5", "threshold": "+7.", "ratio": 1e308}),
        ("trade_update", {**VOLUME, "ticker": {"price": 1.0, "time": "2026"}, "__proto__": 1}),
    ],
)  # fmt: skip
def test_what_bots_send_goes_on(event: str, payload: dict[str, Any]) -> None:
    assert check(event, payload) is None


@pytest.mark.parametrize(
    "number", ["1e999999", "1e999", "9" * 40, "", " ", "nan", "Infinity", "0x10", "1_000", "१२", True, [], {}, "$5"]
)
@pytest.mark.parametrize(("event", "name"), [(event, name) for event in RELAYED for name in relayed.NUMBERS[event]])
def test_a_number_that_is_none_is_refused(event: str, name: str, number: Any) -> None:
    assert check(event, {name: number}) == f"{name} must be a finite number"


@pytest.mark.parametrize("word", [{}, {"toString": 1}, ["pump"], 7, True, "x" * 65, "two\nlines", "\u202etxt", "\x00"])
@pytest.mark.parametrize("name", relayed.WORDS)
@pytest.mark.parametrize("event", RELAYED)
def test_a_word_that_is_none_is_refused(event: str, name: str, word: Any) -> None:
    problem = check(event, {name: word})
    assert problem is not None
    assert problem.startswith(f"{name} must be a text of at most ")


def nested(depth: int) -> dict[str, Any]:
    found: Any = 1
    for _ in range(depth):
        found = {"a": found}
    return found


def test_the_shape_is_bounded() -> None:
    assert check("spike_alert", nested(MAX_DEPTH - 1)) is None
    assert check("spike_alert", nested(MAX_DEPTH)) == f"an alert is nested at most {MAX_DEPTH} deep"
    assert check("spike_alert", orjson.loads('{"a":' * 255 + "1" + "}" * 255)) is not None
    assert check("spike_alert", {str(number): 1 for number in range(MAX_VALUES)}) is None
    assert check("spike_alert", {str(number): 1 for number in range(MAX_VALUES + 1)}) is not None
    assert check("spike_alert", {"a": [[]] * 200, "b": [[]] * 200}) is not None
    assert check("spike_alert", {"a" * 65: 1}) is not None


simple = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
anything = simple | st.lists(simple, max_size=2) | st.dictionaries(st.text(max_size=3), simple, max_size=2)


@given(st.sampled_from(RELAYED), st.dictionaries(st.sampled_from([*SPIKE, *VOLUME, "x"]), anything, max_size=3))
def test_whatever_comes_is_judged_in_words(event: str, payload: dict[str, Any]) -> None:
    problem = check(event, payload)
    assert problem is None or problem.isprintable()
