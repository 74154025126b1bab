"""The Exchange codec: good frames to the letter, every bad one refused with a reason, nothing else ever."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.feed.dialects import ExchangeDialect, by_name
from hub.feed.dialects.exchange import MAX_FRAME_BYTES, REASONS
from hub.model import Event, ExchangeError, FrameRefused, Heartbeat, Ignored, Source, Subscriptions, Ticker, Trust
from hub.payload import tick_payload, ticker_body

DIALECT = ExchangeDialect()
TICKER: dict[str, Any] = {
    "type": "ticker", "sequence": 26012709556, "product_id": "SOL-USD", "price": "133.67", "open_24h": "131.34",
    "volume_24h": "1356471.33729014", "low_24h": "128.35", "high_24h": "134.4", "volume_30d": "43984545.65947147",
    "best_bid": "133.630", "best_bid_size": "16.51060617", "best_ask": "133.670", "best_ask_size": "6.41482100",
    "side": "buy", "time": "2025-11-24T17:00:00.123456Z", "trade_id": 187654321, "last_size": "0.013",
}  # fmt: skip
HEARTBEAT: dict[str, Any] = {
    "type": "heartbeat", "last_trade_id": 187654321, "product_id": "SOL-USD", "sequence": 26012709557,
    "time": "2025-11-24T17:00:01.000000Z",
}  # fmt: skip
MARKET_FIELDS = ("best_bid", "best_ask", "last_size", "open_24h", "high_24h", "low_24h", "volume_24h")
NUMBERS_OF_PAYLOAD = (
    "price", "bid", "ask", "volume_24h", "price_24h", "low_24h", "high_24h", "price_change_24h",
    "price_change_percent_24h", "last_size",
)  # fmt: skip


def decode(message: object) -> Event:
    (event,) = DIALECT.decode(json.dumps(message).encode())
    return event


def ticker(**changes: object) -> Event:
    return decode({**TICKER, **changes})


def without(message: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in fields}


def refusal(frame: bytes) -> str:
    with pytest.raises(FrameRefused) as caught:
        DIALECT.decode(frame)
    assert caught.value.reason in REASONS
    assert len(caught.value.detail) <= 300
    return caught.value.reason


def check_payload(event: Ticker) -> None:
    """The payload of an accepted ticker is strict JSON with finite floats in the number fields."""
    text = tick_payload(ticker_body(event, Source.WS), Trust.LIVE)
    orjson.loads(text)
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in {text}"))
    for name in NUMBERS_OF_PAYLOAD:
        assert type(body[name]) is float
        assert math.isfinite(body[name])
    assert type(body["sequence"]) is int
    assert all(type(body[name]) is str for name in ("crypto", "time", "timestamp"))


# -- what is understood --------------------------------------------------------------------------------


def test_a_ticker_keeps_the_exchanges_text() -> None:
    assert decode(TICKER) == Ticker(
        product_id="SOL-USD", price="133.67", trade_id=187654321, time="2025-11-24T17:00:00.123456Z",
        sequence=26012709556, best_bid="133.630", best_ask="133.670", last_size="0.013", open_24h="131.34",
        high_24h="134.4", low_24h="128.35", volume_24h="1356471.33729014", simulated=False,
    )  # fmt: skip


def test_a_ticker_needs_four_fields_and_the_others_count_as_0() -> None:
    least = {name: TICKER[name] for name in ("type", "product_id", "price", "trade_id", "time")}
    expected = Ticker("SOL-USD", "133.67", 187654321, "2025-11-24T17:00:00.123456Z")
    assert decode(least) == expected
    assert expected.sequence == 0
    assert {getattr(expected, name) for name in MARKET_FIELDS} == {"0"}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("product_id", "bad_product_id"),
        ("price", "bad_price"),
        ("trade_id", "bad_trade_id"),
        ("time", "bad_time"),
        ("type", "no_type"),
    ],
)
def test_a_ticker_without_one_of_them_is_refused(field: str, reason: str) -> None:
    assert refusal(json.dumps(without(TICKER, field)).encode()) == reason


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert ticker(new_field={"deep": [None]}) == decode(TICKER)


@pytest.mark.parametrize(
    "price", ["133.630", "0.00000001", "1", "90200", "9" * 20 + "." + "9" * 20, "0.00000000000000000001"]
)
def test_good_prices_pass_exactly(price: str) -> None:
    event = ticker(price=price)
    assert isinstance(event, Ticker)
    assert event.price == price
    check_payload(event)


@pytest.mark.parametrize("product_id", ["BTC-USD", "00-USD", "1INCH-USD", "A-B", "A" * 20 + "-" + "B" * 20])
def test_good_product_ids(product_id: str) -> None:
    event = ticker(product_id=product_id)
    assert isinstance(event, Ticker)
    assert event.product_id == product_id


@pytest.mark.parametrize(
    "time",
    ["2025-11-24T17:00:00Z", "2025-11-24T17:00:00.1Z", "2025-11-24T23:59:59.123456789Z", "2024-02-29T00:00:00Z"],
)
def test_good_times(time: str) -> None:
    event = ticker(time=time)
    assert isinstance(event, Ticker)
    assert event.time == time


@pytest.mark.parametrize("value", [0, 2**53 - 1])
def test_the_ends_of_trade_id_and_sequence(value: int) -> None:
    event = ticker(trade_id=value, sequence=value)
    assert isinstance(event, Ticker)
    assert (event.trade_id, event.sequence) == (value, value)


def test_the_simulators_mark_travels_with_the_ticker() -> None:
    event = ticker(simulated=True)
    assert isinstance(event, Ticker)
    assert event.simulated is True


def test_a_heartbeat() -> None:
    expected = Heartbeat("SOL-USD", 187654321, 26012709557, "2025-11-24T17:00:01.000000Z")
    assert decode(HEARTBEAT) == expected
    assert decode({**HEARTBEAT, "last_trade_id": 0}) == expected._replace(last_trade_id=0)
    assert decode(without(HEARTBEAT, "sequence")) == expected._replace(sequence=0)


def test_an_ack_lists_the_whole_set() -> None:
    ack = {
        "type": "subscriptions",
        "channels": [
            {"name": "ticker", "product_ids": ["ETH-USD", "BTC-USD"], "account_ids": None},
            {"name": "heartbeat", "product_ids": ["BTC-USD"], "account_ids": None},
        ],
    }
    expected = {"ticker": frozenset({"BTC-USD", "ETH-USD"}), "heartbeat": frozenset({"BTC-USD"})}
    assert decode(ack) == Subscriptions(expected)


def test_an_ack_of_nothing() -> None:
    assert decode({"type": "subscriptions", "channels": []}) == Subscriptions({})


def test_an_error_keeps_the_exchanges_words() -> None:
    error = {"type": "error", "message": "Failed to subscribe", "reason": "X is not a valid product"}
    assert decode(error) == ExchangeError("Failed to subscribe", "X is not a valid product")
    assert decode({"type": "error", "message": "ErrSlowConsume"}) == ExchangeError("ErrSlowConsume", "")


def test_the_words_of_an_error_are_bounded() -> None:
    event = decode({"type": "error", "message": "x" * 100_000, "reason": "y" * 100_000})
    assert isinstance(event, ExchangeError)
    assert len(event.message) + len(event.reason) <= 1_000


@pytest.mark.parametrize("kind", ["match", "last_match", "l2update", "status"])
def test_known_types_of_no_use_keep_their_name(kind: str) -> None:
    assert decode({"type": kind}) == Ignored(kind)


@pytest.mark.parametrize("kind", ["", "ticker_1000", "TICKER", "x" * 10_000, "line\r\nbreak"])
def test_unknown_types_share_one_label(kind: str) -> None:
    assert decode({"type": kind}) == Ignored("unknown")


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_requests(kind: str) -> None:
    (frame,) = getattr(DIALECT, kind)(("BTC-USD", "ETH-USD"))
    request = json.loads(frame)
    assert request == {"type": kind, "product_ids": ["BTC-USD", "ETH-USD"], "channels": ["ticker", "heartbeat"]}
    assert getattr(DIALECT, kind)(()) == []


def test_the_dialect_goes_by_its_name() -> None:
    dialect = by_name("exchange")
    assert dialect.name == "exchange"
    assert 740_000 < dialect.max_frame_bytes == MAX_FRAME_BYTES  # the largest frame of the exchange must fit
    with pytest.raises(KeyError):
        by_name("kraken")


# -- what is refused -----------------------------------------------------------------------------------

BAD_TEXTS = [
    "NaN", "nan", "Infinity", "-Infinity", "inf", "-133.67", "+133.67", "", " ", " 1", "1 ", "1\n", "1e999", "1e3",
    "1E3", "1,000", "1_000", ".5", "5.", "1.2.3", "0x10", "00.5", "01", "١٢٣", "１２３", "9" * 400, "0." + "9" * 400,
    "1\u0000", '1","x":"', "$5", "null", "−5",
]  # fmt: skip
BAD_VALUES = [None, True, False, 133.67, 133, 0, [], ["1"], {}, {"price": "1"}]


@pytest.mark.parametrize("price", [*BAD_TEXTS, *BAD_VALUES, "0", "0.0", "0.00000000"])
def test_bad_prices(price: object) -> None:
    assert refusal(json.dumps({**TICKER, "price": price}).encode()) == "bad_price"


@pytest.mark.parametrize("field", MARKET_FIELDS)
@pytest.mark.parametrize("value", [*BAD_TEXTS, *BAD_VALUES])
def test_a_bad_number_beside_the_price_refuses_the_whole_frame(field: str, value: object) -> None:
    assert refusal(json.dumps({**TICKER, field: value}).encode()) == "bad_number"


@pytest.mark.parametrize("field", ["volume_30d", "best_bid_size", "best_ask_size"])
@pytest.mark.parametrize("value", ["NaN", "", None, 5])
def test_a_bad_number_that_the_hub_has_no_use_for_refuses_it_too(field: str, value: object) -> None:
    assert refusal(json.dumps({**TICKER, field: value}).encode()) == "bad_number"


@pytest.mark.parametrize("field", MARKET_FIELDS)
def test_0_is_a_number_beside_the_price(field: str) -> None:
    event = ticker(**{field: "0"})
    assert isinstance(event, Ticker)
    check_payload(event)


BAD_IDS = [
    "btc-usd", "BTC", "BTC-", "-USD", "BTC-USD-X", "BTC_USD", "BTC USD", "BTC-USD\n", " BTC-USD", 'BTC-USD"',
    "BTC'-USD", "<b>-USD", "B\\-USD", "ＢＴＣ-USD", "", "A" * 21 + "-USD", "USD-" + "A" * 21, None, True, 5,
    ["BTC-USD"], {},
]  # fmt: skip


@pytest.mark.parametrize("product_id", BAD_IDS)
@pytest.mark.parametrize("message", [TICKER, HEARTBEAT], ids=["ticker", "heartbeat"])
def test_bad_product_ids(message: dict[str, Any], product_id: object) -> None:
    assert refusal(json.dumps({**message, "product_id": product_id}).encode()) == "bad_product_id"


BAD_TIMES = [
    "2025-13-24T17:00:00Z", "2025-00-24T17:00:00Z", "2025-02-30T17:00:00Z", "2025-02-29T17:00:00Z",
    "0000-01-01T00:00:00Z", "2025-11-24T24:00:00Z", "2025-11-24T17:60:00Z", "2025-11-24T17:00:61Z",
    "2025-11-24T17:00:00", "2025-11-24 17:00:00Z", "2025-11-24T17:00:00+00:00", "2025-11-24T17:00:00.Z",
    "2025-11-24T17:00:00.1234567890Z", "2025-11-24T17:00:00Z\n", '2025-11-24T17:00:00Z"', "２025-11-24T17:00:00Z",
    "", "yesterday", None, 1764003600, True, [], {},
]  # fmt: skip


@pytest.mark.parametrize("time", BAD_TIMES)
@pytest.mark.parametrize("message", [TICKER, HEARTBEAT], ids=["ticker", "heartbeat"])
def test_bad_times(message: dict[str, Any], time: object) -> None:
    assert refusal(json.dumps({**message, "time": time}).encode()) == "bad_time"


BAD_INTEGERS = [True, False, -1, 2**53, 2**60, 2**64, "5", 5.0, 5.5, None, [], {}]


@pytest.mark.parametrize("value", BAD_INTEGERS)
@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (TICKER, "trade_id", "bad_trade_id"),
        (TICKER, "sequence", "bad_sequence"),
        (HEARTBEAT, "last_trade_id", "bad_trade_id"),
        (HEARTBEAT, "sequence", "bad_sequence"),
    ],
)
def test_bad_integers(message: dict[str, Any], field: str, reason: str, value: object) -> None:
    assert refusal(json.dumps({**message, field: value}).encode()) == reason


@pytest.mark.parametrize("mark", ["true", 1, 0, None])
def test_a_bad_mark(mark: object) -> None:
    assert refusal(json.dumps({**TICKER, "simulated": mark}).encode()) == "bad_mark"


def test_a_heartbeat_needs_its_trade_id() -> None:
    assert refusal(json.dumps(without(HEARTBEAT, "last_trade_id")).encode()) == "bad_trade_id"


GOOD = json.dumps(TICKER).encode()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "empty"),
        (b" ", "not_json"),
        (b"\x00", "not_json"),
        (b"\xff\xfe", "not_json"),
        (GOOD.replace(b"buy", b"b\xffy"), "not_json"),
        (GOOD.replace(b"buy", b"b\xed\xa0\x80y"), "not_json"),
        (b'{"type":"\\ud800"}', "not_json"),
        (GOOD[:-1], "not_json"),
        (GOOD[:40], "not_json"),
        (GOOD + b"x", "not_json"),
        (GOOD + GOOD, "not_json"),
        (b"\xef\xbb\xbf" + GOOD, "not_json"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "not_json"),
        (GOOD.replace(b'"133.67"', b"NaN"), "not_json"),
        (GOOD.replace(b'"133.67"', b"-Infinity"), "not_json"),
        (GOOD.replace(b'"133.67"', b"1e999"), "not_json"),
        (GOOD.replace(b"187654321", b"9" * 400), "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not_json"),
        (b"[" + GOOD + b"]", "not_object"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b"true", "not_object"),
        (b"7", "not_object"),
        (b'"ticker"', "not_object"),
        (b"{}", "no_type"),
        (b'{"type":null}', "no_type"),
        (b'{"type":["ticker"]}', "no_type"),
        (b'{"type":{"ticker":1}}', "no_type"),
        (b'{"type":5}', "no_type"),
        (b'{"type":"subscriptions"}', "bad_subscriptions"),
        (b'{"type":"subscriptions","channels":{}}', "bad_subscriptions"),
        (b'{"type":"subscriptions","channels":["ticker"]}', "bad_subscriptions"),
        (b'{"type":"subscriptions","channels":[{"name":"ticker"}]}', "bad_subscriptions"),
        (b'{"type":"subscriptions","channels":[{"name":5,"product_ids":[]}]}', "bad_subscriptions"),
        (b'{"type":"subscriptions","channels":[{"name":"ticker","product_ids":[5]}]}', "bad_subscriptions"),
        (b'{"type":"error","message":5}', "bad_error"),
        (b'{"type":"error","message":"x","reason":null}', "bad_error"),
    ],
)
def test_frames_that_are_no_message(frame: bytes, reason: str) -> None:
    assert refusal(frame) == reason


def test_the_reasons_are_all_in_use() -> None:
    """A label that nothing raises would be a counter that never moves."""
    fields = ("type", "product_id", "price", "trade_id", "time", "sequence", "best_bid", "simulated")
    seen = {refusal(json.dumps({**TICKER, name: None}).encode()) for name in fields}
    frames = (b"", b"<", b"[]", b'{"type":"subscriptions"}', b'{"type":"error","message":1}')
    seen |= {refusal(frame) for frame in frames}
    assert seen == set(REASONS)


# -- what may come, comes to one of two ends -----------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
almost_numbers = st.text(alphabet="0123456789.-+eEnaNfiI _", max_size=45)
decimals = st.from_regex(r"\A(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?\Z")


def check_outcome(frame: bytes) -> tuple[Event, ...]:
    events: tuple[Event, ...] = ()
    reason = None
    try:
        events = DIALECT.decode(frame)
    except FrameRefused as error:
        reason = error.reason
    assert len(events) == 1 or reason in REASONS
    for event in events:
        if isinstance(event, Ticker):
            check_payload(event)
    return events


@given(st.binary(max_size=300))
def test_any_bytes(frame: bytes) -> None:
    check_outcome(frame)


@given(json_values)
def test_any_json(value: object) -> None:
    check_outcome(json.dumps(value).encode())


@settings(max_examples=300)
@given(st.sampled_from(sorted(TICKER)), json_values | almost_numbers | decimals)
def test_a_ticker_with_one_field_replaced(field: str, value: object) -> None:
    check_outcome(json.dumps({**TICKER, field: value}).encode())


any_fields = st.sampled_from(sorted({*TICKER, *HEARTBEAT, "channels", "message", "reason"}))


@given(st.sampled_from(["ticker", "heartbeat", "subscriptions", "error"]), st.dictionaries(any_fields, json_values))
def test_a_message_of_any_fields(kind: str, fields: dict[str, object]) -> None:
    check_outcome(json.dumps({**fields, "type": kind}).encode())


@given(st.fixed_dictionaries({"price": decimals}, optional=dict.fromkeys(MARKET_FIELDS, decimals)))
def test_any_plain_decimals_make_a_strict_payload(numbers: dict[str, str]) -> None:
    events = check_outcome(json.dumps({**without(TICKER, *MARKET_FIELDS), **numbers}).encode())
    assert bool(events) == bool(numbers["price"].strip("0."))
    for event in events:
        assert isinstance(event, Ticker)
        assert {name: getattr(event, name) for name in numbers} == numbers
