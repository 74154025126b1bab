"""Trade ids in order: against a model that remembers every id."""

from hypothesis import given
from hypothesis import strategies as st

from hub.feed.continuity import MAX_HOLES, Continuity
from hub.model import Order

dense_ids = st.lists(st.integers(0, 100), max_size=150)
wide_ids = st.lists(st.integers(0, 2**53 - 1), max_size=60)


class EveryId:
    """The same question, answered by a set of all ids seen."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.first: int | None = None

    def observe(self, trade_id: int) -> Order:
        if trade_id in self.seen:
            return Order.DUPLICATE
        order = Order.NEW if not self.seen or trade_id > max(self.seen) else Order.LATE
        self.seen.add(trade_id)
        self.first = trade_id if self.first is None else self.first
        return order

    def missing_total(self) -> int:
        if self.first is None:
            return 0
        span = max(self.seen) - self.first + 1
        return span - sum(item >= self.first for item in self.seen)


# 100 ids can make no more than 50 holes, 60 observations no more than 60: they fit
@given(dense_ids | wide_ids)
def test_it_agrees_with_a_memory_of_every_id(ids: list[int]) -> None:
    continuity, model = Continuity(), EveryId()
    for trade_id in ids:
        assert continuity.observe(trade_id) is model.observe(trade_id)
        assert continuity.last_id == max(model.seen)
        assert continuity.missing_total == model.missing_total()


@given(dense_ids)
def test_each_id_is_news_exactly_once(ids: list[int]) -> None:
    continuity = Continuity()
    news = [item for item in ids if continuity.observe(item) is not Order.DUPLICATE]
    assert sorted(news) == sorted(set(ids))


@given(st.permutations(range(5, 45)))
def test_a_shuffled_run_ends_complete(ids: list[int]) -> None:
    continuity = Continuity()
    for trade_id in ids:
        continuity.observe(trade_id)
    assert (continuity.last_id, continuity.missing_total) == (44, 0)


def test_in_order_without_a_gap() -> None:
    continuity = Continuity()
    assert [continuity.observe(item) for item in (7, 8, 9)] == [Order.NEW] * 3
    assert (continuity.last_id, continuity.missing_total) == (9, 0)


def test_a_gap_is_counted_and_closed() -> None:
    continuity = Continuity()
    orders = [continuity.observe(item) for item in (10, 14, 12, 12, 14, 11, 13, 13)]
    assert [order.value for order in orders] == [
        "new", "new", "late", "duplicate", "duplicate", "late", "late", "duplicate",
    ]  # fmt: skip
    assert continuity.missing_total == 0


def test_what_is_before_the_first_id_was_never_missing() -> None:
    continuity = Continuity()
    assert [continuity.observe(item) for item in (100, 98, 98, 0)] == [
        Order.NEW, Order.LATE, Order.DUPLICATE, Order.LATE,
    ]  # fmt: skip
    assert (continuity.last_id, continuity.missing_total) == (100, 0)


def test_trade_id_0_is_an_id() -> None:
    continuity = Continuity()
    assert [continuity.observe(0), continuity.observe(0), continuity.observe(1)] == [
        Order.NEW, Order.DUPLICATE, Order.NEW,
    ]  # fmt: skip
    assert continuity.missing_total == 0


def test_only_so_many_holes_are_remembered_and_the_oldest_is_given_up() -> None:
    continuity = Continuity()
    ids = range(0, 4 * MAX_HOLES, 2)
    for trade_id in ids:
        continuity.observe(trade_id)
    assert continuity.missing_total == len(ids) - 1
    holes = range(1, ids[-1], 2)
    orders = [continuity.observe(item) for item in holes]
    kept = orders.count(Order.LATE)
    assert kept == MAX_HOLES
    assert orders == [Order.DUPLICATE] * (len(holes) - kept) + [Order.LATE] * kept
    assert continuity.missing_total == len(holes) - kept  # what was given up stays missing


def test_trades_in_order_push_no_hole_out() -> None:
    continuity = Continuity()
    for trade_id in (5, 7, *range(8, 1_000)):
        continuity.observe(trade_id)
    assert continuity.observe(6) is Order.LATE
    assert continuity.observe(4) is Order.LATE


def test_a_hole_that_is_filled_makes_room() -> None:
    continuity = Continuity()
    continuity.observe(0)
    for trade_id in range(2, 10 * MAX_HOLES, 2):
        continuity.observe(trade_id)
        if trade_id > 2:
            assert continuity.observe(trade_id - 1) is Order.LATE
    assert continuity.observe(1) is Order.LATE
    assert continuity.missing_total == 0


def test_holes_that_are_split_stay_bounded_too() -> None:
    continuity = Continuity()
    continuity.observe(0)
    continuity.observe(10_000)
    orders = [continuity.observe(item) for item in range(2, 9_000, 2)]
    assert set(orders) == {Order.LATE}
    late = [item for item in range(1, 9_000, 2) if continuity.observe(item) is Order.LATE]
    assert len(late) <= MAX_HOLES
    assert late[-1] == 8_999
