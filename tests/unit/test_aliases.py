"""One book under two names: which of the ids that were asked for a frame's id stands for."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.dialects.aliases import AliasMap, MarketProduct, parse_market_products, parse_market_trades
from hub.model import (
    ConnectionHeartbeat,
    Envelope,
    FrameRefused,
    Market,
    Product,
    Subscriptions,
    Ticker,
)

TIME = "2026-11-20T01:02:03.4Z"


def row(product_id: str, alias: Any = "", alias_to: Any = (), **changes: Any) -> dict[str, Any]:
    base, _, quote = product_id.partition("-")
    return {
        "product_id": product_id, "price": "0.25", "price_percentage_change_24h": "-1.5", "volume_24h": "1000",
        "status": "online", "is_disabled": False, "trading_disabled": False, "view_only": False,
        "product_type": "SPOT", "base_currency_id": base, "quote_currency_id": quote, "alias": alias,
        "alias_to": alias_to, "approximate_quote_24h_volume": "250.5", "price_increment": "0.0001", **changes,
    }  # fmt: skip


ROWS = [
    row("XLM-USD", alias_to=("XLM-USDC",)),
    row("XLM-USDC", alias="XLM-USD"),
    row("USDT-USD"),
    row("USDT-USDC"),
    row("EURC-USDC"),
    row("ETH-USD"),
]


def listed(*rows: Any) -> tuple[MarketProduct, ...]:
    return parse_market_products(json.loads(json.dumps({"products": rows, "pagination": None}))).products


LISTED = listed(*ROWS)


# -- the product list --------------------------------------------------------------------------------------


def test_a_row_of_the_list() -> None:
    first, second = listed(*ROWS[:2])
    assert first == MarketProduct(Product("XLM-USD", "XLM", "USD", Decimal("250.5")), "", ("XLM-USDC",))
    assert second == MarketProduct(Product("XLM-USDC", "XLM", "USDC", Decimal("250.5")), "XLM-USD", ())


@pytest.mark.parametrize("field", ["is_disabled", "trading_disabled", "view_only"])
def test_what_is_disabled_in_any_way_is_not_online(field: str) -> None:
    (found,) = listed(row("ETH-USD", **{field: True}))
    assert not found.product.online


@pytest.mark.parametrize("status", ["delisted", "", "offline"])
def test_the_exchanges_own_word_stays(status: str) -> None:
    (found,) = listed(row("ETH-USD", status=status))
    assert found.product.status == status
    assert not found.product.online


@pytest.mark.parametrize("volume", ["", None, "NaN", "1e9", 5])
def test_a_volume_that_is_not_known(volume: object) -> None:
    (found,) = listed(row("ETH-USD", approximate_quote_24h_volume=volume))
    assert found.product.volume_24h_quote == 0


def test_rows_without_aliases_and_with_null() -> None:
    bare = row("ETH-USD")
    del bare["alias"], bare["alias_to"]
    assert listed(bare) == listed(row("ETH-USD", alias=None, alias_to=None)) == listed(row("ETH-USD"))


@pytest.mark.parametrize(
    "changes",
    [
        {"product_id": "eth-usd"}, {"product_id": None}, {"status": None}, {"status": "x\n"}, {"alias": "<b>"},
        {"alias": 5}, {"alias_to": "XLM-USDC"}, {"alias_to": [5]}, {"base_currency_id": None},
        {"quote_currency_id": 5},
    ],
)  # fmt: skip
def test_malformed_rows_are_left_out_and_counted(changes: dict[str, Any]) -> None:
    found = parse_market_products({"products": [row("ETH-USD"), {**row("XLM-USD"), **changes}, "row", None]})
    assert [item.product.id for item in found.products] == ["ETH-USD"]
    assert found.malformed == 3


def test_futures_are_passed_over() -> None:
    future = row("BIT-24APR26-CDE", product_type="FUTURE")
    found = parse_market_products({"products": [row("ETH-USD"), future]})
    assert (len(found.products), found.malformed) == (1, 0)


@pytest.mark.parametrize(
    "body", [None, [], {}, "x", 5, {"products": None}, {"products": {}}, {"products": []}, {"products": [None]},
             [row("ETH-USD")], {"products": [row("ETH-USD")] * 10_001}],
)  # fmt: skip
def test_what_is_no_list_is_no_empty_list(body: object) -> None:
    with pytest.raises(FrameRefused):
        parse_market_products(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("A-B"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ROWS[0])), inner, max_size=5),
    max_leaves=10,
)


@given(st.one_of(json_values, st.fixed_dictionaries({"products": json_values})))
def test_any_body_is_a_list_or_refused(body: object) -> None:
    with contextlib.suppress(FrameRefused):
        assert parse_market_products(body).products


# -- trades by REST ----------------------------------------------------------------------------------------

TRADES = [
    {"trade_id": "102", "product_id": "XLM-USD", "price": "0.26", "size": "5", "time": TIME, "side": "BUY"},
    {"trade_id": "101", "product_id": "XLM-USD", "price": "0.25", "size": "4", "time": TIME, "side": "SELL"},
]


def test_trades_come_oldest_first_under_the_name_that_was_asked_for() -> None:
    body = {"trades": TRADES, "best_bid": "0.25", "best_ask": "0.26"}
    assert parse_market_trades("XLM-USDC", body) == [
        Ticker("XLM-USDC", "0.25", 101, TIME, last_size="4"),
        Ticker("XLM-USDC", "0.26", 102, TIME, last_size="5"),
    ]
    assert parse_market_trades("XLM-USDC", {"trades": []}) == []


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"trades": None}, {"trades": [None]}, {"trades": [{**TRADES[0], "price": "0"}]},
     {"trades": [TRADES[0], {**TRADES[1], "trade_id": "x"}]}],
)  # fmt: skip
def test_a_body_that_is_wrong_in_any_row_is_refused(body: object) -> None:
    with pytest.raises(FrameRefused):
        parse_market_trades("XLM-USD", body)


# -- the map -----------------------------------------------------------------------------------------------


def test_the_list_tells_and_not_the_text() -> None:
    aliases = AliasMap(["XLM-USDC", "USDT-USDC", "EURC-USDC", "ETH-USD"], LISTED)
    assert aliases.asked_for("XLM-USD") == ("XLM-USDC",)
    assert aliases.asked_for("XLM-USDC") == ()  # no frame carries it
    assert aliases.asked_for("USDT-USDC") == ("USDT-USDC",)
    assert aliases.asked_for("USDT-USD") == ()
    assert aliases.asked_for("EURC-USD") == ()
    assert aliases.asked_for("ETH-USD") == ("ETH-USD",)


def test_one_book_asked_for_under_both_names() -> None:
    aliases = AliasMap(["XLM-USDC", "XLM-USD", "XLM-USD"], LISTED)
    assert aliases.asked_for("XLM-USD") == ("XLM-USDC", "XLM-USD")


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2]], ids=["alias_to alone", "alias alone"])
def test_either_field_is_enough(rows: list[Any]) -> None:
    assert AliasMap(["XLM-USDC"], listed(*rows)).asked_for("XLM-USD") == ("XLM-USDC",)


def test_a_products_own_word_counts_first() -> None:
    rows = [row("A-USD", alias_to=("A-USDC",)), row("A-USDC", alias="A-EUR"), row("B-USD", alias="B-USD")]
    aliases = AliasMap(["A-USDC", "B-USD"], listed(*rows))
    assert aliases.asked_for("A-EUR") == ("A-USDC",)
    assert aliases.asked_for("A-USD") == ()
    assert aliases.asked_for("B-USD") == ("B-USD",)


def test_without_a_list_each_id_stands_for_itself() -> None:
    aliases = AliasMap(["XLM-USDC"])
    assert aliases.asked_for("XLM-USDC") == ("XLM-USDC",)
    assert aliases.asked_for("XLM-USD") == ()


def test_events_are_translated() -> None:
    aliases = AliasMap(["XLM-USDC", "XLM-USD", "ETH-USD"], LISTED)
    trade, market = Ticker("XLM-USD", "0.25", 5, TIME, simulated=True), Market("XLM-USD", TIME, "0.2", "0.3")
    assert aliases.translate(trade) == (trade._replace(product_id="XLM-USDC"), trade)
    assert aliases.translate(market) == (market._replace(product_id="XLM-USDC"), market)
    assert aliases.translate(trade._replace(product_id="SOL-USD")) == ()
    ack = Subscriptions({
        "ticker": frozenset({"XLM-USD", "ETH-USD"}), "market_trades": frozenset({"XLM-USD"}),
        "heartbeats": frozenset({"heartbeats"}),
    })  # fmt: skip
    assert aliases.translate(ack) == (Subscriptions({
        "ticker": frozenset({"XLM-USD", "XLM-USDC", "ETH-USD"}), "market_trades": frozenset({"XLM-USD", "XLM-USDC"}),
        "heartbeats": frozenset({"heartbeats"}),
    }),)  # fmt: skip
    for event in (Envelope(5, TIME), ConnectionHeartbeat(TIME, 5)):
        assert aliases.translate(event) == (event,)


ids = st.sampled_from(["A-USD", "A-USDC", "B-USD", "B-USDC", "C-EUR"])
rows_of_any = st.builds(row, ids, st.sampled_from(["", "A-USD", "B-USD"]), st.lists(ids, max_size=2).map(tuple))


@given(st.lists(ids), st.lists(rows_of_any, min_size=1))
def test_each_id_asked_for_is_reached_from_exactly_one_book(asked: list[str], rows: list[Any]) -> None:
    aliases = AliasMap(asked, listed(*rows))
    reached = [name for book in ("A-USD", "A-USDC", "B-USD", "B-USDC", "C-EUR") for name in aliases.asked_for(book)]
    assert sorted(reached) == sorted(set(asked))
