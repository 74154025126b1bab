"""Trade ids in order: against a model that remembers every id."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.continuity import MAX_HOLES, Continuity, holding, without
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

    def missing(self) -> list[tuple[int, int]]:
        later = sorted(item for item in self.seen if self.first is not None and item >= self.first)
        return [(low + 1, high - 1) for low, high in pairwise(later) if high > low + 1]


def order_of(continuity: Continuity, trade_id: int) -> Order:
    return continuity.observe(trade_id)[0]


# 100 ids can make no more than 50 holes, 60 observations no more than 60: they fit
@given(dense_ids | wide_ids)
def test_it_agrees_with_a_memory_of_every_id(ids: list[int]) -> None:
    continuity, model = Continuity(), EveryId()
    for trade_id in ids:
        assert order_of(continuity, trade_id) is model.observe(trade_id)
        assert continuity.last_id == max(model.seen)
        assert continuity.missing_total() == model.missing_total()
        assert continuity.missing() == model.missing()


@given(dense_ids)
def test_each_id_is_news_exactly_once(ids: list[int]) -> None:
    continuity = Continuity()
    news = [item for item in ids if order_of(continuity, item) is not Order.DUPLICATE]
    assert sorted(news) == sorted(set(ids))


@given(st.permutations(range(5, 45)))
def test_a_shuffled_run_ends_complete(ids: list[int]) -> None:
    continuity = Continuity()
    for trade_id in ids:
        continuity.observe(trade_id)
    assert (continuity.last_id, continuity.missing_total()) == (44, 0)


def test_in_order_without_a_gap() -> None:
    continuity = Continuity()
    assert [order_of(continuity, item) for item in (7, 8, 9)] == [Order.NEW] * 3
    assert (continuity.last_id, continuity.missing_total()) == (9, 0)


def test_a_gap_is_counted_and_closed() -> None:
    continuity = Continuity()
    orders = [order_of(continuity, item) for item in (10, 14, 12, 12, 14, 11, 13, 13)]
    assert [order.value for order in orders] == [
        "new", "new", "late", "duplicate", "duplicate", "late", "late", "duplicate",
    ]  # fmt: skip
    assert continuity.missing_total() == 0


def test_what_is_before_the_first_id_was_never_missing() -> None:
    continuity = Continuity()
    assert [order_of(continuity, item) for item in (100, 98, 98, 0)] == [
        Order.NEW, Order.LATE, Order.DUPLICATE, Order.LATE,
    ]  # fmt: skip
    assert (continuity.last_id, continuity.missing_total()) == (100, 0)


def test_trade_id_0_is_an_id() -> None:
    continuity = Continuity()
    assert [order_of(continuity, 0), order_of(continuity, 0), order_of(continuity, 1)] == [
        Order.NEW, Order.DUPLICATE, Order.NEW,
    ]  # fmt: skip
    assert continuity.missing_total() == 0


def test_only_so_many_holes_are_remembered_and_the_oldest_is_given_up() -> None:
    continuity = Continuity()
    ids = range(0, 4 * MAX_HOLES, 2)
    for trade_id in ids:
        continuity.observe(trade_id)
    assert continuity.missing_total() == len(ids) - 1
    holes = range(1, ids[-1], 2)
    orders = [order_of(continuity, item) for item in holes]
    kept = orders.count(Order.LATE)
    assert kept == MAX_HOLES
    assert orders == [Order.FORGOTTEN] * (len(holes) - kept) + [Order.LATE] * kept
    assert order_of(continuity, ids[1]) is Order.FORGOTTEN  # seen, but that is longer ago than can be told
    assert order_of(continuity, holes[-1]) is Order.DUPLICATE
    assert continuity.missing_total() == len(holes) - kept  # what was given up stays missing


def test_trades_in_order_push_no_hole_out() -> None:
    continuity = Continuity()
    for trade_id in (5, 7, *range(8, 1_000)):
        continuity.observe(trade_id)
    assert order_of(continuity, 6) is Order.LATE
    assert order_of(continuity, 4) is Order.LATE


def test_a_hole_that_is_filled_makes_room() -> None:
    continuity = Continuity()
    continuity.observe(0)
    for trade_id in range(2, 10 * MAX_HOLES, 2):
        continuity.observe(trade_id)
        if trade_id > 2:
            assert order_of(continuity, trade_id - 1) is Order.LATE
    assert order_of(continuity, 1) is Order.LATE
    assert continuity.missing_total() == 0


def test_holes_that_are_split_stay_bounded_too() -> None:
    continuity = Continuity()
    continuity.observe(0)
    continuity.observe(10_000)
    orders = [order_of(continuity, item) for item in range(2, 9_000, 2)]
    assert set(orders) == {Order.LATE}
    late = [item for item in range(1, 9_000, 2) if order_of(continuity, item) is Order.LATE]
    assert len(late) <= MAX_HOLES
    assert late[-1] == 8_999


def test_a_jump_names_exactly_the_ids_that_it_passed_over() -> None:
    continuity = Continuity()
    found = [continuity.observe(item) for item in (100, 101, 105, 103, 110, 110)]
    assert found == [
        (Order.NEW, None), (Order.NEW, None), (Order.NEW, (102, 104)), (Order.LATE, None), (Order.NEW, (106, 109)),
        (Order.DUPLICATE, None),
    ]  # fmt: skip
    assert continuity.missing() == [(102, 102), (104, 104), (106, 109)]
    assert (continuity.first_id, continuity.last_id) == (100, 110)


@given(dense_ids)
def test_the_jumps_are_what_was_ever_missing(ids: list[int]) -> None:
    continuity, jumped = Continuity(), set()
    for trade_id in ids:
        _, missing = continuity.observe(trade_id)
        if missing is not None:
            jumped.update(range(missing[0], missing[1] + 1))
    left = {item for first, last in continuity.missing() for item in range(first, last + 1)}
    assert left == jumped - set(ids)


def test_missing_ranges_are_no_handle_to_the_inside() -> None:
    continuity = Continuity()
    for trade_id in (1, 5):
        continuity.observe(trade_id)
    continuity.missing().clear()
    assert continuity.missing() == [(2, 4)]


@given(st.sets(st.integers(0, 30)), st.integers(-2, 32))
def test_ranges_without_an_id(ids: set[int], trade_id: int) -> None:
    ranges = as_ranges(ids)
    found = without(ranges, trade_id)
    assert found == (as_ranges(ids - {trade_id}) if trade_id in ids else None)
    index = holding(ranges, trade_id)
    assert (index is not None) == (trade_id in ids)
    assert index is None or ranges[index][0] <= trade_id <= ranges[index][1]


@pytest.mark.parametrize(
    ("trade_id", "left"),
    [(1, [(2, 3), (7, 7)]), (2, [(1, 1), (3, 3), (7, 7)]), (3, [(1, 2), (7, 7)]), (7, [(1, 3)]), (5, None), (0, None)],
)
def test_an_id_is_taken_out_of_its_range(trade_id: int, left: list[tuple[int, int]] | None) -> None:
    assert without([(1, 3), (7, 7)], trade_id) == left


def as_ranges(ids: set[int]) -> list[tuple[int, int]]:
    """Return the ids as sorted ranges without a gap."""
    found: list[tuple[int, int]] = []
    for item in sorted(ids):
        if found and item == found[-1][1] + 1:
            found[-1] = (found[-1][0], item)
        else:
            found.append((item, item))
    return found
