"""Missing trades fetched by REST: from pages that lag, from an exchange that is down, within the budget."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.feed.repair import (
    FIRST_SECONDS,
    GIVE_UP_SECONDS,
    MAX_IDS,
    PAGE,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    SLOW_RETRY_SECONDS,
    Repair,
)
from hub.feed.rest import RestError
from hub.ledger import Ledger
from hub.model import Cause, Ticker

PRODUCT = "BTC-USD"


def row(trade_id: object, **changes: object) -> dict[str, object]:
    return {"trade_id": trade_id, "side": "buy", "size": "0.5", "price": "100.25", "time": "2026-11-20T01:02:03.5Z",
            **changes}  # fmt: skip


class FullRest:
    """Has every trade up to ``last``, and answers as the exchange does: the newest first, below ``after``."""

    def __init__(self, last: int, absent: tuple[int, ...] = ()) -> None:
        self.last = last
        self.absent = absent
        self.paths: list[str] = []

    def get_json(self, path: str) -> Any:
        self.paths.append(path)
        found = re.fullmatch(r"/products/[A-Z]+-USD/trades\?limit=([0-9]+)&after=([0-9]+)", path)
        assert found, path
        limit, after = int(found[1]), int(found[2])
        assert 1 <= limit <= 1_000
        ids = (item for item in range(min(after - 1, self.last), 0, -1) if item not in self.absent)
        return [row(item) for item, _ in zip(ids, range(limit), strict=False)]


class LaggingRest(FullRest):
    """Has nothing for so many requests (a page that lags), and everything then."""

    def __init__(self, last: int, empty_answers: int) -> None:
        super().__init__(last)
        self._empty = empty_answers

    def get_json(self, path: str) -> Any:
        answer = super().get_json(path)
        self._empty -= 1
        return [] if self._empty >= 0 else answer


class LateRest(FullRest):
    """Has one trade more with each request."""

    def get_json(self, path: str) -> Any:
        answer = super().get_json(path)
        self.last += 1
        return answer


class DownRest(FullRest):
    """Fails while it is ``down``."""

    down = True

    def get_json(self, path: str) -> Any:
        answer = super().get_json(path)
        if self.down:
            raise RestError(f"GET {path}: status 503")
        return answer


class UnknownRest(FullRest):
    """Does not know the product."""

    def get_json(self, path: str) -> Any:
        super().get_json(path)
        raise RestError(f"GET {path}: status 404", 404)


class FixedRest:
    """Answers everything with the same body."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.paths: list[str] = []

    def get_json(self, path: str) -> Any:
        self.paths.append(path)
        return self.body


class Bench:
    """A repair on a clock of its own, with a real ledger; ``got`` is what was delivered, in order."""

    def __init__(self, rest: Any) -> None:
        self.now = 1_000.0
        self.rest = rest
        self.ledger = Ledger("epoch", lambda _: None)
        self.pages: list[list[int]] = []
        self.repair = Repair(rest, self.ledger.missing_of, self._deliver, lambda: self.now)

    def _deliver(self, trades: list[Ticker]) -> None:
        self.pages.append([trade.trade_id for trade in trades])
        for trade in trades:
            self.ledger.arrived(trade.product_id, trade.trade_id, "backfill")

    @property
    def got(self) -> list[int]:
        return [item for page in self.pages for item in page]

    def lose(self, first: int, last: int, product: str = PRODUCT) -> None:
        """Note a gap and have it repaired."""
        for gap in self.ledger.open_ids(product, None, Cause.SEQUENCE, (first, last)):
            self.repair.add(product, gap.missing)

    def run(self, seconds: float) -> None:
        """Let the worker's time pass."""
        end = self.now + seconds
        for _ in range(100_000):
            wait = self.repair.step()
            if wait is None or self.now + wait > end:
                self.now = end
                return
            self.now += wait
        pytest.fail("it asks without a pause")


def test_nothing_to_do_waits_to_be_woken() -> None:
    assert Bench(FullRest(0)).repair.step() is None


def test_a_gap_is_fetched_once_and_closes() -> None:
    bench = Bench(FullRest(100))
    bench.lose(8, 10)
    assert bench.repair.step() == pytest.approx(FIRST_SECONDS)  # the late ticker may come by itself
    assert bench.rest.paths == []
    bench.run(60)
    assert bench.rest.paths == [f"/products/{PRODUCT}/trades?limit=3&after=11"]
    assert bench.pages == [[8, 9, 10]]  # the oldest first
    assert bench.ledger.open_count() == 0
    assert bench.repair.pending() == {}
    assert bench.repair.fetched_total == 3
    assert bench.repair.step() is None


