"""Priority pairs: at once, then at most one a second a pair, always the latest."""

import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout import priority
from hub.fanout.priority import EVENT, UPDATE_INTERVAL_SECONDS, PriorityPairs


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Pairs on a clock of their own; ``sent`` is [(seconds since the start, payload)]."""

    def __init__(self, *product_ids: str) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, str]] = []
        self.pairs = PriorityPairs(self._publish, self.clock)
        for product_id in product_ids:
            self.pairs.add(product_id)

    def _publish(self, event: str, payload: str, product_id: str) -> None:
        assert event == EVENT
        assert self.pairs.has(product_id)
        self.sent.append((round(self.clock.now - 1_000.0, 3), payload))

    def tick(self, at: float, payload: str, product_id: str = "BTC-USD") -> None:
        self.clock.now = 1_000.0 + at
        self.pairs.tick(product_id, payload)

    def step(self, at: float) -> float | None:
        self.clock.now = 1_000.0 + at
        return self.pairs.step()


def test_others_are_not_sent() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a", "ETH-USD")
    assert bench.sent == []
    assert bench.step(5.0) is None


def test_at_once_then_the_latest_when_the_second_is_over() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    bench.tick(0.25, "b")
    bench.tick(0.5, "c")
    assert bench.sent == [(0.0, "a")]
    assert bench.step(0.75) == pytest.approx(0.25)
    assert bench.sent == [(0.0, "a")]
    assert bench.step(1.0) is None
    assert bench.sent == [(0.0, "a"), (1.0, "c")]


def test_after_a_quiet_second_at_once_again() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    bench.tick(1.0, "b")
    bench.tick(7.0, "c")
    assert bench.sent == [(0.0, "a"), (1.0, "b"), (7.0, "c")]
    assert bench.step(9.0) is None
    assert len(bench.sent) == 3


def test_a_held_update_starts_a_second_of_its_own() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    bench.tick(0.5, "b")
    bench.step(1.5)
    bench.tick(2.25, "c")
    assert bench.sent == [(0.0, "a"), (1.5, "b")]
    assert bench.step(2.5) is None
    assert bench.sent[-1] == (2.5, "c")


def test_an_update_that_was_overtaken_is_never_sent() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    bench.tick(0.5, "b")
    bench.tick(1.001, "c")
    bench.step(2.001)
    bench.step(9.0)
    assert bench.sent == [(0.0, "a"), (1.001, "c")]


def test_pairs_have_their_own_pace() -> None:
    bench = Bench("BTC-USD", "ETH-USD")
    bench.tick(0.0, "a")
    bench.tick(0.5, "b", "ETH-USD")
    bench.tick(0.5, "c")
    bench.tick(0.75, "d", "ETH-USD")
    assert bench.step(1.0) == pytest.approx(0.5)
    assert bench.step(1.5) is None
    assert bench.sent == [(0.0, "a"), (0.5, "b"), (1.0, "c"), (1.5, "d")]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60))
def test_pace_order_and_the_last_value(moves: list[tuple[int, bool]]) -> None:
    bench, at, number = Bench("BTC-USD"), 0.0, 0
    for tenths, is_tick in moves:
        at += tenths / 10
        if is_tick:
            number += 1
            bench.tick(at, str(number))
        else:
            bench.step(at)
    bench.step(at + UPDATE_INTERVAL_SECONDS)
    times = [when for when, _ in bench.sent]
    numbers = [int(payload) for _, payload in bench.sent]
    assert all(later - earlier >= UPDATE_INTERVAL_SECONDS - 0.002 for earlier, later in pairwise(times))
    assert numbers == sorted(set(numbers))
    assert numbers[-1:] == ([number] if number else [])  # the last value always arrives


def test_the_set() -> None:
    bench = Bench("BTC-USD", "ETH-USD", "BTC-USD")
    assert bench.pairs.last_updates() == {"BTC-USD": None, "ETH-USD": None}
    assert bench.pairs.remove("BTC-USD") is True
    assert bench.pairs.remove("BTC-USD") is False
    bench.pairs.replace(["SOL-USD", "ETH-USD"])
    assert list(bench.pairs.last_updates()) == ["SOL-USD", "ETH-USD"]
    bench.pairs.replace(())
    assert bench.pairs.last_updates() == {}


def test_the_last_update_is_told_and_kept_by_replacing() -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    at = bench.pairs.last_updates()["BTC-USD"]
    assert at is not None
    bench.pairs.replace(["ETH-USD", "BTC-USD"])
    assert bench.pairs.last_updates() == {"ETH-USD": None, "BTC-USD": at}
    bench.pairs.add("BTC-USD")
    assert bench.pairs.last_updates()["BTC-USD"] == at


def test_nobody_takes_pinned_ones_away() -> None:
    pairs = PriorityPairs(lambda *_: None, pinned=("BTC-USD", "ETH-USD"))
    assert pairs.remove("BTC-USD") is False
    pairs.replace(["SOL-USD", "ETH-USD"])
    assert list(pairs.last_updates()) == ["BTC-USD", "ETH-USD", "SOL-USD"]
    pairs.replace(())
    assert list(pairs.last_updates()) == list(pairs.pinned) == ["BTC-USD", "ETH-USD"]
    assert pairs.has("BTC-USD")


def test_what_changed_is_told_at_once_and_then_a_minute_apart() -> None:
    bench = Bench()
    assert bench.pairs.changes() is None
    bench.pairs.add("A-USD")
    bench.pairs.add("A-USD")
    assert bench.pairs.changes() == (["A-USD"], [], 1, 1)
    for number in range(100):
        bench.pairs.replace([f"P{number}-USD"])
        bench.pairs.replace([f"P{number}-USD"])
        assert bench.pairs.changes() is None
    bench.clock.now += priority.TELL_SECONDS
    assert bench.pairs.changes() == (["P99-USD"], ["A-USD"], 100, 1)
    bench.pairs.remove("P99-USD")
    bench.pairs.remove("P99-USD")
    bench.pairs.add("P99-USD")
    bench.clock.now += priority.TELL_SECONDS
    assert bench.pairs.changes() == ([], [], 2, 1)
    assert bench.pairs.changes() is None


@pytest.mark.parametrize("how", ["remove", "replace"])
def test_what_was_held_for_a_pair_that_is_gone_is_not_sent(how: str) -> None:
    bench = Bench("BTC-USD")
    bench.tick(0.0, "a")
    bench.tick(0.5, "b")
    if how == "remove":
        bench.pairs.remove("BTC-USD")
    else:
        bench.pairs.replace(["ETH-USD"])
    assert bench.step(5.0) is None
    assert bench.sent == [(0.0, "a")]


def test_the_thread_sends_what_is_held_and_ends_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "UPDATE_INTERVAL_SECONDS", 0.02)
    sent, last = [], threading.Event()

    def publish(event: str, payload: str, _: str) -> None:
        assert event == EVENT
        sent.append(payload)
        if payload in "bd":
            last.set()

    pairs = PriorityPairs(publish)
    pairs.add("BTC-USD")
    pairs.worker.start()
    for first, held in (("a", "b"), ("c", "d")):
        pairs.tick("BTC-USD", first)
        pairs.tick("BTC-USD", held)
        assert last.wait(5)
        last.clear()
    assert pairs.worker.stop(5)
    assert pairs.worker.stop(0)
    assert "priority-pairs" not in {thread.name for thread in threading.enumerate()}
    assert sent in ([*"abcd"], [*"abd"])  # "c" was overtaken if the second of "b" was not over


def test_a_stop_without_a_start() -> None:
    assert PriorityPairs(lambda *_: None).worker.stop(1)


def test_a_pair_that_is_due_earlier_does_not_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    told = threading.Event()

    def publish(_: str, payload: str, __: str) -> None:
        sent.append(payload)
        if payload == "b2":
            told.set()

    pairs = PriorityPairs(publish)
    pairs.worker.start()
    try:
        for product_id in ("B-USD", "A-USD"):
            pairs.add(product_id)
        monkeypatch.setattr(priority, "UPDATE_INTERVAL_SECONDS", 0.1)
        pairs.tick("B-USD", "b1")  # B is due again soon …
        monkeypatch.setattr(priority, "UPDATE_INTERVAL_SECONDS", 60.0)
        pairs.tick("A-USD", "a1")
        pairs.tick("A-USD", "a2")  # … the thread waits a minute for A …
        time.sleep(0.02)
        pairs.tick("B-USD", "b2")
        assert told.wait(5)
        assert sent == ["b1", "a1", "b2"]  # … and B has left
    finally:
        assert pairs.worker.stop(5)
