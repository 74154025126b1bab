"""Moves by load: worth it, few, and never over and over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random

import pytest

from hub.feed.balance import CROWDED, MAX_STEPS, RELIEVED, Meter, Plan, Resting, plan, product_loads
from hub.feed.sharding import assign
from hub.simulator.market import activity_weights

SLOTS, PER_CONNECTION = 22, 15
PRODUCTS = [f"P{number:03d}-USD" for number in range(326)]
Shards = dict[str, list[str]]


def dealt(products: Sequence[str] = PRODUCTS, per_connection: int = PER_CONNECTION) -> Shards:
    return {f"conn_{index:03d}": list(shard) for index, shard in enumerate(assign(products, per_connection))}


def zipf(rate: float, products: Sequence[str] = PRODUCTS) -> dict[str, float]:
    weights = activity_weights(len(products), 1.1)
    return {item: rate * weight / sum(weights) for item, weight in zip(products, weights, strict=True)}


def concentrated(shards: Shards, rate: float, share: float = 0.5, equal: bool = True) -> dict[str, float]:
    """One connection's products have that share of all ticks."""
    crowded = shards["conn_005"]
    others = [item for item in PRODUCTS if item not in crowded]
    mine = dict.fromkeys(crowded, share * rate / len(crowded)) if equal else {
        item: share * rate * part for item, part in zip(crowded, zipf(1.0, crowded).values(), strict=True)
    }  # fmt: skip
    return {**mine, **zipf((1 - share) * rate, others)}


def apply(shards: Shards, found: Plan) -> set[str]:
    """Do what a plan says; return the products that moved."""
    moved = set()
    for step in found.steps:
        for item, source, target in (
            (step.product_id, step.source, step.target), (step.partner, step.target, step.source)
        ):  # fmt: skip
            if item is not None:
                shards[source].remove(item)
                shards[target].append(item)
                moved.add(item)
    return moved


def loads(shards: Mapping[str, Sequence[str]], ticks: Mapping[str, float]) -> list[float]:
    load = product_loads(shards, ticks, ())
    return sorted(sum(load[item] for item in items) for items in shards.values())


