"""The Advanced Trade codec: good frames to the letter, every bad one refused with a reason, nothing else ever."""

import json
import math
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.feed.dialects import by_name
from hub.feed.dialects.advanced_trade import MAX_FRAME_BYTES, REASONS, AdvancedTradeDialect
from hub.model import (
    ConnectionHeartbeat,
    Envelope,
    Event,
    ExchangeError,
    FrameRefused,
    Ignored,
    Market,
    Source,
    Subscriptions,
    Ticker,
    Trust,
)
from hub.payload import tick_payload, ticker_body

DIALECT = AdvancedTradeDialect()
TIME = "2026-09-05T22:10:30.258122345Z"
TICKER: dict[str, Any] = {
    "type": "ticker", "product_id": "BTC-USD", "price": "87000.12", "volume_24_h": "12345.678", "low_24_h": "85000.2",
    "high_24_h": "88000.3", "low_52_w": "49000", "high_52_w": "126000", "price_percent_chg_24_h": "1.5",
    "best_bid": "87000.11", "best_ask": "87000.13", "best_bid_quantity": "0.5", "best_ask_quantity": "0.25",
}  # fmt: skip
TRADE: dict[str, Any] = {
    "trade_id": "892262231", "product_id": "BTC-USD", "price": "87000.12", "size": "0.00015604",
    "time": "2026-09-05T22:10:30.1Z", "side": "BUY",
}  # fmt: skip
BEAT: dict[str, Any] = {
    "current_time": "2026-09-05 22:10:30.25788961 +0000 UTC m=+139651.27", "heartbeat_counter": 139651,
}  # fmt: skip


def envelope(channel: str, *events: Any, **changes: Any) -> dict[str, Any]:
    return {"channel": channel, "timestamp": TIME, "sequence_num": 7, "events": list(events), **changes}


def ticker_frame(*tickers: Any, **changes: Any) -> dict[str, Any]:
    return envelope("ticker", {"type": "update", "tickers": list(tickers)}, **changes)


def trades_frame(*trades: Any, **changes: Any) -> dict[str, Any]:
    return envelope("market_trades", {"type": "update", "trades": list(trades)}, **changes)


def decode(message: object) -> tuple[Event, ...]:
    return DIALECT.decode(json.dumps(message).encode())


def after_envelope(message: object) -> tuple[Event, ...]:
    first, *events = decode(message)
    assert first == Envelope(7, TIME)
    return tuple(events)


def market(**changes: Any) -> Market:
    row = {name: value for name, value in {**TICKER, **changes}.items() if value is not ...}
    (event,) = after_envelope(ticker_frame(row))
    assert isinstance(event, Market)
    return event


def refusal(message: object) -> str:
    frame = message if isinstance(message, bytes) else json.dumps(message).encode()
    with pytest.raises(FrameRefused) as caught:
        DIALECT.decode(frame)
    assert caught.value.reason in REASONS
    assert len(caught.value.detail) <= 300
    return caught.value.reason


def check_payload(event: Ticker) -> None:
    """The payload of an accepted trade is strict JSON with finite floats in the number fields."""
    text = tick_payload(ticker_body(event, Source.WS), Trust.LIVE)
    orjson.loads(text)
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in {text}"))
    assert all(math.isfinite(body[name]) for name in ("price", "bid", "ask", "price_24h", "last_size"))


# -- what is understood --------------------------------------------------------------------------------


def test_a_trade_knows_nothing_of_the_market_around_it() -> None:
    assert after_envelope(trades_frame(TRADE)) == (
        Ticker("BTC-USD", "87000.12", 892262231, "2026-09-05T22:10:30.1Z", last_size="0.00015604"),
    )


def test_trades_come_out_oldest_first_whatever_the_events_and_a_snapshot_s_older_ones_say_so() -> None:
    def trade(trade_id: str, product_id: str = "BTC-USD") -> dict[str, Any]:
        return {**TRADE, "trade_id": trade_id, "product_id": product_id}

    frame = envelope(
        "market_trades",
        {"type": "snapshot", "trades": [trade("103"), trade("9", "ETH-USD"), trade("102")]},
        {"type": "update", "trades": [trade("101"), trade("10", "ETH-USD")]},
        {"type": "update", "trades": [trade("104")]},
        {"type": "update", "trades": []},
    )
    events = after_envelope(frame)
    found = [(event.trade_id, event.history) for event in events if event.product_id == "BTC-USD"]
    assert found == [(101, False), (102, True), (103, False), (104, False)]
    found = [(event.trade_id, event.history) for event in events if event.product_id == "ETH-USD"]
    assert found == [(9, False), (10, False)]


