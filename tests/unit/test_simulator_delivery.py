"""What the simulator's faults do to frames, and how long they last."""

import json
from types import SimpleNamespace
from typing import Any

from hub.simulator.broken import Faults
from hub.simulator.delivery import BadTicker, Delivery, Stuck
from hub.simulator.evidence import Evidence
from hub.simulator.market import GeneratedMarket, Tick
from hub.simulator.timed import Timed, TimedMap, TimedSet

WALL = 1_764_000_000.0


def tick(trade_id: int, product_id: str = "A-USD") -> Tick:
    return Tick(product_id, trade_id, json.dumps({"trade_id": trade_id, "price": "1.0"}).encode())


def ids(frames: list[bytes]) -> list[int]:
    return [json.loads(frame)["trade_id"] for frame in frames]


def session(index: int) -> Any:
    return SimpleNamespace(index=index, no_data_until=0.0)


class Anyone:
    def has_room(self, product_id: str) -> bool:  # noqa: ARG002
        return True

    def covers(self, product_ids: tuple[str, ...]) -> bool:  # noqa: ARG002
        return True


def test_a_value_holds_until_its_deadline() -> None:
    value: Timed[int] = Timed()
    assert value.at(0.0) is None
    value.set(7, 5.0)
    assert (value.at(4.9), value.at(5.0)) == (7, None)
    value.clear()
    assert value.at(1.0) is None


def test_products_hold_until_their_own_deadline() -> None:
    products = TimedSet()
    products.add(["A-USD"], 5.0)
    products.add(["B-USD"], 9.0)
    assert products.at(4.0) == {"A-USD", "B-USD"}
    assert (products.holds("A-USD", 5.0), products.holds("B-USD", 5.0)) == (False, True)


def test_each_product_has_a_value_until_its_own_deadline() -> None:
    values: TimedMap[int] = TimedMap()
    values.set("A-USD", 1, 5.0)
    values.set("B-USD", 2, 9.0)
    assert (values.at(4.9), values.at(5.0)) == ({"A-USD": 1, "B-USD": 2}, {"B-USD": 2})
    values.set("B-USD", 3, 6.0)
    assert values.at(5.0) == {"B-USD": 3}
    values.clear()
    assert values.at(0.0) == {}


def test_reordered_tickers_leave_after_the_one_that_follows() -> None:
    delivery = Delivery()
    delivery.reorder("A-USD", 2)
    left = [ids(delivery.frames(tick(number))) for number in range(1, 7)]
    assert left == [[], [2, 1], [], [4, 3], [5], [6]]
    delivery.reorder("A-USD", 1)
    assert delivery.frames(tick(7)) == []
    assert ids(list(delivery.clear().values())) == [7]


def test_duplicates_and_bad_frames_come_beside_the_right_one() -> None:
    delivery = Delivery()
    delivery.duplicate("A-USD", 1)
    assert [ids(delivery.frames(tick(number))) for number in (1, 2)] == [[1, 1], [2]]
    delivery.spoil("A-USD", BadTicker({"price": "NaN"}, ("trade_id",)), 1)
    bad, right = delivery.frames(tick(3))
    assert json.loads(bad) == {"price": "NaN"}
    assert right == tick(3).frame
    assert ids(delivery.frames(tick(4))) == [4]


def test_faults_of_one_product_leave_the_others_alone() -> None:
    delivery = Delivery()
    delivery.drop("A-USD", 2)
    delivery.duplicate("A-USD", 9)
    assert [delivery.drops(one) for one in ("B-USD", "A-USD", "A-USD", "A-USD")] == [False, True, True, False]
    assert ids(delivery.frames(tick(1, "B-USD"))) == [1]


def test_stuck_until_it_is_subscribed_again_or_elsewhere() -> None:
    delivery = Delivery()
    delivery.withhold("A-USD", Stuck(10.0, {1}, until_resubscribed=True))
    assert delivery.withholds("A-USD", session(1), 5.0)
    assert not delivery.withholds("A-USD", session(2), 5.0)
    assert not delivery.withholds("B-USD", session(1), 5.0)
    delivery.subscribed("A-USD", session(1))
    assert not delivery.withholds("A-USD", session(1), 5.0)
    delivery.withhold("A-USD", Stuck(10.0, {1}, until_resubscribed=False))
    delivery.subscribed("A-USD", session(1))
    assert delivery.withholds("A-USD", session(1), 5.0)
    assert not delivery.withholds("A-USD", session(2), 5.0)
    delivery.withhold("A-USD", Stuck(10.0, None, until_resubscribed=False))
    assert delivery.withholds("A-USD", session(2), 9.9)
    assert not delivery.withholds("A-USD", session(2), 10.0)


def test_products_are_left_out_of_some_subscribes_only() -> None:
    faults = Faults()
    faults.leave_out(frozenset({"A-USD"}), 1)
    assert faults.left_out_of(frozenset({"B-USD"})) == frozenset()
    assert faults.left_out_of(frozenset({"A-USD", "B-USD"})) == {"A-USD"}
    assert faults.left_out_of(frozenset({"A-USD"})) == frozenset()


def test_evidence_tells_written_from_proven() -> None:
    evidence = Evidence()
    evidence.note({"A-USD": True, "B-USD": False}, 5.0)
    evidence.note({"A-USD": False}, 7.0)
    report = evidence.report(["A-USD", "B-USD", "C-USD"], 9.0)
    assert report == {"now": 9.0, "products": {"A-USD": 7.0, "B-USD": 5.0}, "proof": {"A-USD": 5.0}}


def test_quiet_products_make_no_trades_and_the_others_do() -> None:
    market = GeneratedMarket(10, 1_000.0, 1, now=0.0, wall=WALL)
    market.quiet.add(market.half(), 0.5)
    made = {tick.product_id for step in range(1, 6) for tick in market.due(step / 10 - 0.05, WALL, Anyone())}
    assert made
    assert not made & set(market.half())
    later = {tick.product_id for tick in market.due(1.5, WALL, Anyone())}
    assert later & set(market.half())


def test_a_burst_multiplies_the_rate_and_ends() -> None:
    market = GeneratedMarket(10, 100.0, 1, now=0.0, wall=WALL)
    market.rate_factor.set(20.0, 1.0)
    burst = sum(1 for step in range(1, 10) for _ in market.due(step / 10, WALL, Anyone()))
    assert 1_750 <= burst <= 1_850
    list(market.due(1.0, WALL, Anyone()))
    assert sum(1 for step in range(11, 20) for _ in market.due(step / 10, WALL, Anyone())) <= 200


def test_a_clock_that_is_set_back_takes_the_times_along() -> None:
    market = GeneratedMarket(1, 100.0, 1, now=0.0, wall=WALL)
    first = json.loads(next(iter(market.due(0.5, WALL + 0.5, Anyone()))).frame)["time"]
    market.shift_clock(-3_600)
    assert json.loads(next(iter(market.due(1.0, WALL + 1 - 3_600, Anyone()))).frame)["time"] < first