def poisson(rng: Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, product, least = 0, rng.random(), math.exp(-mean)
    while product > least:
        count += 1
        product *= rng.random()
    return count


def measured(rng: Random, ticks: Mapping[str, float], seconds: float = 15.0) -> dict[str, float]:
    return {item: poisson(rng, rate * seconds) / seconds for item, rate in ticks.items()}


@pytest.mark.parametrize("rate", [0.0, 100.0, 1_500.0, 20_000.0])
def test_what_was_dealt_out_by_activity_stays(rate: float) -> None:
    assert plan(dealt(), zipf(rate), (), PER_CONNECTION).steps == ()


def test_a_single_busy_product_is_left_where_it_is() -> None:
    shards = dealt()
    found = plan(shards, {"P000-USD": 1_000.0}, (), PER_CONNECTION)
    assert found.steps == ()
    assert "no step would make it much less" in found.why


def test_two_busy_ones_are_parted_by_one_swap() -> None:
    shards = dealt()
    ticks = {"P000-USD": 300.0, "P022-USD": 200.0}
    assert shards["conn_000"][:2] == ["P000-USD", "P022-USD"]
    found = plan(shards, ticks, (), PER_CONNECTION)
    (step,) = found.steps
    assert (step.product_id, step.source) in {(item, "conn_000") for item in ticks}
    assert found.loads["conn_000"] == 515.0
    assert "conn_000 has 515/s" in step.why


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("rate", [300.0, 1_500.0, 6_000.0])
def test_half_of_all_ticks_on_one_connection_is_spread(rate: float, equal: bool) -> None:
    shards = dealt()
    ticks = concentrated(shards, rate, equal=equal)
    before = loads(shards, ticks)
    moved: set[str] = set()
    for _ in range(2):
        now = apply(shards, plan(shards, ticks, (), PER_CONNECTION, moved))
        assert not now & moved
        moved |= now
    after = loads(shards, ticks)
    largest = max(product_loads(shards, ticks, ()).values())
    mean = sum(after) / SLOTS
    assert before[-1] > 4 * mean
    assert after[-1] <= max(CROWDED.load * mean, largest * 1.25 + 30)
    assert len(moved) <= 2 * MAX_STEPS * 2
    sizes = [len(items) for items in shards.values()]
    assert max(sizes) <= PER_CONNECTION
    assert max(sizes) <= 4 / 3 * min(sizes)
    assert sorted(item for items in shards.values() for item in items) == sorted(PRODUCTS)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rate", [60.0, 300.0, 1_500.0, 5_000.0])
def test_noise_moves_nothing_for_an_hour_once_it_was_spread(rate: float, seed: int) -> None:
    """Poisson's noise, a plan every 3 s, and nothing rests: no product moves after the first minute."""
    rng = Random(seed)
    shards = dealt()
    ticks = concentrated(shards, rate, equal=bool(seed % 2))
    first_move, last_move = float("inf"), 0.0
    for number in range(1, 1_200):
        now = number * 3.0
        begun = 0 <= now - first_move < 15.0
        if apply(shards, plan(shards, measured(rng, ticks), (), PER_CONNECTION, begun=begun)):
            first_move, last_move = min(first_move, now), now
    assert last_move <= 45.0  # and 15 s for the first measurement


@pytest.mark.parametrize("seed", range(5))
def test_on_few_connections_noise_moves_nothing(seed: int) -> None:
    rng = Random(seed)
    shards = dealt(PRODUCTS[:30])
    ticks = zipf(100.0, PRODUCTS[:30])
    for _ in range(500):
        assert plan(shards, measured(rng, ticks), (), PER_CONNECTION).steps == ()


def test_priority_products_are_parted() -> None:
    shards = dealt()
    ticks = dict.fromkeys(PRODUCTS, 4.0)
    priority = shards["conn_003"][:4]
    assert plan(shards, ticks, (), PER_CONNECTION).steps == ()
    found = plan(shards, ticks, priority, PER_CONNECTION)
    apply(shards, found)
    most = max(sum(item in priority for item in items) for items in shards.values())
    assert found.steps
    assert most <= 2


def test_nothing_begins_below_the_bar() -> None:
    shards = {"a": ["A1", "A2", "A3"], "b": ["B1", "B2", "B3"], "c": ["C1", "C2", "C3"]}
    low = {item: 99.0 for items in shards.values() for item in items}

    def with_factor(factor: float) -> Plan:  # of the mean, for the fullest
        rate = 300.0 * factor * 2 / (3 - factor) / 3 - 1
        return plan(shards, {**low, **dict.fromkeys(shards["a"], rate)}, (), 4)

    assert with_factor((CROWDED.load + RELIEVED.load) / 2).steps == ()
    assert with_factor(CROWDED.load - 0.01).steps == ()
    assert with_factor(CROWDED.load + 0.05).steps != ()


def test_what_rests_is_left_alone() -> None:
    shards = dealt()
    ticks = {"P000-USD": 300.0, "P022-USD": 200.0}
    assert plan(shards, ticks, (), PER_CONNECTION, set(ticks)).steps == ()
    resting = Resting(600.0)
    resting.add(["P000-USD"], 0.0)
    assert resting.at(599.0) == {"P000-USD"}
    assert resting.at(600.0) == set()


def test_a_move_without_a_partner_where_the_counts_allow_it() -> None:
    shards = {"a": ["A1", "A2", "A3", "A4"], "b": ["B1", "B2", "B3"]}
    ticks = {"A1": 100.0, "A2": 100.0}
    (step,) = plan(shards, ticks, (), 4).steps
    assert (step.source, step.target, step.partner) == ("a", "b", None)
    (step,) = plan(shards, ticks, (), 3).steps
    assert step.partner is not None


def test_nothing_at_all() -> None:
    assert plan({}, {}, (), 15).steps == ()
    assert plan({"a": []}, {}, (), 15).steps == ()
    assert plan({"a": ["A"]}, {"A": 500.0}, (), 15).steps == ()


def test_five_thousand_products_take_no_time() -> None:
    import time

    products = [f"P{number:04d}-USD" for number in range(5_000)]
    shards = dealt(products)
    ticks = {**zipf(2_000.0, products), **dict.fromkeys(shards["conn_100"], 200.0)}
    begun = time.monotonic()
    assert plan(shards, ticks, (), PER_CONNECTION).steps
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize("rate", [60.0, 1_500.0])
def test_noise_moves_nothing_while_connections_come_and_go(rate: float) -> None:
    rng = Random(1)
    shards, ticks = dealt(), zipf(rate)
    for _ in range(500):
        closed = set(rng.sample(sorted(shards), rng.randrange(3)))
        assert plan(shards, measured(rng, ticks), (), PER_CONNECTION, closed=closed).steps == ()


def test_nothing_goes_to_a_closed_connection_nor_from_it() -> None:
    shards = dealt()
    ticks = concentrated(shards, 1_500.0)
    whole = plan(shards, ticks, (), PER_CONNECTION)
    found = plan(shards, ticks, (), PER_CONNECTION, closed={"conn_005"})
    assert (found.steps, found.loads, found.mean) == ((), whole.loads, whole.mean)
    targets = {step.target for step in whole.steps}
    found = plan(shards, ticks, (), PER_CONNECTION, closed=targets)
    assert {step.source for step in found.steps} == {"conn_005"}
    assert not targets & {step.target for step in found.steps}


def test_the_meter_measures_over_its_window() -> None:
    meter = Meter(15.0, 5)
    assert meter.rates() == (0.0, {})
    counts = {"A": 1_000}
    shards = {"a": ["A"]}
    for second in range(31):
        counts["A"] += 10
        if second == 18:
            shards["a"] = ["A", "B"]
        if second > 18:
            counts["B"] = counts.get("B", 0) + 4
        meter.sample(100.0 + second, counts, shards, ["a"])
        assert meter.rates()[0] == min(15.0, (second if second < 18 else second - 18) // 3 * 3)  # of the newest
    assert meter.rates() == (12.0, {"A": 10.0, "B": 4.0})
    meter.start_over()
    assert meter.rates() == (0.0, {})


@pytest.mark.parametrize(("on", "off"), [(4.0, 8.0), (2.0, 58.0), (1.0, 1.0)])
def test_a_connection_that_comes_and_goes_is_measured_while_it_is_there(on: float, off: float) -> None:
    meter, shards, counts = Meter(15.0, 5), {"a": ["A"], "b": ["B"], "c": ["C"]}, {"A": 0.0, "B": 0.0, "C": 0.0}
    step = 0.05
    for number in range(int(40 * (on + off) / step)):
        now = number * step
        there = now % (on + off) < on
        early = now < 20.0
        counts["A"] += 100 * step if there else 0.0
        counts["B"] += 10 * step
        counts["C"] += 50 * step if early else 0.0
        are_open = ["b", *(["a"] if there else []), *(["c"] if early else [])]
        meter.sample(now, {item: int(count) for item, count in counts.items()}, shards, are_open)
    seconds, rates = meter.rates()
    assert 14.9 <= seconds <= 18.0
    assert rates["A"] == pytest.approx(100.0, rel=0.08)
    assert rates["B"] == pytest.approx(10.0, rel=0.05)
    assert rates["C"] == pytest.approx(50.0, rel=0.05)  # as it was when it was there


def test_a_product_on_two_connections_is_measured_once() -> None:
    meter, counts = Meter(15.0, 5), {"A": 0}
    for second in range(40):
        counts["A"] += 10
        shards = {"a": ["A"] if second < 12 else [], "b": ["A"] if second > 8 else []}
        meter.sample(float(second), counts, shards, ["a", "b"])
    assert meter.rates() == (15.0, {"A": 10.0})


def test_what_did_not_move_after_all_rests_no_more() -> None:
    resting = Resting(600.0)
    resting.add(["A-USD", "B-USD"], 0.0)
    resting.end(["A-USD", "C-USD"])
    assert resting.at(1.0) == {"B-USD"}