@pytest.mark.parametrize(("text", "trade_id"), [("0", 0), ("000000012", 12), (str(2**53 - 1), 2**53 - 1), (12, 12)])
def test_trade_ids_as_text_and_as_numbers(text: object, trade_id: int) -> None:
    (event,) = after_envelope(trades_frame({**TRADE, "trade_id": text}))
    assert isinstance(event, Ticker)
    assert event.trade_id == trade_id


def test_a_ticker_is_the_market_around_a_price() -> None:
    assert market() == Market(
        "BTC-USD", TIME, best_bid="87000.11", best_ask="87000.13", open_24h="85714.40", high_24h="88000.3",
        low_24h="85000.2", volume_24h="12345.678", simulated=False,
    )  # fmt: skip


def test_several_events_with_several_tickers() -> None:
    rows = [{**TICKER, "product_id": f"{base}-USD"} for base in ("BTC", "ETH", "SOL")]
    frame = envelope("ticker", {"type": "snapshot", "tickers": rows[:2]}, {"type": "update", "tickers": rows[2:]})
    assert [event.product_id for event in after_envelope(frame)] == ["BTC-USD", "ETH-USD", "SOL-USD"]


@pytest.mark.parametrize("unknown", ["", ...])
@pytest.mark.parametrize(
    ("field", "event_field"),
    [("best_bid", "best_bid"), ("best_ask", "best_ask"), ("high_24_h", "high_24h"), ("low_24_h", "low_24h"),
     ("volume_24_h", "volume_24h"), ("price", "open_24h"), ("price_percent_chg_24_h", "open_24h")],
)  # fmt: skip
def test_missing_and_empty_mean_unknown(field: str, event_field: str, unknown: Any) -> None:
    event = market(**{field: unknown})
    assert getattr(event, event_field) == "0"
    assert [value for value in event if value == "0"] == ["0"]


@pytest.mark.parametrize(
    ("price", "percent", "opened"),
    [
        ("110", "10", "100.00"),
        ("90.00", "-10", "100.00"),
        ("100", "0", "100.00"),
        ("100", "0.00000000000000000000", "100.00"),
        ("50", "-50.0", "100.00"),
        ("87000.12", "1.4999999417", "85714.40"),  # a change that was rounded, and the step that the open is on
        ("0.00000850", "-4.15775596190603", "0.00000887"),
        ("100", "-100", "0"),
        ("100", "-101", "0"),
        ("0", "5", "0"),
        ("0.00", "5", "0"),
        ("9" * 20, "-99.99999999999999999999", "0"),
        ("0.01", "99999999999999999999", "0"),
    ],
)
def test_the_open_is_computed_exactly(price: str, percent: str, opened: str) -> None:
    quotes = {"best_bid": "0.01", "best_ask": "", "high_24_h": "", "low_24_h": ...}
    assert market(price=price, price_percent_chg_24_h=percent, **quotes).open_24h == opened


def test_the_other_spelling_of_the_change() -> None:
    assert market(price_percent_chg_24_h=..., price_percent_chg_24h="1.5") == market()


prices = st.decimals(Decimal("0.01"), 10**9, places=2)


@given(prices, prices)
def test_the_open_comes_back_from_a_change_of_14_digits(opened: Decimal, now: Decimal) -> None:
    """As long as the price did not grow so much that a step of the open is less than the change's last digit."""
    percent = (now / opened - 1) * 100
    text = format(round(percent, 14), "f")
    event = market(price=f"{now}", price_percent_chg_24_h=text, best_bid="0.01")
    error = opened * opened / now * Decimal("1e-16")  # what half a unit of the change's last digit is worth
    assert abs(Decimal(event.open_24h) - opened) <= error + Decimal("0.005")
    if error < Decimal("0.004"):
        assert event.open_24h == f"{opened:.2f}"


@pytest.mark.parametrize("time", ["2026-09-05T22:10:30Z", "2026-09-05T22:10:30.1Z", "2026-09-05T22:10:30.123456789Z"])
def test_timestamps_of_any_precision(time: str) -> None:
    (first, event) = decode(ticker_frame(TICKER, timestamp=time))
    assert first == Envelope(7, time)
    assert isinstance(event, Market)
    assert event.time == time


@pytest.mark.parametrize("counter", [139651, "139651"])
def test_a_heartbeat_is_of_the_connection(counter: object) -> None:
    frame = envelope("heartbeats", {**BEAT, "heartbeat_counter": counter})
    assert after_envelope(frame) == (ConnectionHeartbeat(TIME, 139651),)


