"""Prices by REST: when it is asked, what is taken, what is left alone."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hub.book import Book
from hub.feed import fallback as module
from hub.feed.dialects.exchange_rest import parse_stats, parse_ticker
from hub.feed.fallback import CHECK_SECONDS, MORE_SECONDS, POLL_SECONDS, START_SECONDS, TICKERS_A_POLL, Fallback
from hub.feed.rest import RestError
from hub.model import FrameRefused, Heartbeat, Order, Source, Ticker, Trust

TIME = "2026-01-02T03:04:05.000000Z"
STATS = {"open": "9", "high": "12", "low": "8", "last": "10.50", "volume": "77"}


def day_of(**fields: str) -> dict[str, Any]:
    return {"stats_24hour": {**STATS, **fields}, "stats_30day": {"volume": "1000"}}


def tick(trade_id: int, price: str = "10.5", product: str = "A-USD") -> Ticker:
    return Ticker(product, price, trade_id, TIME, 7, "10.4", "10.6", "0.1")


def rest_price(price: str, product: str = "A-USD") -> Ticker:
    return Ticker(product, price, 0, "", open_24h="9", high_24h="12", low_24h="8", volume_24h="77")


@pytest.fixture
def book() -> Book:
    book = Book(5.0, 10.0)
    book.set_products(["A-USD"])
    return book


# -- what REST says


def test_statistics_are_read_and_what_is_malformed_is_left_out() -> None:
    found = parse_stats({"A-USD": day_of(), "B-USD": day_of(last="0"), "C-USD": {}, "no id": day_of(),
                         "D-USD": day_of(volume="NaN"), "E-USD": None})  # fmt: skip
    assert found == {"A-USD": rest_price("10.50")}


@pytest.mark.parametrize("body", [None, [], {}, "x", 1, {f"A{number}-USD": day_of() for number in range(10_001)}])
def test_no_statistics_are_refused(body: object) -> None:
    with pytest.raises(FrameRefused):
        parse_stats(body)


def test_a_ticker_has_the_day_of_the_statistics() -> None:
    body = {"ask": "10.7", "bid": "10.5", "volume": "78", "trade_id": 12, "price": "10.6", "size": "0.2", "time": TIME}
    found = parse_ticker(rest_price("10.5"), body)
    assert (found.price, found.trade_id, found.best_bid, found.best_ask, found.last_size, found.time) == (
        "10.6", 12, "10.5", "10.7", "0.2", TIME
    )  # fmt: skip
    assert (found.open_24h, found.volume_24h) == ("9", "78")
    with pytest.raises(FrameRefused):
        parse_ticker(rest_price("10.5"), {**body, "trade_id": "12"})


# -- the book


def test_what_rest_proves_is_fresh_and_says_so(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.doubt(["A-USD"])
    assert book.take_rest(rest_price("10.50"), 110.0, 1110.0) is None  # the same price, in other digits
    quote, standing = book.quote("A-USD"), book.standing("A-USD", 111.0)
    assert quote is not None
    assert standing is not None
    assert (quote.source, quote.connection_id, quote.ticker.trade_id) == (Source.REST, None, 5)
    assert (quote.ticker.price, quote.ticker.time, quote.ticker.open_24h) == ("10.5", TIME, "9")
    assert (standing.trust, standing.verified_ms, standing.age_ms) == (Trust.QUIET, 1000, 11_000)
    assert "REST" in standing.reason
    assert book.standing("A-USD", 116.0).trust is Trust.STALE  # type: ignore[union-attr]
    assert book.by_rest() == 1


def test_a_price_that_moved_is_told_with_no_trade_id(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    quote = book.take_rest(rest_price("11"), 110.0, 1110.0)
    assert quote is not None
    assert (quote.ticker.price, quote.ticker.trade_id, quote.ticker.time) == ("11", 0, TIME)  # time never goes back
    assert (quote.ticker.best_bid, quote.ticker.last_size) == ("10.4", "0")
    assert book.standing("A-USD", 111.0).trust is Trust.LIVE  # type: ignore[union-attr]
    assert book.last_ids() == {"A-USD": 5}


def test_a_first_price_may_come_by_rest(book: Book) -> None:
    assert book.take_rest(rest_price("11"), 110.0, 1110.0) is not None
    taken = book.apply(tick(5, "11"), Source.WS, "conn_000", 112.0, 112.0)
    assert taken is not None
    assert (taken.first, taken.order) == (True, Order.NEW)
    assert book.by_rest() == 0


def test_what_a_socket_has_proved_meanwhile_is_left_alone(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 110.5, 110.5)
    assert book.take_rest(rest_price("11"), 110.0, 1110.0) is None
    assert book.quote("A-USD").source is Source.WS  # type: ignore[union-attr]


@pytest.mark.parametrize(("price", "order"), [("10.50", Order.DUPLICATE), ("11", Order.AGAIN)])
def test_a_socket_that_is_back_takes_over_with_its_last_ticker(book: Book, price: str, order: Order) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.take_rest(rest_price(price), 110.0, 1110.0)
    taken = book.apply(tick(5), Source.WS, "conn_000", 112.0, 112.0)
    assert taken is not None
    assert taken.order is order  # who was told of another price is told of this one, without its id
    assert book.quote("A-USD").source is Source.WS  # type: ignore[union-attr]
    assert book.by_rest() == 0
    assert book.apply(tick(5), Source.WS, "conn_000", 113.0, 113.0).order is Order.DUPLICATE  # type: ignore[union-attr]


def test_a_heartbeat_that_names_our_last_trade_ends_what_rest_confirmed(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.take_rest(rest_price("10.50"), 110.0, 1110.0)
    book.beat(Heartbeat("A-USD", 4, 1, TIME), 110.5)  # sent before our last trade came, or wrong
    assert book.by_rest() == 1
    book.beat(Heartbeat("A-USD", 5, 1, TIME), 111.0)
    assert book.by_rest() == 0
    assert book.unproved(111.5, 3.0) == {}
    assert book.quote("A-USD").source is Source.WS  # type: ignore[union-attr]


def test_a_heartbeat_ends_no_other_price_than_that_of_the_trade_it_names(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.take_rest(rest_price("11"), 110.0, 1110.0)
    book.beat(Heartbeat("A-USD", 5, 1, TIME), 110.5)  # it may have been sent before REST's trade
    assert book.by_rest() == 1
    book.take_rest(rest_price("10.5"), 112.0, 1112.0)
    book.beat(Heartbeat("A-USD", 5, 1, TIME), 112.5)
    assert (book.by_rest(), book.quote("A-USD").ticker.trade_id) == (0, 5)  # type: ignore[union-attr]


def test_the_trade_that_rest_told_stays_its_own_until_a_socket_sends_it_again(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.apply(tick(6), Source.REST, None, 110.0, 110.0)
    book.beat(Heartbeat("A-USD", 6, 1, TIME), 111.0)
    assert (book.by_rest(), book.quote("A-USD").source) == (0, Source.REST)  # type: ignore[union-attr]
    assert book.apply(tick(6), Source.WS, "conn_000", 112.0, 112.0).order is Order.DUPLICATE  # type: ignore[union-attr]
    assert book.quote("A-USD").source is Source.WS  # type: ignore[union-attr]


def test_rest_is_no_answer_to_a_heartbeat_of_the_last_seconds(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.beat(Heartbeat("A-USD", 9, 1, TIME), 109.0)
    book.take_rest(rest_price("10.5"), 110.0, 1110.0)  # may be of before trade 9
    assert book.standing("A-USD", 110.5).trust is Trust.BEHIND  # type: ignore[union-attr]
    book.take_rest(rest_price("10.5"), 112.5, 1112.5)
    assert book.standing("A-USD", 113.0).trust is not Trust.BEHIND  # type: ignore[union-attr]


def test_when_rest_was_asked_does_not_take_a_proof_back(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 110.5, 110.5)
    book.apply(tick(6), Source.REST, None, 110.0, 110.0)
    assert book.standing("A-USD", 111.0).verified_ms == 500  # type: ignore[union-attr]


def test_a_price_that_rest_alone_told_is_owed_by_the_socket(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.take_rest(rest_price("10.5"), 104.0, 1104.0)
    assert book.late(200.0, 3.0) == []
    book.take_rest(rest_price("11"), 106.0, 1106.0)
    book.take_rest(rest_price("12"), 108.0, 1108.0)
    (late,) = book.late(109.0, 3.0)
    assert (late.missing, late.undelivered_since) == (None, 106.0)
    book.apply(tick(5), Source.WS, "conn_000", 110.0, 110.0)  # the exchange's last one: REST was wrong
    assert book.late(120.0, 3.0) == []


def test_what_the_other_path_brings_the_primary_one_owes_all_the_same(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    for second in range(1, 5):
        book.beat(Heartbeat("A-USD", 5 + second, 1, TIME), 100.0 + second)
        book.apply(tick(5 + second), Source.WS, "adv_000", 100.0 + second, 100.0 + second, beside=True)
    (late,) = book.late(105.0, 3.0)
    assert (late.missing, late.undelivered_since) == (None, 101.0)
    book.apply(tick(9), Source.WS, "conn_000", 105.0, 105.0)
    assert book.late(105.0, 3.0) == []


def test_what_is_made_up_for_is_older_than_what_rest_said(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    book.take_rest(rest_price("12"), 110.0, 1110.0)
    taken = book.apply(tick(6, "11"), Source.BACKFILL, None, 111.0, 111.0)
    assert taken is not None
    assert taken.order is Order.NEW
    assert book.quote("A-USD").ticker.price == "12"  # type: ignore[union-attr]


def test_a_trade_by_rest_counts_as_heard_not_as_delivered(book: Book) -> None:
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    taken = book.apply(tick(9, "11"), Source.REST, None, 110.0, 110.0)
    assert taken is not None
    assert (taken.order, taken.jumped) == (Order.NEW, (6, 8))
    assert book.delivering(["A-USD"], 105.0) == 0
    assert book.by_rest() == 1


def test_what_nothing_proves_is_named(book: Book) -> None:
    assert book.unproved(100.0, 3.0) == {"A-USD": None}
    book.apply(tick(5), Source.WS, "conn_000", 100.0, 100.0)
    assert book.unproved(102.9, 3.0) == {}
    assert book.unproved(103.0, 3.0) == {"A-USD": 100.0}
    book.beat(Heartbeat("A-USD", 5, 1, TIME), 103.0)
    assert book.unproved(104.0, 3.0) == {}
    book.set_catalogue({"A-USD": (Trust.HALTED, "the exchange says so")})
    assert book.unproved(200.0, 3.0) == {}


# -- when REST is asked


class Rest:
    """Answers from a list, and notes what was asked for."""

    simulated = False

    def __init__(self, *answers: Any) -> None:
        self.asked: list[str] = []
        self._answers = itertools.chain(answers, itertools.repeat({"A-USD": day_of()}))

    def get_json(self, path: str) -> Any:
        self.asked.append(path)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def make(rest: Rest, unproved: dict[str, float | None], moved: bool = False) -> tuple[Fallback, list[Any], list[Any]]:
    prices: list[Any] = []
    trades: list[Any] = []

    def take(ticker: Ticker, asked_at: float) -> bool:
        prices.append((ticker.product_id, asked_at))
        return moved

    found = Fallback(rest, lambda *_: unproved, take, lambda ticker, at: trades.append((ticker, at)))  # type: ignore[arg-type]
    return found, prices, trades


@pytest.mark.usefixtures("clock")
def test_rest_is_left_alone_while_sockets_prove_everything() -> None:
    rest = Rest()
    fallback, prices, _ = make(rest, {})
    assert fallback.step() == CHECK_SECONDS
    assert (rest.asked, prices) == ([], [])


@pytest.mark.usefixtures("clock")
def test_one_request_tells_all_prices() -> None:
    rest = Rest({"A-USD": day_of(), "B-USD": day_of(), "C-USD": day_of()})
    fallback, prices, _ = make(rest, {"B-USD": 900.0, "A-USD": 900.0, "Z-USD": 900.0})
    assert fallback.step() == CHECK_SECONDS
    assert rest.asked == ["/products/stats"]
    assert prices == [("B-USD", 1000.0), ("A-USD", 1000.0)]


@pytest.mark.usefixtures("clock")
def test_those_that_moved_are_asked_for_one_by_one_within_the_budget() -> None:
    names = [f"P{number}-USD" for number in range(20)]
    ticker = {"ask": "2", "bid": "1", "volume": "7", "trade_id": 12, "price": "1.5", "size": "1", "time": TIME}
    rest = Rest(dict.fromkeys(names, day_of()), *[ticker] * 20)
    fallback, _, trades = make(rest, dict.fromkeys(names, 900.0), moved=True)
    fallback.step()
    assert rest.asked[1:] == [f"/products/{name}/ticker" for name in names[:TICKERS_A_POLL]]
    assert [trade.product_id for trade, _ in trades] == names[:TICKERS_A_POLL]


def test_who_has_no_price_yet_is_given_time(clock: Clock) -> None:
    rest = Rest()
    fallback, prices, _ = make(rest, {"A-USD": None})
    assert fallback.step() == CHECK_SECONDS
    clock.now += START_SECONDS
    assert fallback.step() == CHECK_SECONDS
    assert prices == [("A-USD", 1000.0 + START_SECONDS)]


def test_it_is_asked_every_two_seconds_but_sooner_for_products_that_were_proved_till_now(clock: Clock) -> None:
    rest = Rest()
    unproved: dict[str, float | None] = {"A-USD": 900.0}
    fallback, _, _ = make(rest, unproved)
    asked = []
    for step in range(25):
        clock.now = 1000.0 + step * CHECK_SECONDS
        if step == 12:
            unproved["B-USD"] = 1000.0
        if step == 22:
            unproved.clear()
        fallback.step()
        asked.append(len(rest.asked))
    at = [step * CHECK_SECONDS for step in range(25) if asked[step] > (asked[step - 1] if step else 0)]
    assert at == [0.0, POLL_SECONDS, POLL_SECONDS + MORE_SECONDS, 2 * POLL_SECONDS + MORE_SECONDS]


@pytest.mark.usefixtures("clock")
def test_failures_are_counted_and_asked_again_later_and_later() -> None:
    rest = Rest(RestError("down"), RestError("down"), [], RestError("down"), RestError("down"))
    fallback, _, _ = make(rest, {"A-USD": 900.0})
    assert [fallback.step() for _ in range(5)] == [2.0, 4.0, 8.0, 15.0, 15.0]
    assert (fallback.failures_total, fallback.polls_total) == (5, 0)
    assert fallback.step() == CHECK_SECONDS
    assert fallback.polls_total == 1