def test_what_comes_by_itself_is_not_asked_for() -> None:
    bench = Bench(FullRest(100))
    bench.lose(8, 8)
    bench.ledger.arrived(PRODUCT, 8, "late")
    bench.run(60)
    assert bench.rest.paths == []
    assert bench.repair.pending() == {}


def test_only_missing_ids_are_delivered() -> None:
    bench = Bench(FullRest(100))
    bench.lose(8, 14)
    for trade_id in (9, 10, 13):
        bench.ledger.arrived(PRODUCT, trade_id, "late")
    bench.run(60)
    assert bench.got == [8, 11, 12, 14]


def test_a_trade_is_told_as_the_exchange_told_it() -> None:
    got: list[Ticker] = []
    repair = Repair(FullRest(9), lambda _: [(9, 9)], got.extend, lambda: 1_000.0 + len(times))  # type: ignore[arg-type]
    times: list[int] = []
    repair.add(PRODUCT, [(9, 9)])
    times.append(1)
    repair.step()
    assert got == [Ticker(PRODUCT, "100.25", 9, "2026-11-20T01:02:03.5Z", last_size="0.5")]


# -- a page that lags ----------------------------------------------------------------------------------


def test_an_empty_answer_proves_nothing() -> None:
    bench = Bench(LaggingRest(100, empty_answers=5))
    bench.lose(8, 10)
    bench.run(FIRST_SECONDS + 5 * RETRY_SECONDS + 0.1)
    assert bench.got == [8, 9, 10]
    assert len(bench.rest.paths) == 6
    assert bench.ledger.open_count() == 0


def test_a_page_that_lags_is_asked_again_for_fifteen_seconds_and_then_slowly() -> None:
    bench = Bench(FullRest(0))
    bench.lose(8, 10)
    bench.run(PATIENCE_SECONDS)
    quick = len(bench.rest.paths)
    assert quick == pytest.approx(PATIENCE_SECONDS / RETRY_SECONDS, abs=1)
    bench.run(10 * SLOW_RETRY_SECONDS)
    assert len(bench.rest.paths) - quick == pytest.approx(10, abs=1)
    assert bench.ledger.open_count() == 1
    bench.rest.last = 100
    bench.run(SLOW_RETRY_SECONDS + 1)
    assert bench.got == [8, 9, 10]


def test_a_page_that_grows_is_read_as_it_grows() -> None:
    bench = Bench(LateRest(7))
    bench.lose(8, 10)
    bench.run(PATIENCE_SECONDS)
    assert bench.got == [8, 9, 10]


def test_in_the_end_a_gap_is_given_up_and_stays_open() -> None:
    bench = Bench(FullRest(0))
    bench.lose(8, 10)
    bench.run(GIVE_UP_SECONDS + SLOW_RETRY_SECONDS + 1)
    asked = len(bench.rest.paths)
    assert bench.repair.pending() == {}
    bench.run(GIVE_UP_SECONDS)
    assert len(bench.rest.paths) == asked
    assert bench.ledger.open_count() == 1


# -- REST that fails -----------------------------------------------------------------------------------


def test_rest_that_is_down_is_counted_logged_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(DownRest(100))
    bench.lose(8, 10)
    bench.run(60)
    assert bench.repair.failures_total == len(bench.rest.paths) <= 15
    assert "status 503" in caplog.text
    assert bench.repair.pending() == {PRODUCT: len(bench.rest.paths)}
    bench.rest.down = False
    bench.run(SLOW_RETRY_SECONDS)
    assert bench.got == [8, 9, 10]


@pytest.mark.parametrize(
    "body",
    [
        None, {}, "x", 5, [None], [[]], [{}], {"message": "NotFound"}, [row(8), {"trade_id": 9}],
        [row(8, price="NaN")], [row(8, price=5)], [row(8, price="-1")], [row(8, price="")], [row("8")],
        [row(8.0)], [row(True)], [row(-8)], [row(8, time="yesterday")],
        [row(8, size=None)],
    ],
)  # fmt: skip
def test_what_can_not_be_believed_is_not_delivered(body: Any) -> None:
    bench = Bench(FixedRest(body))
    bench.lose(8, 10)
    bench.run(5)
    assert bench.got == []
    assert bench.repair.failures_total == len(bench.rest.paths) == 4
    bench.rest.body = [row(item) for item in (10, 9, 8)]
    bench.run(5)
    assert bench.got == [8, 9, 10]


def test_a_fetched_price_of_0_is_refused_like_any_other() -> None:
    bench = Bench(FixedRest([row(8, price="0.00")]))
    bench.lose(8, 8)
    bench.run(5)
    assert bench.got == []


