"""The ticker cache: what is new, late or seen already, and which products are active."""

import json
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.book import TICKING_SECONDS, Book
from hub.entry import HISTORY, MAX_JUMP
from hub.model import Heartbeat, Late, Order, Quote, Source, Standing, Taken, Ticker, Trust
from hub.payload import ticker_body

TIME = "2026-11-20T01:02:03Z"
STALE_SECONDS = 5.0
HEARTBEAT_FRESH_SECONDS = 10.0


def ticker(trade_id: int, price: str = "100.50", product_id: str = "BTC-USD") -> Ticker:
    return Ticker(product_id, price, trade_id, TIME)


def heartbeat(last_trade_id: int, product_id: str = "BTC-USD") -> Heartbeat:
    return Heartbeat(product_id, last_trade_id, 1, TIME)


@pytest.fixture
def book() -> Book:
    made = Book(STALE_SECONDS, HEARTBEAT_FRESH_SECONDS)
    made.set_products(["BTC-USD", "ETH-USD"])
    return made


def test_a_ticker_becomes_the_quote(book: Book) -> None:
    assert book.quote("BTC-USD") is None
    taken = book.apply(ticker(7), Source.WS, "conn_003", 1_000.5, 50.25)
    expected = Quote(ticker(7), 1_000.5, 50.25, "conn_003", Source.WS, ticker_body(ticker(7), Source.WS))
    assert taken is not None
    assert (taken.order, taken.quote, taken.trust, taken.jumped, taken.first) == (
        Order.NEW, expected, Trust.LIVE, None, True,
    )  # fmt: skip
    assert book.quote("BTC-USD") == expected
    assert json.loads(expected.body + "}")["crypto"] == "BTC-USD"


def test_a_duplicate_changes_nothing_not_even_the_age(book: Book) -> None:
    book.apply(ticker(7), Source.WS, "conn_000", 1_000.0, 50.0)
    before = book.quote("BTC-USD")
    taken = book.apply(ticker(7, "999"), Source.WS, "conn_001", 2_000.0, 90.0)
    assert taken is not None
    assert taken.order is Order.DUPLICATE
    assert book.quote("BTC-USD") == before


def test_a_late_one_is_handed_back_and_overwrites_nothing(book: Book) -> None:
    book.apply(ticker(7), Source.WS, "conn_000", 1_000.0, 50.0)
    book.apply(ticker(9), Source.WS, "conn_000", 1_001.0, 51.0)
    before = book.quote("BTC-USD")
    taken = book.apply(ticker(8, "999"), Source.WS, "conn_001", 1_002.0, 52.0)
    assert taken is not None
    assert (taken.order, taken.quote.ticker, taken.quote.connection_id) == (Order.LATE, ticker(8, "999"), "conn_001")
    assert book.quote("BTC-USD") == before


def test_products_have_their_own_order(book: Book) -> None:
    book.apply(ticker(7), Source.WS, "conn_000", 0.0, 0.0)
    taken = book.apply(ticker(3, product_id="ETH-USD"), Source.WS, "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken.order is Order.NEW


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80))
def test_the_quote_is_always_the_highest_trade_and_no_trade_is_news_twice(ids: list[int]) -> None:
    book = Book(STALE_SECONDS, HEARTBEAT_FRESH_SECONDS)
    book.set_products(["BTC-USD"])
    orders: list[tuple[Order, int]] = []
    for trade_id in ids:
        taken = book.apply(ticker(trade_id, f"{trade_id}.5"), Source.WS, "conn_000", 0.0, 0.0)
        assert taken is not None
        orders.append((taken.order, trade_id))
    quote = book.quote("BTC-USD")
    assert quote is not None
    assert quote.ticker == ticker(max(ids), f"{max(ids)}.5")
    news = [trade_id for order, trade_id in orders if order is Order.NEW]
    assert all(earlier < later for earlier, later in pairwise(news))
    told = [trade_id for order, trade_id in orders if order is not Order.DUPLICATE]
    assert sorted(told) == sorted(set(ids))


def test_a_product_that_is_not_watched_is_not_taken_in(book: Book) -> None:
    assert book.apply(ticker(7, product_id="XRP-USD"), Source.WS, "conn_000", 0.0, 0.0) is None
    assert book.quote("XRP-USD") is None
    assert book.quotes() == []
    assert not book.knows("XRP-USD")


