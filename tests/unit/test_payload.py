"""What clients are told about a ticker, field by field."""

import json
import re
from decimal import Decimal

import orjson
import pytest

from hub.model import Quote, Source, Standing, Ticker, Trust
from hub.payload import aged_payload, change_24h, iso_time, json_number, tick_payload, ticker_body

EXAMPLE = Ticker(
    product_id="BTC-USD", price="67123.45", trade_id=912345678, time="2026-11-20T01:02:03.456789Z", sequence=96213412,
    best_bid="67123.4", best_ask="67123.5", last_size="0.013", open_24h="66000.1", high_24h="68000.3",
    low_24h="65000.2", volume_24h="12345.678",
)  # fmt: skip
CONTRACT = {
    "crypto": "BTC-USD", "price": 67123.45, "bid": 67123.4, "ask": 67123.5, "volume_24h": 12345.678,
    "price_24h": 66000.1, "low_24h": 65000.2, "high_24h": 68000.3, "price_change_24h": 1123.35,
    "price_change_percent_24h": 1.702, "last_size": 0.013, "time": "2026-11-20T01:02:03.456789Z",
    "timestamp": "01:02:03", "sequence": 96213412,
}  # fmt: skip
NUMBERS = [name for name, value in CONTRACT.items() if type(value) is float]


def payload(ticker: Ticker, source: Source = Source.WS) -> str:
    return tick_payload(ticker_body(ticker, source), Trust.LIVE)


@pytest.mark.parametrize("trust", Trust)
def test_a_tick_that_leaves_now_carries_its_trust_and_no_ages(trust: Trust) -> None:
    body = json.loads(tick_payload(ticker_body(EXAMPLE, Source.WS), trust))
    assert body["trust"] == trust.value
    assert not [name for name in body if name.endswith("_ms")]


def test_the_trust_costs_a_tick_a_few_tens_of_bytes() -> None:
    body = json.loads(payload(EXAMPLE))
    plain = {name: body[name] for name in body if name not in ("trust", "source")}
    compact = orjson.dumps(plain)
    assert len(payload(EXAMPLE)) - len(compact) < 50


@pytest.mark.parametrize("source", [*Source])
def test_a_standing_price_carries_its_ages_in_milliseconds(source: Source) -> None:
    quote = Quote(EXAMPLE, 1_000.5, 50.25, "conn_003", source, ticker_body(EXAMPLE, source))
    body = json.loads(aged_payload(quote, Standing(Trust.QUIET, "no trades", 61_000, 250, 60_500)))
    assert {name: body[name] for name in CONTRACT} == CONTRACT
    added = {
        "trust": "quiet", "age_ms": 61_000, "verified_ms": 250, "quote_age_ms": 60_500, "source": source.value,
        "connection_id": "conn_003",
    }  # fmt: skip
    assert {name: body[name] for name in added} == added
    assert all(type(body[name]) is int for name in ("age_ms", "verified_ms", "quote_age_ms"))


def test_a_fetched_price_has_no_connection() -> None:
    quote = Quote(EXAMPLE, 1_000.5, 50.25, None, Source.BACKFILL, ticker_body(EXAMPLE, Source.BACKFILL))
    assert json.loads(aged_payload(quote, Standing(Trust.LIVE, "", 1, 1, 1)))["connection_id"] is None


def test_the_simulator_names_itself_as_the_source_of_what_it_sends() -> None:
    simulated = EXAMPLE._replace(simulated=True)
    sources = {source: json.loads(payload(simulated, source))["source"] for source in Source}
    assert sources == {
        Source.WS: "simulator", Source.REST: "rest", Source.BACKFILL: "backfill", Source.SIMULATOR: "simulator",
    }  # fmt: skip


def test_the_contracts_example_field_by_field() -> None:
    body = json.loads(payload(EXAMPLE))
    assert {name: body[name] for name in CONTRACT} == CONTRACT
    assert {name: type(body[name]) for name in CONTRACT} == {name: type(value) for name, value in CONTRACT.items()}
    assert {name: body[name] for name in body if name not in CONTRACT} == {
        "trade_id": 912345678, "source": "ws", "trust": "live",
    }  # fmt: skip


