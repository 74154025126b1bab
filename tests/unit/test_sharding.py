"""Products onto connections: complete, balanced, stable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.sharding import Shards, assign, shards_needed, unbalanced

names = st.integers(0, 80).map(lambda number: f"P{number}-USD")
product_lists = st.lists(names, max_size=60)
sizes = st.integers(1, 20)


def places(shards: Shards) -> dict[str, int]:
    return {item: index for index, shard in enumerate(shards) for item in shard}


def moved(before: Shards, after: Shards) -> int:
    old, new = places(before), places(after)
    return sum(old[item] != new[item] for item in old if item in new)


def touched(before: Shards, after: Shards) -> int:
    """Return how many slots hold another set than before."""
    longest = max(len(before), len(after))
    old, new = ([*map(set, shards), *[set()] * (longest - len(shards))] for shards in (before, after))
    return sum(one != other for one, other in zip(old, new, strict=True))


def check(shards: Shards, products: list[str], per_connection: int) -> None:
    flat = [item for shard in shards for item in shard]
    assert sorted(flat) == sorted(set(products))  # each in exactly one shard
    assert len(shards) >= shards_needed(len(flat), per_connection)
    assert all(0 < len(shard) <= per_connection for shard in shards)  # no slot without a product


def check_fresh(shards: Shards, products: list[str], per_connection: int) -> None:
    """As dealt out: as few connections as can be, sizes that differ by one at most."""
    check(shards, products, per_connection)
    assert len(shards) == shards_needed(len(set(products)), per_connection)
    lengths = [len(shard) for shard in shards] or [0]
    assert max(lengths) - min(lengths) <= 1


@given(product_lists, sizes)
def test_a_fresh_start_deals_them_out_in_turn(products: list[str], per_connection: int) -> None:
    shards = assign(products, per_connection)
    check_fresh(shards, products, per_connection)
    wanted = list(dict.fromkeys(products))
    assert shards == tuple(tuple(wanted[index :: len(shards)]) for index in range(len(shards)))


@given(product_lists, st.lists(st.lists(names, max_size=30), max_size=6), sizes)
def test_every_product_is_in_exactly_one_shard_from_any_start(
    products: list[str], current: list[list[str]], per_connection: int
) -> None:
    check(assign(products, per_connection, current), products, per_connection)


@given(product_lists, sizes)
def test_unchanged_products_leave_the_shards_unchanged(products: list[str], per_connection: int) -> None:
    shards = assign(products, per_connection)
    assert assign(products, per_connection, shards) == shards
    assert assign(sorted(products), per_connection, shards) == shards  # another order of activity moves nobody


changes = st.lists(st.tuples(st.booleans(), st.integers(0, 80)), max_size=40)


@given(st.integers(0, 60), changes, sizes)
def test_one_change_after_the_other_touches_three_slots_and_moves_one_product_each(
    count: int, steps: list[tuple[bool, int]], per_connection: int
) -> None:
    wanted = [f"P{number}-USD" for number in range(count)]
    shards = assign(wanted, per_connection)
    for joins, number in steps:
        item = f"P{number}-USD"
        if joins == (item in wanted):
            continue
        wanted = [*wanted, item] if joins else [one for one in wanted if one != item]
        before, shards = shards, assign(wanted, per_connection, shards)
        check(shards, wanted, per_connection)
        assert touched(before, shards) <= 3
        assert moved(before, shards) <= 1
        assert assign(wanted, per_connection, shards) == shards


@given(st.integers(1, 60), changes, sizes)
def test_who_stays_moves_only_where_a_third_is_exceeded(
    count: int, steps: list[tuple[bool, int]], per_connection: int
) -> None:
    """Without the move it would be unbalanced, or leave a hole; from balance it leads to balance."""
    wanted = [f"P{number}-USD" for number in range(count)]
    shards = assign(wanted, per_connection)
    for joins, number in steps:
        item = f"P{number}-USD"
        if joins == (item in wanted):
            continue
        wanted = [*wanted, item] if joins else [one for one in wanted if one != item]
        before, shards = shards, assign(wanted, per_connection, shards)
        old = [len(shard) for shard in before]
        new = [len(shard) for shard in shards]
        if moved(before, shards):
            without_move = [sum(one in wanted for one in shard) for shard in before]
            if joins:
                without_move = [*without_move, 0] if len(shards) > len(before) else without_move
                without_move[without_move.index(min(without_move))] += 1
            assert unbalanced(min(without_move), max(without_move)) or 0 in without_move
        if old and len(new) == len(old) and not unbalanced(min(old), max(old)):
            assert not unbalanced(min(new), max(new))


def test_one_that_leaves_touches_its_own_connection_only() -> None:
    before = assign([f"P{number}-USD" for number in range(326)], 15)
    after = assign([f"P{number}-USD" for number in range(326) if number != 7], 15, before)
    assert (touched(before, after), moved(before, after), len(after)) == (1, 0, 22)


def test_one_that_joins_goes_to_the_smallest_and_a_new_one_is_opened_when_all_are_full() -> None:
    before: Shards = (("A-USD", "B-USD"), ("C-USD",), ("D-USD", "E-USD"))
    after = assign(["A-USD", "B-USD", "C-USD", "D-USD", "E-USD", "F-USD"], 2, before)
    assert after == (("A-USD", "B-USD"), ("C-USD", "F-USD"), ("D-USD", "E-USD"))
    assert assign([*"ABCDEFG"], 2, (("A", "B"), ("C", "D"), ("E", "F"))) == (
        ("A", "B"), ("C", "D"), ("E", "F"), ("G",),
    )  # fmt: skip


def test_a_connection_goes_when_it_is_empty_and_leaves_no_hole() -> None:
    shards: Shards = (("A",), ("B",), ("C",))
    assert assign(["A", "B", "C"], 15, shards) == shards  # one would do for them: nobody moves for that
    assert assign(["B", "C"], 15, shards) == (("C",), ("B",))
    assert assign(["A", "B"], 15, shards) == (("A",), ("B",))
    assert assign(["C"], 15, shards) == (("C",),)
    assert assign(["B", "C", "D"], 15, (("A",), ("B", "C", "D"))) == (("D",), ("B", "C"))


def test_45_come_and_20_go() -> None:
    old = [f"P{number:03d}-USD" for number in range(326)]
    new = [*old[:100], *old[120:], *(f"N{number}-USD" for number in range(45))]
    before = assign(old, 15)
    after = assign(new, 15, before)
    lengths = [len(shard) for shard in after]
    assert moved(before, after) == 0
    assert (len(after), min(lengths), max(lengths)) == (24, 14, 15)
    assert touched(before, assign([*old, *new], 15, before)) == 6  # those who come: three more slots, and 3 find room


@given(st.sets(names, min_size=1, max_size=60).map(sorted), sizes)
def test_the_busiest_are_dealt_out(products: list[str], per_connection: int) -> None:
    shards = assign(products, per_connection)
    assert {shard[0] for shard in shards} == set(products[: len(shards)])


def test_326_products_at_15_make_22_connections() -> None:
    shards = assign([f"P{number}-USD" for number in range(326)], 15)
    lengths = sorted(len(shard) for shard in shards)
    assert (len(shards), lengths[0], lengths[-1]) == (22, 14, 15)
    assert not unbalanced(lengths[0], lengths[-1])


@pytest.mark.parametrize(
    ("smallest", "largest", "verdict"), [(12, 15, False), (11, 15, True), (0, 1, False), (1, 2, False), (1, 3, True)]
)
def test_a_third_is_too_much(smallest: int, largest: int, verdict: bool) -> None:
    assert unbalanced(smallest, largest) is verdict


def test_smaller_shards_let_nothing_fall() -> None:
    products = [f"P{number}-USD" for number in range(40)]
    shards = assign(products, 10, assign(products, 20))
    check(shards, products, 10)
    assert len(shards) == 4


def test_no_products_make_no_connections() -> None:
    assert assign([], 15) == ()
    assert assign([], 15, (("A-USD",),)) == ()
    assert (shards_needed(0, 15), shards_needed(15, 15), shards_needed(16, 15)) == (0, 1, 2)


def test_duplicates_count_once() -> None:
    assert assign(["A-USD", "B-USD", "A-USD"], 2) == (("A-USD", "B-USD"),)


def test_a_product_that_two_slots_hold_stays_in_one() -> None:
    assert assign(["A-USD", "B-USD"], 1, (("A-USD",), ("A-USD",))) == (("A-USD",), ("B-USD",))
