"""Products onto connections: complete, balanced, stable."""

from hypothesis import given
from hypothesis import strategies as st

from hub.feed.sharding import Shards, assign, shards_needed

names = st.integers(0, 80).map(lambda number: f"P{number}-USD")
product_lists = st.lists(names, max_size=60)
sizes = st.integers(1, 20)


def places(shards: Shards) -> dict[str, int]:
    return {item: index for index, shard in enumerate(shards) for item in shard}


def moved(before: Shards, after: Shards) -> int:
    old, new = places(before), places(after)
    return sum(old[item] != new[item] for item in old if item in new)


def check(shards: Shards, products: list[str], per_connection: int) -> None:
    flat = [item for shard in shards for item in shard]
    assert sorted(flat) == sorted(set(products))  # each in exactly one shard
    assert len(shards) == -(-len(flat) // per_connection)
    lengths = [len(shard) for shard in shards] or [0]
    assert max(lengths) <= per_connection
    assert max(lengths) - min(lengths) <= 1


@given(product_lists, sizes)
def test_every_product_is_in_exactly_one_balanced_shard(products: list[str], per_connection: int) -> None:
    check(assign(products, per_connection), products, per_connection)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), sizes, sizes)
def test_the_same_holds_from_any_start(gone: int, stay: int, come: int, before: int, after: int) -> None:
    old = [f"P{number}-USD" for number in range(gone + stay)]
    new = [f"P{number}-USD" for number in range(gone, gone + stay + come)]
    check(assign(new, after, assign(old, before)), new, after)


@given(product_lists, st.lists(st.lists(names, max_size=30, unique=True), max_size=6), sizes)
def test_the_same_holds_from_shards_that_are_none_of_ours(
    products: list[str], current: list[list[str]], per_connection: int
) -> None:
    check(assign(products, per_connection, current), products, per_connection)


def test_smaller_shards_let_nothing_fall() -> None:
    products = [f"P{number}-USD" for number in range(40)]
    check(assign(products, 10, assign(products, 20)), products, 10)


@given(product_lists, sizes)
def test_unchanged_products_leave_the_shards_unchanged(products: list[str], per_connection: int) -> None:
    shards = assign(products, per_connection)
    assert assign(products, per_connection, shards) == shards
    assert assign(sorted(products), per_connection, shards) == shards  # another order of activity moves nobody


@given(st.sets(names, min_size=1, max_size=60).map(sorted), sizes)
def test_one_more_product_moves_few(products: list[str], per_connection: int) -> None:
    before = assign(products, per_connection)
    after = assign([*products, "NEW-USD"], per_connection, before)
    if len(after) == len(before):
        assert moved(before, after) == 0
    else:  # a new slot is filled, out of the others
        assert moved(before, after) <= len(after[-1])
        assert len(after) == len(before) + 1


@given(st.sets(names, min_size=2, max_size=60).map(sorted), sizes, st.data())
def test_one_product_less_moves_few(products: list[str], per_connection: int, data: st.DataObject) -> None:
    before = assign(products, per_connection)
    gone = data.draw(st.sampled_from(products))
    after = assign([item for item in products if item != gone], per_connection, before)
    if len(after) == len(before):
        assert moved(before, after) <= 1
    else:  # the last slot is given up; what it held, and nothing else, finds new places
        assert moved(before, after) <= len(before[-1])


@given(st.sets(names, min_size=1, max_size=60).map(sorted), sizes)
def test_the_busiest_are_dealt_out(products: list[str], per_connection: int) -> None:
    shards = assign(products, per_connection)
    assert {shard[0] for shard in shards} == set(products[: len(shards)])


def test_326_products_at_15_make_22_connections() -> None:
    shards = assign([f"P{number}-USD" for number in range(326)], 15)
    lengths = sorted(len(shard) for shard in shards)
    assert (len(shards), lengths[0], lengths[-1]) == (22, 14, 15)
    assert 3 * lengths[-1] <= 4 * lengths[0]  # no shard is a third larger than another


def test_no_products_make_no_connections() -> None:
    assert assign([], 15) == ()
    assert assign([], 15, (("A-USD",),)) == ()
    assert (shards_needed(0, 15), shards_needed(15, 15), shards_needed(16, 15)) == (0, 1, 2)


def test_duplicates_count_once() -> None:
    assert assign(["A-USD", "B-USD", "A-USD"], 2) == (("A-USD", "B-USD"),)


def test_a_product_that_two_slots_hold_stays_in_one() -> None:
    assert assign(["A-USD", "B-USD"], 1, (("A-USD",), ("A-USD",))) == (("A-USD",), ("B-USD",))