def test_whole_numbers_are_floats_too() -> None:
    whole = EXAMPLE._replace(
        price="90200", best_bid="90199", best_ask="90201", last_size="1", open_24h="90000", high_24h="91000",
        low_24h="89000", volume_24h="12",
    )  # fmt: skip
    body = json.loads(payload(whole))
    assert {name: type(body[name]) for name in NUMBERS} == dict.fromkeys(NUMBERS, float)
    assert (body["price"], body["price_change_24h"], body["price_change_percent_24h"]) == (90200.0, 200.0, 0.222)
    assert type(body["sequence"]) is int


def test_what_the_exchange_did_not_send_is_0() -> None:
    body = json.loads(payload(Ticker("BTC-USD", "5.5", 7, "2026-11-20T01:02:03Z")))
    expected = {**dict.fromkeys(NUMBERS, 0.0), "price": 5.5}
    assert {name: body[name] for name in NUMBERS} == expected
    assert all(type(body[name]) is float for name in NUMBERS)
    assert body["sequence"] == 0


def test_the_exchanges_text_passes_exactly() -> None:
    exact = EXAMPLE._replace(price="133.630", best_bid="0.00000001", volume_24h="1234567890123.123456789")
    text = payload(exact)
    assert '"price":133.630,' in text
    assert '"bid":0.00000001,' in text
    assert '"volume_24h":1234567890123.123456789,' in text


def test_the_text_is_one_strict_object() -> None:
    text = payload(EXAMPLE)
    assert orjson.loads(text) == json.loads(text)
    assert "\n" not in text


@pytest.mark.parametrize("time", ["2026-11-20T23:59:59Z", "2026-11-20T23:59:59.999999999Z"])
def test_the_timestamp_is_the_time_of_day_cut_not_rounded(time: str) -> None:
    body = json.loads(payload(EXAMPLE._replace(time=time)))
    assert (body["time"], body["timestamp"]) == (time, "23:59:59")


def test_the_mark_of_the_simulator_is_there_only_where_it_belongs() -> None:
    assert "simulated" not in json.loads(payload(EXAMPLE))
    assert json.loads(payload(EXAMPLE._replace(simulated=True)))["simulated"] is True


@pytest.mark.parametrize(
    ("price", "opened", "change", "percent"),
    [
        ("67123.45", "66000.1", "1123.35", "1.702"),
        ("65000.1", "66000.1", "-1000.0", "-1.515"),
        ("0.3", "0.1", "0.2", "200.0"),
        ("0.30", "0.1", "0.20", "200.0"),
        ("5", "5", "0.0", "0.0"),
        ("0.00000002", "0.00000001", "0.00000001", "100.0"),
        ("5", "0", "0.0", "0.0"),
        ("5", "0.000", "0.0", "0.0"),
        ("99999999999999999999", "0.00000001", None, "999999999999999999990000000000.0"),
    ],
)
def test_change_and_percent(price: str, opened: str, change: str | None, percent: str) -> None:
    found = change_24h(EXAMPLE._replace(price=price, open_24h=opened))
    assert found[1] == percent or float(found[1]) == pytest.approx(float(percent))
    assert change is None or found[0] == change
    assert all(re.fullmatch(r"-?[0-9]+\.[0-9]+", text) for text in found)  # no exponent: it is JSON for every reader


def test_the_change_is_exact_for_the_longest_texts() -> None:
    change, _ = change_24h(EXAMPLE._replace(price="12345678901234567890.12345678901234567890", open_24h="0.1"))
    assert Decimal(change) == Decimal("12345678901234567890.02345678901234567890")


def test_a_percent_that_rounds_to_nothing_has_no_sign() -> None:
    assert change_24h(EXAMPLE._replace(price="99999.99999", open_24h="100000"))[1] == "0.000"


@pytest.mark.parametrize(("text", "number"), [("90200", "90200.0"), ("133.630", "133.630"), ("0", "0.0")])
def test_json_number(text: str, number: str) -> None:
    assert json_number(text) == number


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_000_000_000.5, "2001-09-09T01:46:40.500000Z"),
        (1_795_136_523.456789, "2026-11-20T01:02:03.456789Z"),
    ],
)
def test_iso_time_is_utc_with_microseconds(seconds: float, text: str) -> None:
    assert iso_time(seconds) == text
