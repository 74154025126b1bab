"""The ticker cache: what is new, late or seen already, and which products are active."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.book import TICKING_SECONDS, Book
from hub.model import Heartbeat, Order, Quote, Ticker
from hub.payload import ticker_payload

TIME = "2026-11-20T01:02:03Z"
HEARTBEAT_FRESH_SECONDS = 10.0


def ticker(trade_id: int, price: str = "100.50", product_id: str = "BTC-USD") -> Ticker:
    return Ticker(product_id, price, trade_id, TIME)


def heartbeat(last_trade_id: int, product_id: str = "BTC-USD") -> Heartbeat:
    return Heartbeat(product_id, last_trade_id, 1, TIME)


@pytest.fixture
def book() -> Book:
    made = Book(HEARTBEAT_FRESH_SECONDS)
    made.set_products(["BTC-USD", "ETH-USD"])
    return made


def test_a_ticker_becomes_the_quote(book: Book) -> None:
    assert book.quote("BTC-USD") is None
    taken = book.apply(ticker(7), "conn_003", 1_000.5, 50.25)
    expected = Quote(ticker(7), 1_000.5, 50.25, "conn_003", ticker_payload(ticker(7)))
    assert taken == (Order.NEW, expected)
    assert book.quote("BTC-USD") == expected
    assert json.loads(expected.payload)["crypto"] == "BTC-USD"


def test_a_duplicate_changes_nothing_not_even_the_age(book: Book) -> None:
    book.apply(ticker(7), "conn_000", 1_000.0, 50.0)
    before = book.quote("BTC-USD")
    taken = book.apply(ticker(7, "999"), "conn_001", 2_000.0, 90.0)
    assert taken is not None
    assert taken[0] is Order.DUPLICATE
    assert book.quote("BTC-USD") == before


def test_a_late_one_is_handed_back_and_overwrites_nothing(book: Book) -> None:
    book.apply(ticker(7), "conn_000", 1_000.0, 50.0)
    book.apply(ticker(9), "conn_000", 1_001.0, 51.0)
    before = book.quote("BTC-USD")
    taken = book.apply(ticker(8, "999"), "conn_001", 1_002.0, 52.0)
    assert taken is not None
    order, quote = taken
    assert (order, quote.ticker, quote.connection_id) == (Order.LATE, ticker(8, "999"), "conn_001")
    assert book.quote("BTC-USD") == before


def test_products_have_their_own_order(book: Book) -> None:
    book.apply(ticker(7), "conn_000", 0.0, 0.0)
    taken = book.apply(ticker(3, product_id="ETH-USD"), "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken[0] is Order.NEW


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80))
def test_the_quote_is_always_the_highest_trade_and_no_trade_is_news_twice(ids: list[int]) -> None:
    book = Book(HEARTBEAT_FRESH_SECONDS)
    book.set_products(["BTC-USD"])
    orders: list[tuple[Order, int]] = []
    for trade_id in ids:
        taken = book.apply(ticker(trade_id, f"{trade_id}.5"), "conn_000", 0.0, 0.0)
        assert taken is not None
        orders.append((taken[0], trade_id))
    quote = book.quote("BTC-USD")
    assert quote is not None
    assert quote.ticker == ticker(max(ids), f"{max(ids)}.5")
    news = [trade_id for order, trade_id in orders if order is Order.NEW]
    assert all(earlier < later for earlier, later in pairwise(news))
    told = [trade_id for order, trade_id in orders if order is not Order.DUPLICATE]
    assert sorted(told) == sorted(set(ids))


def test_a_product_that_is_not_watched_is_not_taken_in(book: Book) -> None:
    assert book.apply(ticker(7, product_id="XRP-USD"), "conn_000", 0.0, 0.0) is None
    assert book.quote("XRP-USD") is None
    assert book.quotes() == []
    assert not book.knows("XRP-USD")


def test_quotes_come_in_the_order_of_the_products(book: Book) -> None:
    book.set_products(["ETH-USD", "SOL-USD", "BTC-USD", "ETH-USD"])
    assert book.products == ("ETH-USD", "SOL-USD", "BTC-USD")
    for product_id in ("BTC-USD", "ETH-USD"):
        book.apply(ticker(1, product_id=product_id), "conn_000", 0.0, 0.0)
    assert [quote.ticker.product_id for quote in book.quotes()] == ["ETH-USD", "BTC-USD"]


def test_a_product_that_is_given_up_leaves_nothing_behind(book: Book) -> None:
    for product_id in ("BTC-USD", "ETH-USD"):
        book.apply(ticker(7, product_id=product_id), "conn_000", 0.0, 0.0)
        book.beat(heartbeat(7, product_id), 0.0)
    book.set_products(["BTC-USD"])
    assert (book.quote("ETH-USD"), book.knows("ETH-USD")) == (None, False)
    assert book.quote("BTC-USD") is not None
    book.set_products(["BTC-USD", "ETH-USD"])
    assert book.activity(0.0) == (1, 1)  # the old heartbeat proves nothing any more
    taken = book.apply(ticker(5, product_id="ETH-USD"), "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken[0] is Order.NEW


def test_products_that_stay_keep_their_price_and_order(book: Book) -> None:
    book.apply(ticker(7), "conn_000", 0.0, 0.0)
    book.set_products(["SOL-USD", "BTC-USD"])
    taken = book.apply(ticker(7), "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken[0] is Order.DUPLICATE


# -- active and ticking --------------------------------------------------------------------------------

NOW = 10_000.0


def test_two_minutes_make_the_difference() -> None:
    assert TICKING_SECONDS == 120.0


@pytest.mark.parametrize(
    ("tick_age", "beat_age", "ahead", "expected"),
    [
        (None, None, 0, (0, 0)),
        (0.0, None, 0, (1, 1)),
        (TICKING_SECONDS, None, 0, (1, 1)),
        (TICKING_SECONDS + 0.1, None, 0, (0, 0)),
        (5_000.0, 0.0, 0, (1, 0)),  # quiet: the heartbeat names our trade
        (5_000.0, 0.0, -1, (1, 0)),  # a heartbeat that was overtaken by a tick
        (5_000.0, HEARTBEAT_FRESH_SECONDS, 0, (1, 0)),
        (5_000.0, HEARTBEAT_FRESH_SECONDS + 0.1, 0, (0, 0)),
        (5_000.0, 0.0, 1, (0, 0)),  # stuck: trades go on without us
        (1.0, 0.0, 1, (1, 1)),
    ],
)
def test_active_is_ticking_or_proved_quiet(
    book: Book, tick_age: float | None, beat_age: float | None, ahead: int, expected: tuple[int, int]
) -> None:
    if tick_age is not None:
        book.apply(ticker(100), "conn_000", 0.0, NOW - tick_age)
    if beat_age is not None:
        book.beat(heartbeat(100 + ahead), NOW - beat_age)
    assert book.activity(NOW) == expected


@pytest.mark.parametrize(("last_trade_id", "active"), [(0, 1), (1, 0)])
def test_a_product_without_a_tick_is_active_only_if_it_never_traded(
    book: Book, last_trade_id: int, active: int
) -> None:
    book.beat(heartbeat(last_trade_id), NOW)
    assert book.activity(NOW) == (active, 0)


def test_a_heartbeat_of_a_product_that_is_not_watched_counts_for_nothing(book: Book) -> None:
    book.beat(heartbeat(0, "XRP-USD"), NOW)
    book.set_products(["XRP-USD"])
    assert book.activity(NOW) == (0, 0)


def test_a_heartbeat_refreshes_no_price(book: Book) -> None:
    book.apply(ticker(100), "conn_000", 1_000.0, 50.0)
    before = book.quote("BTC-USD")
    book.beat(heartbeat(100), NOW)
    assert book.quote("BTC-USD") == before


def test_an_absurd_trade_id_is_not_believed_unless_a_heartbeat_agrees(book: Book) -> None:
    assert book.apply(ticker(5), "conn_000", 1.0, 1.0)
    assert book.apply(ticker(2**53 - 1), "conn_000", 1.0, 1.0) is None
    placed = book.apply(ticker(6), "conn_000", 1.0, 1.0)
    assert placed is not None
    assert placed[0] is Order.NEW
    book.beat(heartbeat(50_000_000), 1.0)
    assert book.apply(ticker(50_000_001), "conn_000", 1.0, 1.0)
    assert book.missing_total() == 49_999_994