@pytest.mark.parametrize("current_time", ["", "2026-04-07 14:30:10.000000000+00:00", None, 5])
def test_gos_way_of_writing_the_time_is_not_read(current_time: object) -> None:
    frame = envelope("heartbeats", {**BEAT, "current_time": current_time})
    assert after_envelope(frame) == (ConnectionHeartbeat(TIME, 139651),)


def test_an_ack_lists_the_whole_set() -> None:
    channels = {"ticker": ["BTC-USD", "ETH-USD"], "heartbeats": ["heartbeats"]}
    assert after_envelope(envelope("subscriptions", {"subscriptions": channels})) == (
        Subscriptions({"ticker": frozenset({"BTC-USD", "ETH-USD"}), "heartbeats": frozenset({"heartbeats"})}),
    )
    assert after_envelope(envelope("subscriptions", {"subscriptions": {}})) == (Subscriptions({}),)


def test_an_error_has_no_envelope() -> None:
    assert decode({"type": "error", "message": "authentication failure"}) == (
        ExchangeError("authentication failure", ""),
    )


def test_the_words_of_an_error_are_bounded() -> None:
    (event,) = decode({"type": "error", "message": "x" * 100_000, "reason": "y" * 100_000})
    assert isinstance(event, ExchangeError)
    assert len(event.message) + len(event.reason) <= 1_000


@pytest.mark.parametrize(
    ("channel", "label"),
    [("candles", "candles"), ("status", "status"), ("ticker_batch", "ticker_batch"), ("new", "unknown"),
     ("", "unknown"), ("x" * 10_000, "unknown")],
)  # fmt: skip
def test_other_channels_count_in_the_sequence_and_are_passed_over(channel: str, label: str) -> None:
    assert after_envelope(envelope(channel, "anything")) == (Ignored(label),)


def test_other_types_without_a_channel_are_passed_over() -> None:
    assert decode({"type": "future_extension"}) == (Ignored("unknown"),)


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert market(new={"deep": [None]}) == market()
    frame = trades_frame(TRADE, client_id="", new=[1])
    assert after_envelope(frame) == after_envelope(trades_frame(TRADE))


def test_the_simulators_mark_travels_with_tickers_and_trades() -> None:
    assert market(simulated=True).simulated is True
    first, second = after_envelope(trades_frame({**TRADE, "simulated": True}, {**TRADE, "trade_id": "892262232"}))
    assert isinstance(first, Ticker)
    assert isinstance(second, Ticker)
    assert (first.simulated, second.simulated) == (True, False)


def test_requests_are_one_channel_each_with_heartbeats_last() -> None:
    products = ["BTC-USD", "ETH-USD"]
    assert [json.loads(frame) for frame in DIALECT.subscribe(products)] == [
        {"type": "subscribe", "channel": "ticker", "product_ids": products},
        {"type": "subscribe", "channel": "market_trades", "product_ids": products},
        {"type": "subscribe", "channel": "heartbeats"},
    ]
    assert [json.loads(frame) for frame in DIALECT.unsubscribe(products)] == [
        {"type": "unsubscribe", "channel": "ticker", "product_ids": products},
        {"type": "unsubscribe", "channel": "market_trades", "product_ids": products},
    ]
    assert DIALECT.subscribe(()) == DIALECT.unsubscribe(()) == []


def test_the_dialect_goes_by_its_name() -> None:
    dialect = by_name("advanced_trade")
    assert isinstance(dialect, AdvancedTradeDialect)
    assert dialect.name == "advanced_trade"
    assert dialect.max_frame_bytes == MAX_FRAME_BYTES
    assert len(dialect.subscribe(["BTC-USD"])) <= dialect.messages_per_second
    assert set(dialect.product_channels) == {"ticker", "market_trades"}
    exchange = by_name("exchange")
    (frame,) = exchange.subscribe(["BTC-USD"])
    assert tuple(json.loads(frame)["channels"]) == exchange.product_channels


# -- what is refused -----------------------------------------------------------------------------------

BAD_TEXTS = ["NaN", "Infinity", "-1", "+1", " ", " 1", "1\n", "1e999", "1,0", ".5", "5.", "01", "١٢", "9" * 400]
BAD_VALUES = [None, True, False, 1.5, 133, 0, [], {}]


@pytest.mark.parametrize("price", [*BAD_TEXTS, *BAD_VALUES, "", "0", "0.00"])
def test_bad_prices_of_trades(price: object) -> None:
    assert refusal(trades_frame(TRADE, {**TRADE, "price": price})) == "bad_price"