def test_quotes_come_in_the_order_of_the_products(book: Book) -> None:
    book.set_products(["ETH-USD", "SOL-USD", "BTC-USD", "ETH-USD"])
    assert book.products == ("ETH-USD", "SOL-USD", "BTC-USD")
    for product_id in ("BTC-USD", "ETH-USD"):
        book.apply(ticker(1, product_id=product_id), Source.WS, "conn_000", 0.0, 0.0)
    assert [quote.ticker.product_id for quote in book.quotes()] == ["ETH-USD", "BTC-USD"]


def test_a_product_that_is_given_up_leaves_nothing_behind(book: Book) -> None:
    for product_id in ("BTC-USD", "ETH-USD"):
        book.apply(ticker(7, product_id=product_id), Source.WS, "conn_000", 0.0, 0.0)
        book.beat(heartbeat(7, product_id), 0.0)
    book.set_products(["BTC-USD"])
    assert (book.quote("ETH-USD"), book.knows("ETH-USD")) == (None, False)
    assert book.quote("BTC-USD") is not None
    book.set_products(["BTC-USD", "ETH-USD"])
    assert book.activity(0.0)[:2] == (1, 1)  # the old heartbeat proves nothing any more
    taken = book.apply(ticker(5, product_id="ETH-USD"), Source.WS, "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken.order is Order.NEW


def test_products_that_stay_keep_their_price_and_order(book: Book) -> None:
    book.apply(ticker(7), Source.WS, "conn_000", 0.0, 0.0)
    book.set_products(["SOL-USD", "BTC-USD"])
    taken = book.apply(ticker(7), Source.WS, "conn_000", 0.0, 0.0)
    assert taken is not None
    assert taken.order is Order.DUPLICATE


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
        book.apply(ticker(100), Source.WS, "conn_000", 0.0, NOW - tick_age)
    if beat_age is not None:
        book.beat(heartbeat(100 + ahead), NOW - beat_age)
    assert book.activity(NOW) == (*expected, 0)


@pytest.mark.parametrize(("last_trade_id", "active"), [(0, 1), (1, 0)])
def test_a_product_without_a_tick_is_active_only_if_it_never_traded(
    book: Book, last_trade_id: int, active: int
) -> None:
    book.beat(heartbeat(last_trade_id), NOW)
    assert book.activity(NOW) == (active, 0, 0)


def test_a_heartbeat_of_a_product_that_is_not_watched_counts_for_nothing(book: Book) -> None:
    book.beat(heartbeat(0, "XRP-USD"), NOW)
    book.set_products(["XRP-USD"])
    assert book.activity(NOW) == (0, 0, 0)


def test_a_heartbeat_refreshes_no_price(book: Book) -> None:
    book.apply(ticker(100), Source.WS, "conn_000", 1_000.0, 50.0)
    before = book.quote("BTC-USD")
    book.beat(heartbeat(100), NOW)
    assert book.quote("BTC-USD") == before


def test_an_absurd_trade_id_is_not_believed_unless_a_heartbeat_agrees(book: Book) -> None:
    assert book.apply(ticker(5), Source.WS, "conn_000", 1.0, 1.0)
    assert book.apply(ticker(2**53 - 1), Source.WS, "conn_000", 1.0, 1.0) is None
    placed = book.apply(ticker(6), Source.WS, "conn_000", 1.0, 1.0)
    assert placed is not None
    assert placed.order is Order.NEW
    book.beat(heartbeat(50_000_000), 1.0)
    assert book.apply(ticker(50_000_001), Source.WS, "conn_000", 1.0, 1.0)
    assert book.missing_total() == 49_999_994


@pytest.mark.parametrize("further", [MAX_JUMP, MAX_JUMP + 1])
def test_the_largest_jump_that_is_believed(book: Book, further: int) -> None:
    book.apply(ticker(5), Source.WS, "conn_000", 1.0, 1.0)
    assert (book.apply(ticker(5 + further), Source.WS, "conn_000", 1.0, 1.0) is not None) == (further == MAX_JUMP)


def test_an_absurd_heartbeat_is_forgotten_with_the_next_sound_one(book: Book) -> None:
    take(book, 100, 0.0)
    book.beat(heartbeat(2**53 - 1), 1.0)
    book.beat(heartbeat(100), 1.5)
    book.beat(heartbeat(102), 2.0)
    (late,) = book.late(3.5, 1.0)
    assert late.missing == (101, 102)


def test_an_absurd_heartbeat_makes_nothing_missing(book: Book) -> None:
    take(book, 100, 0.0)
    book.beat(heartbeat(102), 1.0)
    book.beat(heartbeat(2**53 - 1), 1.9)
    (late,) = book.late(2.1, 1.0)
    assert late.missing == (101, 102)


# -- trust ---------------------------------------------------------------------------------------------


def take(
    book: Book, trade_id: int, at: float, price: str = "100.50", source: Source = Source.WS, product_id: str = "BTC-USD"
) -> Taken:
    """Apply a ticker at monotonic ``at`` (wall-clock: 1,000 more)."""
    connection_id = "conn_000" if source is Source.WS else None
    taken = book.apply(ticker(trade_id, price, product_id), source, connection_id, 1_000 + at, at)
    assert taken is not None
    return taken


def trust(book: Book, now: float, product_id: str = "BTC-USD") -> Trust:
    standing = book.standing(product_id, now)
    return standing.trust if standing is not None else Trust.STARTING


def test_before_the_first_price_there_is_no_standing(book: Book) -> None:
    assert book.standing("BTC-USD", 0.0) is None
    assert book.standing("XRP-USD", 0.0) is None
    assert book.trusts(0.0)[0] == {**dict.fromkeys((item.value for item in Trust), 0), "starting": 2}


def test_the_ages_of_a_standing(book: Book) -> None:
    take(book, 7, 10.0)
    book.beat(heartbeat(7), 11.5)
    assert book.standing("BTC-USD", 12.25) == Standing(Trust.LIVE, "trades arrive in order", 2_250, 750, 2_250)
    assert book.standing("BTC-USD", 9.0) == Standing(Trust.LIVE, "trades arrive in order", 0, 0, 0)  # never negative


def test_a_heartbeat_that_names_our_trade_proves_the_price(book: Book) -> None:
    take(book, 7, 0.0)
    for second in range(1, 3_600):
        book.beat(heartbeat(7), float(second))
        assert trust(book, second + 0.9) is (Trust.LIVE if second + 0.9 <= STALE_SECONDS else Trust.QUIET)
    assert trust(book, 3_599 + STALE_SECONDS) is Trust.QUIET
    assert trust(book, 3_599 + STALE_SECONDS + 0.01) is Trust.STALE


def test_without_any_proof_a_price_is_stale(book: Book) -> None:
    take(book, 7, 0.0)
    assert trust(book, STALE_SECONDS) is Trust.LIVE
    assert trust(book, STALE_SECONDS + 0.01) is Trust.STALE


def test_a_heartbeat_that_overtakes_its_ticker_is_no_fault(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    assert trust(book, 1.99) is Trust.LIVE
    assert book.late(1.99, 1.0) == []
    take(book, 8, 1.5)
    take(book, 9, 1.99)
    assert trust(book, 2.5) is Trust.LIVE
    assert book.late(2.5, 1.0) == []


def test_behind_means_still_ahead_of_us_a_second_later(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    take(book, 8, 1.9)  # not yet what was named
    assert trust(book, 2.0) is Trust.BEHIND
    assert book.late(2.0, 1.0) == [Late("BTC-USD", (9, 9), 1.0, None)]
    take(book, 9, 2.5)
    assert trust(book, 2.5) is Trust.LIVE


def test_stale_outranks_behind(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    assert trust(book, STALE_SECONDS) is Trust.BEHIND
    book.beat(heartbeat(9), STALE_SECONDS)  # the same word again proves nothing
    assert trust(book, STALE_SECONDS + 0.01) is Trust.STALE


@pytest.mark.parametrize("named", [7, 6])
def test_a_heartbeat_that_a_tick_overtook_proves_too(book: Book, named: int) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(named), 0.5)
    standing = book.standing("BTC-USD", 0.5)
    assert standing is not None
    assert standing.verified_ms == 0


def test_a_heartbeat_that_denies_our_latest_trade_proves_nothing(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(6), 4.0)
    standing = book.standing("BTC-USD", 4.0)
    assert standing is not None
    assert standing.verified_ms == 4_000


def test_a_wrong_trade_id_is_given_up_when_heartbeats_deny_it(book: Book) -> None:
    take(book, 100, 0.0)
    take(book, 5_000_100, 1.0)
    for second in range(2, 10):
        denied = book.beat(heartbeat(100 + second), float(second))
        assert denied == (108 if second == 8 else None)  # said once, when it is given up
        taken = take(book, 100 + second, second + 0.1)
    assert taken.order is Order.NEW
    assert trust(book, 9.2) is Trust.LIVE


def test_one_wrong_heartbeat_costs_seconds_and_opens_no_gap(book: Book) -> None:
    take(book, 100, 0.0)
    book.beat(heartbeat(1_000_100), 1.0)
    assert book.late(2.5, 1.0)[0].missing is None
    assert book.beat(heartbeat(100), 2.0) is None
    assert book.beat(heartbeat(100), 3.0) == 100
    assert book.beat(heartbeat(100), 4.0) is None
    assert trust(book, 3.0) is Trust.LIVE
    assert book.late(4.5, 1.0) == []


def test_heartbeats_that_lag_deny_nothing_that_we_have(book: Book) -> None:
    take(book, 100, 0.0)
    book.beat(heartbeat(110), 0.5)
    take(book, 112, 1.0)
    assert [book.beat(heartbeat(named), 1.5) for named in (105, 106, 107)] == [None] * 3
    book.beat(heartbeat(120), 2.0)
    assert [book.beat(heartbeat(named), 2.5) for named in (105, 106, 107)] == [None, 112, None]


def test_a_trade_that_a_heartbeat_outruns_is_not_a_proof(book: Book) -> None:
    take(book, 100, 0.0)
    book.beat(heartbeat(200), 0.1)
    for second in range(1, 7):
        take(book, 100 + second, float(second))
    assert trust(book, 4.0) is Trust.BEHIND
    assert trust(book, 6.0) is Trust.STALE


def test_a_heartbeat_of_long_ago_proves_nothing(book: Book) -> None:
    take(book, MAX_JUMP + 10, 0.0)
    book.beat(heartbeat(0), 4.0)
    assert trust(book, STALE_SECONDS + 0.1) is Trust.STALE


def test_heartbeats_out_of_order_do_not_prove_what_a_later_one_denied(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    book.beat(heartbeat(7), 1.1)
    assert trust(book, 2.2) is Trust.BEHIND


def test_doubt_lasts_until_something_new_is_heard(book: Book) -> None:
    take(book, 7, 0.0)
    book.doubt(["BTC-USD", "XRP-USD"])
    assert trust(book, 0.1) is Trust.BEHIND
    assert take(book, 7, 0.2).order is Order.DUPLICATE  # what the exchange sends first after a reconnect
    assert trust(book, 0.2) is Trust.BEHIND
    book.beat(heartbeat(9), 0.3)  # a proof of the contrary
    assert trust(book, 0.3) is Trust.BEHIND
    book.beat(heartbeat(7, "ETH-USD"), 0.3)
    take(book, 9, 0.4)
    assert trust(book, 0.4) is Trust.LIVE


def test_doubt_is_ended_by_a_heartbeat_that_names_our_trade(book: Book) -> None:
    take(book, 7, 0.0)
    book.doubt(("BTC-USD",))
    book.beat(heartbeat(7), 0.5)
    assert trust(book, 0.5) is Trust.LIVE


def test_doubt_turns_stale_like_everything(book: Book) -> None:
    take(book, 7, 0.0)
    book.doubt(("BTC-USD",))
    assert trust(book, STALE_SECONDS + 0.1) is Trust.STALE


def test_each_product_has_its_own_trust(book: Book) -> None:
    book.set_products(["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD", "XRP-USD"])
    for product_id in ("BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"):
        take(book, 7, 0.0, product_id=product_id)
    take(book, 8, 6.0)
    book.beat(heartbeat(7, "ETH-USD"), 6.0)
    book.beat(heartbeat(7, "SOL-USD"), 4.9)
    book.beat(heartbeat(8, "SOL-USD"), 5.0)
    assert book.trusts(6.1)[0] == {
        "live": 1, "quiet": 1, "behind": 1, "stale": 1, "starting": 1, "halted": 0, "delisted": 0,
    }  # fmt: skip


def test_a_review_tells_each_change_once(book: Book) -> None:
    first = take(book, 7, 10.0)
    assert first.change is not None
    assert (first.change.trust, first.change.previous) == (Trust.LIVE, Trust.STARTING)
    assert first.change.at == 1_010.0
    assert take(book, 8, 11.0).change is None
    assert book.review(12.0, 1_012.0) == []
    (stale,) = book.review(17.0, 1_017.0)
    assert (stale.product_id, stale.trust, stale.previous) == ("BTC-USD", Trust.STALE, Trust.LIVE)
    assert (stale.at, stale.verified_ms) == (1_017.0, 6_000)
    assert book.review(18.0, 1_018.0) == []
    back = take(book, 9, 19.0)
    assert back.change is not None
    assert (back.change.previous, back.change.verified_ms, back.trust) == (Trust.STALE, 0, Trust.LIVE)


def test_the_history_of_a_product_is_kept_and_bounded(book: Book) -> None:
    for number in range(2 * HISTORY):
        take(book, number, number * 10.0)
        book.review(number * 10.0 + 9.0, 1_000 + number * 10.0 + 9.0)
    history = book.explain("BTC-USD", 0.0)["history"]
    assert len(history) == HISTORY
    assert [item[1] for item in history[-2:]] == [Trust.LIVE, Trust.STALE]
    assert history[-1][0] == 1_000 + (2 * HISTORY - 1) * 10.0 + 9.0
    assert [item[0] for item in history] == sorted(item[0] for item in history)


def test_what_is_known_is_explained(book: Book) -> None:
    take(book, 7, 0.0)
    take(book, 9, 1.0)
    book.beat(heartbeat(10), 2.0)
    known = book.explain("BTC-USD", 2.5)
    assert (known["trust"], known["doubted"]) == (Trust.LIVE, False)
    assert known["ages"] == {
        "last_trade_ms": 1_500, "verified_ms": 1_500, "heartbeat_ms": 500, "ahead_ms": 500, "undelivered_ms": 500,
    }  # fmt: skip
    assert known["ids"] == {
        "first": 7, "last": 9, "last_delivered": 9, "last_named_by_heartbeat": 10, "missing_ranges": [[8, 8]],
    }  # fmt: skip
    assert known["heartbeat"]["last_trade_id"] == 10
    with pytest.raises(KeyError):
        book.explain("XRP-USD", 0.0)
    assert book.explain("ETH-USD", 0.0)["ages"] == dict.fromkeys(known["ages"])


# -- what is missing, and what the socket owes ---------------------------------------------------------


def test_a_jump_is_handed_on(book: Book) -> None:
    assert take(book, 7, 0.0).jumped is None
    assert take(book, 11, 0.0).jumped == (8, 10)
    assert take(book, 9, 0.0).jumped is None
    assert book.missing_total() == 2
    assert book.last_ids() == {"BTC-USD": 11}


def test_late_waits_for_the_second(book: Book) -> None:
    take(book, 7, 0.0)
    assert book.late(100.0, 1.0) == []
    book.beat(heartbeat(10), 100.0)
    assert book.late(100.9, 1.0) == []
    assert book.late(101.0, 1.0) == [Late("BTC-USD", (8, 10), 100.0, 100.0)]
    book.beat(heartbeat(12), 101.0)
    assert book.late(101.0, 1.0) == [Late("BTC-USD", (8, 12), 100.0, 100.0)]


def test_a_product_without_a_first_price_has_nothing_missing_but_is_owed_one(book: Book) -> None:
    book.beat(heartbeat(10), 0.0)
    assert book.late(1.0, 1.0) == [Late("BTC-USD", None, 0.0, 0.0)]


def test_a_product_that_never_traded_is_owed_nothing(book: Book) -> None:
    for second in range(60):
        book.beat(heartbeat(0), float(second))
    assert book.late(60.0, 1.0) == []


def test_fetched_trades_never_count_as_delivered(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    for trade_id in (8, 9):
        take(book, trade_id, 2.0, source=Source.BACKFILL)
    assert book.late(3.0, 1.0) == [Late("BTC-USD", None, None, 1.0)]  # nothing is missing, but it is owed
    assert trust(book, 3.0) is Trust.LIVE
    assert book.delivering(["BTC-USD"], 1.0) == 0
    assert book.explain("BTC-USD", 3.0)["ids"]["last_delivered"] == 7
    assert take(book, 9, 4.0).order is Order.DUPLICATE  # it comes through the socket after all
    assert book.late(5.0, 1.0) == []
    assert book.delivering(["BTC-USD"], 4.0) == 1


def test_what_is_owed_is_owed_since_the_first_word(book: Book) -> None:
    take(book, 7, 0.0)
    for second in range(1, 10):
        book.beat(heartbeat(7 + second), float(second))
    (late,) = book.late(10.0, 1.0)
    assert (late.since, late.undelivered_since) == (1.0, 1.0)
    book.doubt(["BTC-USD"])  # another socket owes it from now on
    (late,) = book.late(10.0, 1.0)
    assert late.undelivered_since is None
    book.beat(heartbeat(16), 11.0)
    (late,) = book.late(12.0, 1.0)
    assert late.undelivered_since == 11.0


def test_a_trickle_is_a_delivery(book: Book) -> None:
    take(book, 100, 0.0)
    for second in range(1, 10):
        book.beat(heartbeat(100 + 10 * second), float(second))
        take(book, 100 + second, second + 0.5)
    (late,) = book.late(10.5, 1.0)
    assert late.missing == (110, 190)
    assert late.undelivered_since is None


def test_delivering_counts_products_that_had_a_ticker_since(book: Book) -> None:
    take(book, 7, 1.0)
    take(book, 7, 2.0, product_id="ETH-USD")
    watched = ["BTC-USD", "ETH-USD", "XRP-USD"]
    assert [book.delivering(watched, since) for since in (0.5, 1.0, 1.5, 2.0, 2.5)] == [2, 2, 1, 1, 0]
    take(book, 7, 3.0)  # a ticker that was sent before is no news
    assert book.delivering(watched, 2.5) == 0


# -- fetched trades ------------------------------------------------------------------------------------


def test_a_fetched_trade_that_is_ahead_is_the_price_but_not_the_market(book: Book) -> None:
    known = ticker(7)._replace(
        best_bid="99", best_ask="101", open_24h="90", high_24h="110", low_24h="80", volume_24h="5", sequence=77,
    )  # fmt: skip
    book.apply(known, Source.WS, "conn_000", 1_000.0, 0.0)
    book.beat(heartbeat(8), 1.0)
    taken = take(book, 8, 3.0, "105.5", Source.BACKFILL)
    assert taken.order is Order.NEW
    quote = book.quote("BTC-USD")
    assert quote is not None
    assert quote.ticker == known._replace(trade_id=8, price="105.5")
    assert (quote.source, quote.connection_id, quote.received_monotonic) == (Source.BACKFILL, None, 3.0)
    assert json.loads(quote.body + "}")["source"] == "backfill"
    standing = book.standing("BTC-USD", 4.0)
    assert standing is not None
    # what proves it is the heartbeat
    assert (standing.age_ms, standing.verified_ms, standing.quote_age_ms) == (1_000, 3_000, 4_000)


def test_a_fetched_trade_that_is_late_is_history(book: Book) -> None:
    take(book, 7, 0.0)
    take(book, 9, 1.0)
    before = book.quote("BTC-USD")
    taken = take(book, 8, 2.0, "999", Source.BACKFILL)
    assert (taken.order, taken.quote.ticker) == (Order.LATE, ticker(8, "999"))
    assert book.quote("BTC-USD") == before
    standing = book.standing("BTC-USD", 2.0)
    assert standing is not None
    assert standing.age_ms == 1_000


def test_a_part_of_what_is_missing_proves_nothing(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(10), 1.0)
    take(book, 8, 3.0, source=Source.BACKFILL)
    assert trust(book, 3.0) is Trust.BEHIND
    assert trust(book, STALE_SECONDS + 0.1) is Trust.STALE  # the last proof was the tick at 0
    take(book, 9, 3.0, source=Source.BACKFILL)
    take(book, 10, 3.0, source=Source.BACKFILL)
    assert trust(book, 3.0) is Trust.LIVE


def test_a_fetched_trade_ends_no_doubt(book: Book) -> None:
    take(book, 7, 0.0)
    book.doubt(["BTC-USD"])
    take(book, 8, 1.0, source=Source.BACKFILL)
    assert trust(book, 1.0) is Trust.BEHIND


def test_a_fetched_trade_is_no_first_price_that_can_be_trusted(book: Book) -> None:
    book.apply(ticker(7), Source.BACKFILL, None, 1_000.0, 0.0)
    assert trust(book, 0.0) is not Trust.LIVE


@given(st.lists(st.tuples(st.sampled_from(["tick", "fetch", "beat", "lose"]), st.integers(0, 12)), max_size=60))
def test_trust_never_says_live_while_a_heartbeat_names_more_for_a_second(steps: list[tuple[str, int]]) -> None:
    book = Book(1e9, HEARTBEAT_FRESH_SECONDS)
    book.set_products(["BTC-USD"])
    take(book, 0, 0.0)
    now, exchange, ours = 0.0, 0, 0
    lost = False
    for what, number in steps:
        now += 2.0
        exchange += number % 3
        wanted = min(number, exchange)
        if what == "tick":
            take(book, wanted, now)
            lost = lost and wanted <= ours
            ours = max(ours, wanted)
        elif what == "fetch":
            take(book, wanted, now, source=Source.BACKFILL)
            ours = max(ours, wanted)
        elif what == "beat":
            book.beat(heartbeat(exchange), now)
            lost = lost and exchange > ours
            assert (trust(book, now + 1.0) is Trust.LIVE) == (exchange <= ours and not lost)
        else:
            book.doubt(["BTC-USD"])
            lost = True
        if lost:
            assert trust(book, now) is Trust.BEHIND


# -- halted and delisted -------------------------------------------------------------------------------

HALTED = (Trust.HALTED, "the exchange says status=offline")
DELISTED = (Trust.DELISTED, "the exchange says status=delisted")


@pytest.mark.parametrize("verdict", [HALTED, DELISTED])
def test_the_exchange_s_word_shows_wherever_trust_does_and_the_price_stays(
    book: Book, verdict: tuple[Trust, str]
) -> None:
    take(book, 7, 0.0)
    book.set_catalogue({"BTC-USD": verdict, "XRP-USD": verdict})
    for now in (0.5, 600.0):  # it outranks stale too
        standing = book.standing("BTC-USD", now)
        assert standing is not None
        assert (standing.trust, standing.reason, standing.age_ms) == (*verdict, int(now * 1000))
    assert book.explain("BTC-USD", 1.0)["reason"] == verdict[1]
    counts, doubtful = book.trusts(1.0)
    assert (counts[verdict[0]], counts["starting"]) == (1, 1)
    assert [(product, trust) for product, trust, _ in doubtful] == [("ETH-USD", "starting")]
    quote = book.quote("BTC-USD")
    assert quote is not None
    assert quote.ticker.trade_id == 7


def test_a_halt_and_its_end_are_told_once_each(book: Book) -> None:
    take(book, 7, 0.0)
    book.set_catalogue({"BTC-USD": HALTED})
    (change,) = book.review(1.0, 1_001.0)
    assert (change.product_id, change.previous, change.trust, change.reason) == ("BTC-USD", Trust.LIVE, *HALTED)
    assert book.review(900.0, 1_900.0) == []
    book.set_catalogue({"BTC-USD": DELISTED})
    assert [change.trust for change in book.review(901.0, 1_901.0)] == [Trust.DELISTED]
    book.set_catalogue({})
    book.beat(heartbeat(7), 902.0)
    assert [(change.previous, change.trust) for change in book.review(902.0, 1_902.0)] == [
        (Trust.DELISTED, Trust.QUIET)
    ]


def test_what_is_halted_before_its_first_price_is_halted(book: Book) -> None:
    book.set_catalogue({"BTC-USD": HALTED})
    (change,) = book.review(1.0, 1_001.0)
    assert (change.previous, change.trust, change.verified_ms) == (Trust.STARTING, Trust.HALTED, None)
    assert take(book, 7, 2.0).trust is Trust.HALTED  # the last trade, which a subscription brings


def test_a_tick_after_the_halt_is_live_at_once(book: Book) -> None:
    take(book, 7, 0.0)
    book.set_catalogue({"BTC-USD": HALTED})
    book.review(1.0, 1_001.0)
    book.set_catalogue({})
    taken = take(book, 8, 2.0)
    assert taken.change is not None
    assert (taken.trust, taken.change.previous) == (Trust.LIVE, Trust.HALTED)


LISTED_AT = datetime.fromisoformat(TIME).timestamp()


@pytest.mark.parametrize("verdict", [HALTED, DELISTED])
def test_a_trade_that_is_newer_than_the_list_outranks_it_until_the_next(
    book: Book, verdict: tuple[Trust, str]
) -> None:
    take(book, 7, 0.0)
    book.set_catalogue({"BTC-USD": verdict}, LISTED_AT - 1.0)
    book.review(1.0, 1_001.0)
    assert not take(book, 7, 2.0).refuted  # what a new subscription brings
    assert book.idle() == ["BTC-USD"]
    taken = take(book, 8, 3.0)
    assert taken.change is not None
    assert (taken.refuted, taken.trust, taken.change.previous) == (True, Trust.LIVE, verdict[0])
    assert book.idle() == []
    assert not take(book, 9, 4.0).refuted  # said once
    book.beat(heartbeat(11), 5.0)
    assert book.late(7.0, 1.0) == [Late("BTC-USD", (10, 11), 5.0, 5.0)]
    book.set_catalogue({"BTC-USD": verdict}, LISTED_AT)
    assert [change.trust for change in book.review(8.0, 1_008.0)] == [verdict[0]]
    assert not take(book, 12, 9.0).refuted  # it is older than that list
    assert trust(book, 9.0) is verdict[0]


def test_neither_a_first_ticker_nor_a_fetched_trade_refutes_the_list(book: Book) -> None:
    book.set_catalogue({"BTC-USD": HALTED}, LISTED_AT - 1.0)
    assert not take(book, 7, 1.0).refuted
    taken = book.apply(ticker(8), Source.BACKFILL, None, 1_002.0, 2.0)
    assert taken is not None
    assert (taken.refuted, taken.trust) == (False, Trust.HALTED)


@pytest.mark.parametrize(("verdict", "verified_ms"), [(HALTED, 1_000), (DELISTED, 10_000)])
def test_heartbeats_prove_a_halted_price_and_no_delisted_one(
    book: Book, verdict: tuple[Trust, str], verified_ms: int
) -> None:
    take(book, 7, 0.0)
    book.set_catalogue({"BTC-USD": verdict})
    book.beat(heartbeat(7), 9.0)
    standing = book.standing("BTC-USD", 10.0)
    assert standing is not None
    assert standing.verified_ms == verified_ms


def test_the_socket_owes_nothing_of_what_is_halted_and_again_from_its_end(book: Book) -> None:
    take(book, 7, 0.0)
    book.beat(heartbeat(9), 1.0)
    book.set_catalogue({"BTC-USD": HALTED})
    assert book.late(100.0, 1.0) == [Late("BTC-USD", (8, 9), 1.0, None)]  # missing all the same, and fetched
    book.set_catalogue({})
    book.beat(heartbeat(9), 101.0)
    assert book.late(102.0, 1.0) == [Late("BTC-USD", (8, 9), 1.0, 101.0)]


@pytest.mark.parametrize(
    ("tick_age", "beat_age", "expected"),
    [(1.0, None, (1, 1, 0)), (500.0, 1.0, (1, 0, 0)), (500.0, 60.0, (0, 0, 1)), (None, None, (0, 0, 1))],
)
def test_what_is_halted_and_not_active_is_excused(
    book: Book, tick_age: float | None, beat_age: float | None, expected: tuple[int, int, int]
) -> None:
    if tick_age is not None:
        book.apply(ticker(100), Source.WS, "conn_000", 0.0, NOW - tick_age)
    if beat_age is not None:
        book.beat(heartbeat(100), NOW - beat_age)
    book.set_catalogue({"BTC-USD": HALTED})
    assert book.activity(NOW) == expected


def test_the_rows_of_a_table_say_what_a_standing_says(book: Book) -> None:
    book.apply(ticker(7), Source.WS, "conn_003", 1_000.0, 50.0)
    for now in (51.0, 60.0):
        first, second = book.rows(["BTC-USD", "GONE-USD", "ETH-USD"], now)
        standing = book.standing("BTC-USD", now)
        assert standing is not None
        assert first == ("BTC-USD", book.quote("BTC-USD"), standing.trust, standing.reason, 50.0)
        assert second == ("ETH-USD", None, Trust.STARTING, "no price yet", None)
