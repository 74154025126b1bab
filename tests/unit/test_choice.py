"""Requests of clients: what they get, what they are told where they can't."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout.choice import EVERYTHING, MAX_HZ, MAX_NAMES, MIN_HZ, Choice, ChoiceError, subscribed, unsubscribed

WATCHED = {"BTC-USD", "ETH-USD", "BTC-EUR", "1INCH-EUR"}


def subscribe(request: Any, old: Choice = EVERYTHING) -> tuple[Choice, list[str]]:
    return subscribed(old, request, WATCHED.__contains__)


def wanted(choice: Choice) -> set[str]:
    return {product for product in WATCHED if choice.wants(product)}


def test_who_asks_for_nothing_gets_everything() -> None:
    assert wanted(EVERYTHING) == WATCHED
    assert EVERYTHING.wants(None)


def test_the_request_of_the_documents() -> None:
    choice, unknown = subscribe({"products": ["BTC-USD", "*-EUR"], "max_hz": 5, "batch": True})
    assert choice == Choice(frozenset({"BTC-USD", "*-EUR"}), 5.0, True)
    assert unknown == []
    assert wanted(choice) == {"BTC-USD", "BTC-EUR", "1INCH-EUR"}
    assert choice.wants(None)  # what concerns no product reaches everybody


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("*-EUR", {"BTC-EUR", "1INCH-EUR"}), ("BTC-*", {"BTC-USD", "BTC-EUR"}), ("*-*", WATCHED),
        ("btc-usd", {"BTC-USD"}), ("*-eur", {"BTC-EUR", "1INCH-EUR"}),
    ],
)  # fmt: skip
def test_patterns_and_letter_case(name: str, products: set[str]) -> None:
    assert wanted(subscribe({"products": [name]})[0]) == products


def test_a_pattern_takes_in_what_is_listed_later() -> None:
    assert subscribe({"products": ["*-EUR"]})[0].wants("NEW-EUR")


def test_names_that_are_not_watched_are_left_out_and_named() -> None:
    choice, unknown = subscribe({"products": ["BTC-USD", "XYZ-USD", "NO-NE", "*-XYZ"]})
    assert (choice.names, unknown) == ({"BTC-USD", "*-XYZ"}, ["XYZ-USD", "NO-NE"])


def test_the_first_list_ends_everything_and_later_ones_add() -> None:
    first, _ = subscribe({"products": ["BTC-USD"]})
    second, _ = subscribe({"products": ["*-EUR"]}, first)
    assert second.names == {"BTC-USD", "*-EUR"}
    assert wanted(subscribe({"products": []})[0]) == set()


def test_fields_that_are_left_out_stay_as_they_were() -> None:
    choice, _ = subscribe({"max_hz": 2})
    assert choice == Choice(None, 2.0, False)
    choice, _ = subscribe({"batch": True}, choice)
    assert choice == Choice(None, 2.0, True)
    choice, _ = subscribe({"products": ["BTC-USD"]}, choice)
    assert choice == Choice(frozenset({"BTC-USD"}), 2.0, True)
    choice, _ = subscribe({"max_hz": None, "batch": False}, choice)
    assert choice == Choice(frozenset({"BTC-USD"}), None, False)
    assert subscribe({}, choice) == (choice, [])


def test_unsubscribing() -> None:
    old = Choice(frozenset({"BTC-USD", "*-EUR"}), 2.0, True)
    assert unsubscribed(old, {"products": ["btc-usd", "NEVER-SEEN"]}) == Choice(frozenset({"*-EUR"}), 2.0, True)
    assert unsubscribed(old, {}) == Choice(frozenset(), 2.0, True)
    assert unsubscribed(EVERYTHING, {}) == Choice(frozenset())
    with pytest.raises(ChoiceError, match="gets everything"):
        unsubscribed(EVERYTHING, {"products": ["BTC-USD"]})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (None, "one JSON object"), ([], "one JSON object"), ("BTC-USD", "one JSON object"),
        ({"product": ["BTC-USD"]}, "unknown field 'product'; known are batch, max_hz, products"),
        ({"x" * 1_000: 1}, "unknown field '" + "x" * 40 + "'"),
        ({"products": "BTC-USD"}, "must be a list"), ({"products": None}, "must be a list"),
        ({"products": ["BTC-USD"] * (MAX_NAMES + 1)}, f"at most {MAX_NAMES}"),
        ({"products": [1]}, "'1' is no name"), ({"products": [""]}, "'' is no name"),
        ({"products": ["BTCUSD"]}, "'BTCUSD' is no name"), ({"products": ["*"]}, "is no name"),
        ({"products": ["B*-USD"]}, "is no name"), ({"products": ["BTC-USD\n"]}, "is no name"),
        ({"products": ["€TC-USD"]}, "is no name"), ({"products": ["x" * 1_000_000]}, "is no name"),
        ({"products": ["(a+)+-USD"]}, "is no name"),
        ({"max_hz": "5"}, "max_hz must be a number from 0.1 to 1000"), ({"max_hz": True}, "max_hz"),
        ({"max_hz": 0}, "max_hz"), ({"max_hz": -1}, "max_hz"), ({"max_hz": 1e9}, "max_hz"),
        ({"max_hz": float("nan")}, "max_hz"),
        ({"batch": 1}, "batch must be true or false"), ({"batch": None}, "batch must be true or false"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met_says_why_in_few_words(request_: Any, reason: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        subscribe(request_)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200
    if not isinstance(request_, dict) or "products" in request_:
        with pytest.raises(ChoiceError):
            unsubscribed(Choice(frozenset({"BTC-USD"})), request_)


def test_names_add_up_to_no_more_than_the_limit() -> None:
    many = [f"{number}-USD" for number in range(MAX_NAMES)]
    choice, _ = subscribed(EVERYTHING, {"products": many}, lambda _: True)
    with pytest.raises(ChoiceError, match=f"more than {MAX_NAMES}"):
        subscribed(choice, {"products": ["BTC-EUR"]}, lambda _: True)
    assert subscribed(choice, {"products": many[:5]}, lambda _: True)[0] == choice


sides = st.from_regex(r"[A-Z0-9]{1,20}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.sets(st.tuples(sides | st.just("*"), sides | st.just("*")), max_size=8), sides, sides)
def test_a_name_means_the_same_however_many_there_are(names: set[tuple[str, str]], base: str, quote: str) -> None:
    choice, _ = subscribed(EVERYTHING, {"products": [f"{one}-{two}" for one, two in names]}, lambda _: True)
    meant = any(one in ("*", base) and two in ("*", quote) for one, two in names)
    assert choice.wants(f"{base}-{quote}") == meant


@given(json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(("products", "max_hz", "batch"), json_values)))
def test_whatever_is_asked_for_is_accepted_or_refused_in_words(request_: Any) -> None:
    for old in (EVERYTHING, Choice(frozenset({"BTC-USD"}), 1.0, True)):
        with contextlib.suppress(ChoiceError):  # and nothing else
            choice, unknown = subscribe(request_, old)
            assert choice.max_hz is None or MIN_HZ <= choice.max_hz <= MAX_HZ
            assert type(choice.batch) is bool
            assert choice.names is None or (old.names or frozenset()) <= choice.names
            assert not set(unknown) & WATCHED
