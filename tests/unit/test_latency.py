"""Histograms of the last minute: percentiles within 5 %, old values gone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout.batch import Message
from hub.fanout.latency import SLOT_SECONDS, STEP, WINDOW_SECONDS, Latency, Stage, percentile

PATHS = ("exchange_to_hub", "hub_to_written", "round_trip")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def noted(*values: float) -> dict[str, float]:
    latency = Latency(Clock())
    for value in values:
        latency.note(Stage.ROUND_TRIP, value, 1_000.0)
    return latency.body()["round_trip"]


def test_before_anything_was_noted() -> None:
    body = Latency(Clock()).body()
    assert tuple(body) == PATHS
    for stage in body.values():
        assert stage == {"count": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None}


def test_percentiles() -> None:
    stage = noted(*range(1, 101))
    assert stage["count"] == 100
    for percent in (50, 95, 99):
        assert stage[f"p{percent}_ms"] == pytest.approx(percent, rel=STEP - 1)


def test_stages_do_not_mix() -> None:
    latency = Latency(Clock())
    latency.note(Stage.EXCHANGE_TO_HUB, 30.0, 1_000.0)
    latency.note(Stage.ROUND_TRIP, 3.0, 1_000.0)
    assert [stage["count"] for stage in latency.body().values()] == [1, 0, 1]


def test_what_was_written_is_timed_from_its_making() -> None:
    latency = Latency(Clock())
    latency.written([Message("e", "1", at=999.98), Message("e", "2", at=999.99)], 1_000.0)
    stage = latency.body()["hub_to_written"]
    assert (stage["count"], stage["p50_ms"]) == (2, pytest.approx(10.0, rel=0.05))
    assert stage["p99_ms"] == pytest.approx(20.0, rel=0.05)


def test_two_clocks_may_disagree() -> None:
    stage = noted(-50.0, -50.0, -50.0, 20.0)
    assert stage["p50_ms"] == pytest.approx(-50.0, rel=0.05)
    assert stage["p99_ms"] == pytest.approx(20.0, rel=0.05)


def test_what_is_hardly_anything_is_0() -> None:
    assert noted(0.0, -0.001, 0.009)["p99_ms"] == 0.0


def test_values_leave_after_a_minute() -> None:
    clock = Clock()
    latency = Latency(clock)
    for second in range(200):
        clock.now = 1_000.0 + second
        latency.note(Stage.ROUND_TRIP, float(second), clock.now)
    held = latency._slots[Stage.ROUND_TRIP]
    assert len(held) <= WINDOW_SECONDS / SLOT_SECONDS + 1
    assert latency.body()["round_trip"]["count"] == pytest.approx(WINDOW_SECONDS, abs=SLOT_SECONDS)
    clock.now += WINDOW_SECONDS + SLOT_SECONDS
    assert latency.body()["round_trip"]["count"] == 0


def test_a_cut_gives_what_was_noted_since_the_last_and_takes_nothing_from_the_minute() -> None:
    clock = Clock()
    latency = Latency(clock)
    assert [total.total() for total in latency.cut().values()] == [0, 0, 0]
    for second in range(1, 100):
        for value in range(second):
            latency.note(Stage.ROUND_TRIP, float(value), clock.now + value / 1_000)
        clock.now += 1.0
        cut = latency.cut()
        assert [total.total() for total in cut.values()] == [0, 0, second]
    assert percentile(cut[Stage.ROUND_TRIP], 50) == pytest.approx(49, rel=STEP - 1)
    assert percentile(cut[Stage.EXCHANGE_TO_HUB], 50) is None
    assert len(latency._slots[Stage.ROUND_TRIP]) <= WINDOW_SECONDS + 2
    assert latency.body()["round_trip"]["count"] == pytest.approx(sum(range(40, 100)), rel=0.05)
    latency.note(Stage.ROUND_TRIP, 1.0, clock.now)
    clock.now += 300.0  # nobody asked
    latency.note(Stage.ROUND_TRIP, 1.0, clock.now)
    assert latency.cut()[Stage.ROUND_TRIP].total() == 1


@given(st.lists(st.floats(-1e7, 1e9, allow_nan=False), min_size=1, max_size=60))
def test_a_percentile_is_right_within_a_step(values: list[float]) -> None:
    stage = noted(*values)
    for percent in (50, 95, 99):
        exact = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
        assert stage[f"p{percent}_ms"] == pytest.approx(exact, rel=STEP - 1, abs=0.012)


def test_since_the_start_nothing_is_lost() -> None:
    clock = Clock()
    latency = Latency(clock)
    noted = 0
    for second in range(200):
        clock.now = 1_000.0 + second
        for _ in range(3):
            latency.note(Stage.ROUND_TRIP, float(second), clock.now)
            noted += 1
        if second % 7 == 0:
            latency.cut()
        if second % 50 == 49:
            latency.body()
        assert latency.since_start()[Stage.ROUND_TRIP].total() == noted
    assert latency.since_start()[Stage.HUB_TO_WRITTEN].total() == 0
