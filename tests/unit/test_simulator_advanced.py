"""What the simulated Advanced Trade understands, says and limits."""

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.dialects.advanced_trade import AdvancedTradeDialect
from hub.feed.dialects.aliases import AliasMap, parse_market_products, parse_market_trades
from hub.model import ConnectionHeartbeat, Envelope, ExchangeError, Market, Subscriptions, Ticker
from hub.simulator import advanced_protocol as protocol
from hub.simulator.advanced_protocol import Request, RequestRefused, parse_request
from hub.simulator.advanced_rest import PREFIX, AdvancedRest
from hub.simulator.broken import Faults
from hub.simulator.endpoint import Audience
from hub.simulator.faults import chosen
from hub.simulator.kinds import FaultError
from hub.simulator.limits import WindowLimit
from hub.simulator.market import GeneratedMarket

WALL = 1_764_000_000.25
DIALECT = AdvancedTradeDialect()


def parse(**body: object) -> Request:
    return parse_request(json.dumps(body))


# -- requests ----------------------------------------------------------------------------------------------


def test_one_channel_a_request() -> None:
    assert parse(type="subscribe", channel="ticker", product_ids=["A-USD", "B-USD", "A-USD"]) == Request(
        True, "ticker", ("A-USD", "B-USD")
    )
    assert parse(type="unsubscribe", channel="market_trades") == Request(False, "market_trades", ())
    assert parse(type="subscribe", channel="heartbeats") == Request(True, "heartbeats", ("heartbeats",))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "subscribe", "channels": ["ticker"], "product_ids": ["A-USD"]}, "authentication failure"),
        ({"type": "subscribe", "channel": "tickers", "product_ids": ["A-USD"]}, "authentication failure"),
        ({"type": "subscribe", "channel": ["ticker"], "product_ids": ["A-USD"]}, "authentication failure"),
        ({"type": "subscribe", "channel": "ticker"}, "product_ids are missing"),
        ({"type": "subscribe", "channel": "ticker", "product_ids": "A-USD"}, "failed to parse message"),
        ({"type": "subscribe", "channel": "ticker", "product_ids": [5]}, "failed to parse message"),
        ({"type": "dance", "channel": "ticker"}, "failed to parse message"),
    ],
)
def test_refusals_are_errors_without_an_envelope(body: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse(**body)
    assert DIALECT.decode(caught.value.frame) == (ExchangeError(message, ""),)


@pytest.mark.parametrize("message", ["", "{", "[]", "7", b"\xff"])
def test_what_is_no_request_is_refused(message: str | bytes) -> None:
    with pytest.raises(RequestRefused):
        parse_request(message)


@pytest.mark.parametrize("product_ids", [["A-USD"], ["A-USD", "B-USD"]])
def test_what_the_codec_asks_is_understood(product_ids: list[str]) -> None:
    requests = [parse_request(frame) for frame in (*DIALECT.subscribe(product_ids), *DIALECT.unsubscribe(product_ids))]
    assert [(request.subscribe, request.channel) for request in requests] == [
        (True, "ticker"), (True, "market_trades"), (True, "heartbeats"), (False, "ticker"), (False, "market_trades"),
    ]  # fmt: skip
    assert all(request.product_ids == tuple(product_ids) for request in requests if request.channel != "heartbeats")


# -- frames ------------------------------------------------------------------------------------------------


def framed(channel: str, events: bytes) -> tuple[Any, ...]:
    first, *others = DIALECT.decode(protocol.envelope(channel, 7, protocol.time_text(WALL), events))
    assert first == Envelope(7, "2025-11-24T16:00:00.25Z")
    return tuple(others)


@pytest.mark.parametrize(
    ("wall", "text"),
    [(0.0, "1970-01-01T00:00:00Z"), (WALL, "2025-11-24T16:00:00.25Z"), (WALL + 0.75, "2025-11-24T16:00:01Z")],
)
def test_times_have_no_trailing_zeros(wall: float, text: str) -> None:
    assert protocol.time_text(wall) == text


def test_a_ticker_without_trade_id_time_and_size() -> None:
    market = GeneratedMarket(2, 100.0, 1, now=0.0, wall=WALL)
    frame = market.snapshot("BTC-USD")
    assert frame is not None
    fields = json.loads(frame)
    row = protocol.ticker_row(frame)
    assert not {"trade_id", "time", "last_size", "sequence"} & set(row)
    (event,) = framed("ticker", protocol.tickers_event("update", [row]))
    decimals = len(fields["price"].partition(".")[2])
    assert event == Market(
        "BTC-USD", "2025-11-24T16:00:00.25Z", fields["best_bid"], fields["best_ask"],
        f"{Decimal(fields['open_24h']):.{decimals}f}", fields["high_24h"], fields["low_24h"], fields["volume_24h"],
        simulated=True,
    )  # fmt: skip


prices = st.decimals(Decimal("0.01"), 10**6, places=2).map(str)


@given(prices, prices)
def test_the_change_in_percent_tells_the_open(price: str, opened: str) -> None:
    row = {"product_id": "A-USD", "price": price, "price_percent_chg_24_h": protocol.percent_text(price, opened)}
    (event,) = framed("ticker", protocol.tickers_event("update", [row]))
    # a float has 16 digits, and a change near -100 % has few of them left
    assert float(event.open_24h) == pytest.approx(float(opened), abs=0.011, rel=1e-14 * float(opened) / float(price))


def test_without_an_open_there_is_no_change() -> None:
    assert protocol.percent_text("5", "0") == protocol.percent_text("5", "0.00") == ""


def test_trades_and_rests_trades_are_the_same() -> None:
    market = GeneratedMarket(1, 100.0, 1, now=0.0, wall=WALL)
    for number in range(5):
        market.trade(int((WALL + number) * 1e6))
    rows = market.trades("BTC-USD", 3, None, None)
    trades = framed("market_trades", protocol.trades_event("update", [protocol.trade_row("BTC-USD", r) for r in rows]))
    assert [trade.trade_id for trade in trades] == [row["trade_id"] for row in reversed(rows)]
    newest = trades[-1]
    assert newest == Ticker(
        "BTC-USD", rows[0]["price"], rows[0]["trade_id"], rows[0]["time"], last_size=rows[0]["size"], simulated=True
    )


def test_acks_and_heartbeats() -> None:
    ack = protocol.ack_event({"ticker": {"B-USD", "A-USD"}, "heartbeats": {"heartbeats"}})
    assert framed("subscriptions", ack) == (
        Subscriptions({"ticker": frozenset({"A-USD", "B-USD"}), "heartbeats": frozenset({"heartbeats"})}),
    )
    beat = protocol.heartbeat_event(WALL, 139_651.27, 139_651)
    assert json.loads(beat)["current_time"] == "2025-11-24 16:00:00.25 +0000 UTC m=+139651.270000000"
    assert framed("heartbeats", beat) == (ConnectionHeartbeat("2025-11-24T16:00:00.25Z", 139_651),)


# -- REST --------------------------------------------------------------------------------------------------


def ask(rest: AdvancedRest, path: str, query: str = "", now: float = 0.0) -> tuple[int, Any]:
    environ = {"REMOTE_ADDR": "a", "REQUEST_METHOD": "GET", "PATH_INFO": PREFIX + path, "QUERY_STRING": query}
    response = rest.handle(environ, now)
    return response.status, json.loads(response.body)


def test_the_list_tells_of_aliases() -> None:
    market = GeneratedMarket(12, 100.0, 1, now=0.0, wall=WALL)
    rest = AdvancedRest(market, Faults())
    status, body = ask(rest, "products")
    assert (status, body["pagination"]) == (200, None)
    listed = parse_market_products(body)
    assert listed.malformed == 0
    online = {row.product.id for row in listed.products if row.product.online}
    assert online >= {*market.product_ids, "BTC-USDC", "XLM-USDC"}
    assert {row.product.id for row in listed.products if row.product.delisted}
    aliases = AliasMap(["XLM-USDC", "ADA-USD"], listed.products)
    assert (aliases.asked_for("XLM-USD"), aliases.asked_for("ADA-USD")) == (("XLM-USDC",), ("ADA-USD",))
    assert {row["price"] for row in body["products"] if row["status"] != "online"} == {""}
    assert len(ask(rest, "products", "limit=3&offset=2")[1]["products"]) == 3
    assert ask(rest, "products", "product_type=FUTURE")[1]["products"] == []
    assert ask(rest, "products", "limit=x")[0] == 400


def test_trades_of_a_product_and_of_its_alias() -> None:
    market = GeneratedMarket(12, 100.0, 1, now=0.0, wall=WALL)
    for number in range(500):
        market.trade(int((WALL + number) * 1e6))
    rest = AdvancedRest(market, Faults())
    status, body = ask(rest, "products/BTC-USDC/ticker", "limit=4")
    assert status == 200
    assert {row["product_id"] for row in body["trades"]} == {"BTC-USD"}
    trades = parse_market_trades("BTC-USDC", body)
    last = market.happened("BTC-USD")[0][1]
    assert [trade.trade_id for trade in trades] == list(range(last - 3, last + 1))
    assert (body["best_bid"], body["best_ask"]) == (market.ticker("BTC-USD")["bid"], market.ticker("BTC-USD")["ask"])
    assert ask(rest, "products/NO-USD/ticker")[0] == ask(rest, "nothing")[0] == 404


def test_rest_is_limited_by_address() -> None:
    rest = AdvancedRest(GeneratedMarket(1, 100.0, 1, now=0.0, wall=WALL), Faults())
    assert [ask(rest, "products/BTC-USD/ticker")[0] for _ in range(12)] == [200] * 10 + [429] * 2


# -- limits, and who is meant ------------------------------------------------------------------------------


def test_at_most_so_many_in_any_second() -> None:
    limit = WindowLimit(8)
    assert [limit.allow("a", 0.1 * number) for number in range(10)] == [True] * 8 + [False] * 2
    assert limit.allow("b", 0.9)  # each address has its own
    assert [limit.allow("a", when) for when in (0.99, 1.0, 1.05, 1.1)] == [False, True, False, True]


def test_a_steady_eight_a_second_is_never_refused() -> None:
    limit = WindowLimit(8)
    assert all(limit.allow("a", number * 0.125) for number in range(1_000))


@given(st.lists(st.floats(0, 5), max_size=80))
def test_no_second_ever_has_more(times: list[float]) -> None:
    limit = WindowLimit(8)
    allowed = [when for when in sorted(times) if limit.allow("a", when)]
    assert all(late - early >= 1.0 for early, late in zip(allowed, allowed[8:], strict=False))


def test_a_fault_names_its_endpoint() -> None:
    endpoints: Any = {"exchange": "e", "advanced_trade": "a"}
    assert chosen({}, endpoints) == chosen({"endpoint": "exchange"}, endpoints) == ["e"]
    assert chosen({"endpoint": "advanced_trade"}, endpoints) == ["a"]
    assert chosen({"endpoint": "both"}, endpoints) == ["e", "a"]
    for bad in ("exchanges", None, 5, ["exchange"]):
        with pytest.raises(FaultError, match="endpoint"):
            chosen({"endpoint": bad}, endpoints)


def test_a_replay_waits_for_a_subscriber_on_any_endpoint_and_for_room_on_all() -> None:
    def endpoint(held: set[str], room: bool) -> Any:
        return SimpleNamespace(covers=lambda ids: set(ids) <= held, has_room=lambda one: room)  # noqa: ARG005

    assert Audience(endpoint({"A"}, True), endpoint({"B"}, True)).covers(("A", "B"))
    assert not Audience(endpoint({"A"}, True), endpoint({"A"}, True)).covers(("A", "B"))
    assert Audience(endpoint(set(), True), endpoint(set(), True)).has_room("A")
    assert not Audience(endpoint(set(), True), endpoint(set(), False)).has_room("A")


def test_the_markets_own_faults_are_the_same_for_all_endpoints() -> None:
    exchange = Faults()
    advanced = Faults(exchange)
    exchange.clock_offset_seconds.set(5.0, 10.0)
    exchange.listed.set("A-USD", None, 10.0)
    assert advanced.clock_offset_seconds.at(1.0) == 5.0
    assert advanced.listed.at(1.0) == {"A-USD": None}
    exchange.refusal.set(Any, 10.0)  # type: ignore[arg-type]
    assert advanced.refusal.at(1.0) is None