@pytest.mark.parametrize("price", [*BAD_TEXTS, *BAD_VALUES])
def test_bad_prices_of_tickers(price: object) -> None:
    assert refusal(ticker_frame(TICKER, {**TICKER, "price": price})) == "bad_price"


@pytest.mark.parametrize("size", [*BAD_TEXTS, *BAD_VALUES, ""])
def test_bad_sizes(size: object) -> None:
    assert refusal(trades_frame({**TRADE, "size": size})) == "bad_number"


@pytest.mark.parametrize("field", sorted(set(TICKER) - {"type", "product_id", "price", "price_percent_chg_24_h"}))
@pytest.mark.parametrize("value", [*BAD_TEXTS, *BAD_VALUES])
def test_a_bad_number_refuses_the_whole_frame(field: str, value: object) -> None:
    assert refusal(ticker_frame(TICKER, {**TICKER, field: value})) == "bad_number"


@pytest.mark.parametrize("value", ["NaN", "+1", "1e3", "--1", "1.", "−5", None, 5, 1.5, True, [], "9" * 50])
def test_a_bad_change(value: object) -> None:
    assert refusal(ticker_frame({**TICKER, "price_percent_chg_24_h": value})) == "bad_number"


@pytest.mark.parametrize("product_id", ["btc-usd", "BTC", "BTC-USD-X", "BTC-USD\n", "<b>-USD", "", None, 5, {}, ...])
def test_bad_product_ids(product_id: object) -> None:
    for frame, row in ((trades_frame, TRADE), (ticker_frame, TICKER)):
        bad = {name: value for name, value in {**row, "product_id": product_id}.items() if value is not ...}
        assert refusal(frame(bad)) == "bad_product_id"


@pytest.mark.parametrize(
    "trade_id", ["", "x", "-1", "+1", "1.0", " 1", "1_0", "１", "9" * 17, str(2**53), 2**53, -1, 1.0, True, None, []]
)
def test_bad_trade_ids(trade_id: object) -> None:
    assert refusal(trades_frame({**TRADE, "trade_id": trade_id})) == "bad_trade_id"


BAD_TIMES = ["2026-13-05T22:10:30Z", "2026-02-30T22:10:30Z", "2026-09-05T22:10:30", "2026-09-05 22:10:30Z",
             "2026-09-05T22:10:30.Z", "2026-09-05T22:10:30.1234567890Z", "", None, 5, []]  # fmt: skip


@pytest.mark.parametrize("time", BAD_TIMES)
def test_bad_times(time: object) -> None:
    assert refusal(trades_frame({**TRADE, "time": time})) == "bad_time"
    assert refusal(trades_frame(TRADE, timestamp=time)) == "bad_time"
    assert refusal(ticker_frame(TICKER, timestamp=time)) == "bad_time"


@pytest.mark.parametrize("number", [-1, "7", 7.0, True, None, 2**53, []])
@pytest.mark.parametrize("channel", ["ticker", "market_trades", "heartbeats", "subscriptions", "other"])
def test_a_frame_without_its_number_is_refused(channel: str, number: object) -> None:
    assert refusal(envelope(channel, sequence_num=number)) == "bad_sequence"


@pytest.mark.parametrize("counter", [-1, "", "x", "1.5", 1.5, True, None, []])
def test_bad_counters(counter: object) -> None:
    assert refusal(envelope("heartbeats", {**BEAT, "heartbeat_counter": counter})) == "bad_counter"


@pytest.mark.parametrize("mark", ["true", 1, 0, None])
def test_bad_marks(mark: object) -> None:
    assert refusal(ticker_frame({**TICKER, "simulated": mark})) == "bad_mark"
    assert refusal(trades_frame({**TRADE, "simulated": mark})) == "bad_mark"


@pytest.mark.parametrize("events", [None, {}, "x", 5, [None], [[]], ["x"]])
@pytest.mark.parametrize("channel", ["ticker", "market_trades", "heartbeats", "subscriptions"])
def test_events_that_are_none(channel: str, events: object) -> None:
    assert refusal(envelope(channel, **{"events": events})) == "bad_events"


@pytest.mark.parametrize("rows", [None, {}, "x", 5, [None], ["x"], [[]]])
def test_rows_that_are_none(rows: object) -> None:
    assert refusal(envelope("ticker", {"tickers": rows})) == "bad_events"
    assert refusal(envelope("market_trades", {"trades": rows})) == "bad_events"
    assert refusal(envelope("market_trades", {"tickers": [TRADE]})) == "bad_events"