def test_rows_that_nobody_asked_for_are_left_out() -> None:
    bench = Bench(FixedRest([row(item) for item in (99, 10, 9, 9, 8, 3)]))
    bench.lose(8, 10)
    bench.run(5)
    assert set(bench.got) == {8, 9, 10}


def test_an_outage_of_rest_takes_no_time_from_the_hour() -> None:
    bench = Bench(DownRest(100))
    bench.lose(8, 10)
    bench.run(3 * GIVE_UP_SECONDS)
    assert len(bench.rest.paths) == pytest.approx(3 * GIVE_UP_SECONDS / SLOW_RETRY_SECONDS, rel=0.05)
    bench.rest.down = False
    bench.run(SLOW_RETRY_SECONDS)
    assert bench.got == [8, 9, 10]


def test_what_was_given_up_is_looked_for_again_with_the_next_gap() -> None:
    bench = Bench(FullRest(0))
    bench.lose(8, 10)
    bench.run(GIVE_UP_SECONDS + SLOW_RETRY_SECONDS + 1)
    assert bench.repair.pending() == {}
    bench.rest.last = 100
    bench.lose(20, 20)
    bench.run(1)
    assert bench.got == [8, 9, 10, 20]


# -- long gaps -----------------------------------------------------------------------------------------


def test_a_long_gap_takes_several_pages_at_once() -> None:
    bench = Bench(FullRest(10_000))
    bench.lose(1_001, 3_500)
    bench.run(1)
    assert [path.split("?")[1] for path in bench.rest.paths] == [
        f"limit={PAGE}&after=3501", f"limit={PAGE}&after=2501", "limit=500&after=1501",
    ]  # fmt: skip
    assert sorted(bench.got) == list(range(1_001, 3_501))
    assert all(page == sorted(page) for page in bench.pages)
    assert bench.ledger.open_count() == 0


def test_two_ends_of_a_long_gap() -> None:
    bench = Bench(FullRest(10_000))
    bench.lose(1_001, 3_500)
    for trade_id in range(1_004, 3_498):
        bench.ledger.arrived(PRODUCT, trade_id, "late")
    bench.run(5)
    assert sorted(bench.got) == [1_001, 1_002, 1_003, 3_498, 3_499, 3_500]


def test_one_id_that_the_exchange_does_not_have_does_not_keep_the_older_ones_away() -> None:
    bench = Bench(FullRest(10_000, absent=(3_500,)))
    bench.lose(1_001, 3_500)
    bench.run(PATIENCE_SECONDS)
    assert sorted(bench.got) == list(range(1_001, 3_500))
    assert bench.ledger.missing_of(PRODUCT) == [(3_500, 3_500)]


@pytest.mark.parametrize(("length", "taken"), [(MAX_IDS, 1), (MAX_IDS + 1, 0)])
def test_a_gap_that_is_too_long_is_refused_and_counted(length: int, taken: int) -> None:
    bench = Bench(FullRest(0))
    bench.lose(1, length)
    assert len(bench.repair.pending()) == taken
    assert bench.repair.refused_total == 1 - taken
    assert bench.ledger.open_count() == 1


def test_one_that_is_too_long_does_not_keep_the_others_away() -> None:
    bench = Bench(FullRest(50_000))
    bench.lose(20_000, 20_000)
    bench.lose(21_000, 21_000 + MAX_IDS)
    bench.lose(49_000, 49_000)
    bench.run(60)
    assert bench.got == [49_000, 20_000]
    assert bench.repair.refused_total == 1
    assert bench.repair.pending() == {}


def test_only_so_many_products_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.feed.repair.MAX_JOBS", 3)
    bench = Bench(FullRest(0))
    for product in "ABCDE":
        for number in (10, 20):
            bench.lose(number, number, f"{product}-USD")
    assert (len(bench.repair.pending()), bench.repair.refused_total) == (3, 4)


# -- the budget ----------------------------------------------------------------------------------------


def test_trades_that_nobody_takes_are_not_asked_for_without_a_pause() -> None:
    rest = FullRest(100)
    now = 1_000.0
    repair = Repair(rest, lambda _: [(8, 10)], lambda _: None, lambda: now)  # type: ignore[arg-type]
    repair.add(PRODUCT, [(8, 10)])
    for _ in range(200):
        wait = repair.step()
        assert wait is not None
        now += wait + 0.01  # a request takes its time
        if now > 1_003.0:
            break
    assert len(rest.paths) <= 4


def test_one_page_heals_all_the_gaps_that_it_covers() -> None:
    bench = Bench(FullRest(5_000))
    for trade_id in range(4_001, 4_999, 2):
        bench.lose(trade_id, trade_id)
    bench.run(60)
    assert bench.rest.paths == [f"/products/{PRODUCT}/trades?limit=997&after=4998"]
    assert bench.got == list(range(4_001, 4_999, 2))
    assert bench.ledger.open_count() == 0