@pytest.mark.parametrize("channels", [None, [], "x", {"ticker": None}, {"ticker": "BTC-USD"}, {"ticker": [5]}])
def test_bad_acks(channels: object) -> None:
    assert refusal(envelope("subscriptions", {"subscriptions": channels})) == "bad_subscriptions"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "empty"),
        (b" ", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"<!DOCTYPE html><html></html>", "not_json"),
        (json.dumps(trades_frame(TRADE)).encode()[:-1], "not_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not_json"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b"{}", "no_channel"),
        (b'{"channel":5}', "no_channel"),
        (b'{"channel":null,"type":null}', "no_channel"),
        (b'{"type":"error","message":5}', "bad_error"),
    ],
)
def test_frames_that_are_no_message(frame: bytes, reason: str) -> None:
    assert refusal(frame) == reason


def test_the_reasons_are_all_in_use() -> None:
    """A label that nothing raises would be a counter that never moves."""
    bad: list[object] = [
        b"", b"<", b"[]", b"{}", ticker_frame(sequence_num=-1), ticker_frame(timestamp=5), envelope("ticker", 5),
        ticker_frame({**TICKER, "product_id": 5}), ticker_frame({**TICKER, "price": 5}),
        ticker_frame({**TICKER, "best_bid": 5}), trades_frame({**TRADE, "trade_id": "x"}),
        envelope("heartbeats", {}), envelope("subscriptions", {}), {"type": "error", "message": 5},
        ticker_frame({**TICKER, "simulated": 5}),
    ]  # fmt: skip
    assert {refusal(message) for message in bad} == set(REASONS)


# -- what may come, comes to one of two ends -----------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
almost_numbers = st.text(alphabet="0123456789.-+eEnaNfiI _", max_size=45)
decimals = st.from_regex(r"\A(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?\Z")
percents = st.from_regex(r"\A-?[0-9]{1,20}(\.[0-9]{1,40})?\Z")


def check_outcome(frame: bytes) -> None:
    events: tuple[Event, ...] = ()
    reason = None
    try:
        events = DIALECT.decode(frame)
    except FrameRefused as error:
        reason = error.reason
    assert isinstance(events[0], Envelope | ExchangeError | Ignored) if events else reason in REASONS
    last: dict[str, int] = {}
    for event in events[1:]:
        if isinstance(event, Ticker):
            check_payload(event)
            assert last.setdefault(event.product_id, -1) <= event.trade_id
            last[event.product_id] = event.trade_id
        elif isinstance(event, Market):
            check_payload(Ticker(event.product_id, "1", 1, event.time, 0, event.best_bid, event.best_ask, "0",
                                 event.open_24h, event.high_24h, event.low_24h, event.volume_24h))  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes(frame: bytes) -> None:
    check_outcome(frame)


@given(json_values)
def test_any_json(value: object) -> None:
    check_outcome(json.dumps(value).encode())


@settings(max_examples=300)
@given(st.sampled_from(sorted(TICKER)), json_values | almost_numbers | decimals | percents)
def test_a_ticker_with_one_field_replaced(field: str, value: object) -> None:
    check_outcome(json.dumps(ticker_frame({**TICKER, field: value}, TICKER)).encode())


@given(st.sampled_from(sorted(TRADE)), json_values | almost_numbers | decimals)
def test_a_trade_with_one_field_replaced(field: str, value: object) -> None:
    check_outcome(json.dumps(trades_frame({**TRADE, field: value}, TRADE)).encode())


@given(decimals, percents, decimals, decimals)
def test_any_plain_numbers_make_a_strict_payload(price: str, percent: str, bid: str, high: str) -> None:
    event = market(price=price, price_percent_chg_24_h=percent, best_bid=bid, high_24_h=high)
    whole, _, fraction = event.open_24h.partition(".")
    assert len(whole) <= 20
    assert len(fraction) <= 20
    check_payload(Ticker("BTC-USD", "1", 1, TIME, best_bid=event.best_bid, open_24h=event.open_24h))


@given(st.sampled_from(["ticker", "market_trades", "heartbeats", "subscriptions"]), json_values)
def test_a_frame_of_any_events(channel: str, events: object) -> None:
    check_outcome(json.dumps(envelope(channel, **{"events": events})).encode())


def test_ids_are_put_in_order_by_number_not_by_text() -> None:
    rows = [{**TRADE, "trade_id": text} for text in ("1000", "999", "98")]
    events = [event for event in after_envelope(trades_frame(*rows)) if isinstance(event, Ticker)]
    assert all(before.trade_id < after.trade_id for before, after in pairwise(events))