def test_what_lies_between_far_gaps_is_not_asked_for() -> None:
    bench = Bench(FullRest(10_000_000))
    bench.lose(5, 6)
    bench.lose(9_000_000, 9_000_001)
    bench.run(1)
    assert bench.pages == [[9_000_000, 9_000_001], [5, 6]]
    assert len(bench.rest.paths) == 2


def test_a_page_that_is_not_below_what_was_asked_ends_the_round() -> None:
    bench = Bench(FixedRest([row(item) for item in (90_000, 80_000)]))
    bench.lose(8, 10)
    bench.lose(20_000, 20_000)
    bench.run(5)
    assert len(bench.rest.paths) == 4


def test_products_take_turns() -> None:
    bench = Bench(FullRest(0))
    bench.lose(8, 8)
    bench.lose(18, 18, "ETH-USD")
    bench.run(PATIENCE_SECONDS)
    tries = bench.repair.pending()
    assert set(tries) == {PRODUCT, "ETH-USD"}
    assert abs(tries[PRODUCT] - tries["ETH-USD"]) <= 1


def test_a_long_repair_does_not_keep_another_product_waiting() -> None:
    bench = Bench(FullRest(100_000))
    bench.lose(1, 15_000)
    bench.now += 1.0
    bench.lose(100, 100, "ETH-USD")
    bench.now += 1.0
    for _ in range(2):
        bench.repair.step()
        bench.now += 0.2  # a request takes its time
    assert [path.split("/")[2] for path in bench.rest.paths] == [PRODUCT, "ETH-USD"]


def test_a_gap_that_can_be_healed_does_not_wait_for_one_that_can_not() -> None:
    bench = Bench(FullRest(100))
    bench.lose(5_000, 5_000)
    bench.run(2)
    bench.lose(8, 8)
    bench.run(FIRST_SECONDS + 0.1)
    assert bench.got == [8]


def test_a_new_gap_brings_new_patience() -> None:
    bench = Bench(FullRest(0))
    bench.lose(8, 8)
    bench.run(PATIENCE_SECONDS + SLOW_RETRY_SECONDS)
    bench.lose(10, 10)
    before = len(bench.rest.paths)
    bench.rest.last = 100
    bench.run(FIRST_SECONDS + 0.01)
    assert len(bench.rest.paths) == before + 1
    assert bench.got == [8, 10]
    bench.lose(500, 500)
    before = len(bench.rest.paths)
    bench.run(PATIENCE_SECONDS)
    assert len(bench.rest.paths) - before == pytest.approx(PATIENCE_SECONDS / RETRY_SECONDS, abs=1)


def test_a_bug_in_what_takes_the_trades_costs_a_retry_and_no_spin() -> None:
    now = 1_000.0

    def broken(_: list[Ticker]) -> None:
        raise RuntimeError("a bug")

    rest = FullRest(100)
    repair = Repair(rest, lambda _: [(8, 10)], broken, lambda: now)  # type: ignore[arg-type]
    repair.add(PRODUCT, [(8, 10)])
    now += FIRST_SECONDS
    with pytest.raises(RuntimeError):
        repair.step()
    assert repair.step() == pytest.approx(RETRY_SECONDS)


spans = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 60)), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(spans, st.sets(st.integers(1, 460)), st.integers(0, 3), st.integers(1, 50))
def test_every_missing_trade_comes_once(
    lost: list[tuple[int, int]], late: set[int], empty_answers: int, page: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.feed.repair.PAGE", page)
        bench = Bench(LaggingRest(1_000, empty_answers))
        wanted: set[int] = set()
        for first, length in lost:
            bench.lose(first, first + length)
            wanted.update(range(first, first + length + 1))
        for trade_id in late:
            bench.ledger.arrived(PRODUCT, trade_id, "late")
        bench.run(PATIENCE_SECONDS + SLOW_RETRY_SECONDS)
    assert sorted(bench.got) == sorted(wanted - late)
    assert all(one == sorted(one) for one in bench.pages)
    assert bench.ledger.open_count() == 0
    assert bench.repair.pending() == {}


def test_a_product_that_rest_does_not_know_is_given_up() -> None:
    bench = Bench(UnknownRest(0))
    bench.lose(8, 10)
    bench.run(GIVE_UP_SECONDS + 2 * SLOW_RETRY_SECONDS)
    assert bench.repair.pending() == {}
    assert bench.repair.failures_total == len(bench.rest.paths) < GIVE_UP_SECONDS / SLOW_RETRY_SECONDS + 20
    assert bench.ledger.open_count() == 1
