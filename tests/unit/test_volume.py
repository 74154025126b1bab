"""Unusual volume: the ring of buckets against a recount of every trade."""

import pickle
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.detect.volume import BUCKETS, HISTORY, MIN_HISTORY, VolumeDetector, VolumeWindow

WINDOW = 60.0  # seconds: one bucket is one second, and every number below is exact in binary
START = 1_000.0

# (seconds since the trade before, in quarters; size), with gaps of up to two windows
trades = st.lists(st.tuples(st.integers(0, 480), st.integers(0, 50)), min_size=1, max_size=80)


def played(steps: list[tuple[int, int]]) -> Iterator[tuple[VolumeWindow, list[tuple[float, float]], float]]:
    """Yield (window, every trade so far as (time, size), now) after each trade."""
    window, seen, now = VolumeWindow(WINDOW, START), [], START
    for quarters, size in steps:
        now += quarters / 4
        window.add(float(size), now)
        seen.append((now, float(size)))
        yield window, seen, now


@given(trades)
def test_the_running_window_equals_a_recount_within_one_bucket(steps: list[tuple[int, int]]) -> None:
    for window, seen, now in played(steps):
        assert window.current == sum(size for at, size in seen if int(at) > int(now) - BUCKETS)
        full = sum(size for at, size in seen if at > now - WINDOW)
        shorter = sum(size for at, size in seen if at > now - WINDOW + WINDOW / BUCKETS)
        assert shorter <= window.current <= full


@given(trades)
def test_the_mean_is_that_of_the_last_full_windows(steps: list[tuple[int, int]]) -> None:
    for window, seen, now in played(steps):
        full = int((int(now) - START) // WINDOW)
        if full < MIN_HISTORY:
            assert window.mean() is None
            continue
        totals = [
            sum(size for at, size in seen if START + number * WINDOW <= at < START + (number + 1) * WINDOW)
            for number in range(max(0, full - HISTORY), full)
        ]
        assert window.mean() == pytest.approx(sum(totals) / len(totals))


def test_volume_falls_out_of_the_window_by_time_alone() -> None:
    window = VolumeWindow(WINDOW, START)
    window.add(5.0, START)
    window.advance(START + 59.9)
    assert window.current == 5.0
    window.advance(START + 60.0)
    assert window.current == 0.0


def test_a_window_of_five_minutes_has_buckets_of_five_seconds() -> None:
    window = VolumeWindow(300.0, 1_000.0)
    window.add(5.0, 1_000.0)
    window.add(7.0, 1_004.0)
    window.add(1.0, 1_005.0)
    window.advance(1_299.9)
    assert window.current == 13.0
    window.advance(1_300.0)
    assert window.current == 1.0
    window.advance(1_305.0)
    assert window.current == 0.0


def test_the_numbers_of_windows() -> None:
    assert (HISTORY, MIN_HISTORY) == (12, 3)


def test_rounding_never_adds_up() -> None:
    window = VolumeWindow(WINDOW, START)
    for step in range(20_000):
        window.add(0.1, START + step / 10)
    window.advance(START + 2_000.0 + WINDOW)
    assert window.current == 0.0


def test_memory_is_bounded_by_nothing_that_comes_in() -> None:
    def size_after(count: int) -> int:
        window = VolumeWindow(WINDOW, START)
        for step in range(count):
            window.add(1.0 + step % 7, START + step / 2)
        return len(pickle.dumps(window))

    assert size_after(20_000) <= size_after(2_000) * 1.1


def test_a_very_long_silence_costs_no_more_than_a_long_one_and_leaves_nothing() -> None:
    window = VolumeWindow(WINDOW, START)
    for step in range(400):
        window.add(1.0, START + step)
    window.advance(1e15)  # a step a bucket would take weeks
    assert (window.current, window.mean()) == (0.0, 0.0)
    window.add(3.0, 1e15)
    window.add(2.0, 1e15)
    assert window.current == 5.0


def test_a_silence_just_shorter_than_the_history_is_counted_window_by_window() -> None:
    window = VolumeWindow(WINDOW, START)
    window.add(12.0, START)
    window.advance(START + HISTORY * WINDOW)
    assert window.mean() == 1.0
    window.advance(START + (HISTORY + 1) * WINDOW)
    assert window.mean() == 0.0


# -- alerts --------------------------------------------------------------------------------------------


def detector(threshold: float = 1.5, cooldown_seconds: float = WINDOW) -> VolumeDetector:
    return VolumeDetector(WINDOW, threshold, cooldown_seconds)


def usual(detecting: VolumeDetector, windows: int, product_id: str = "BTC-USD") -> float:
    """Trade 1 a second for that many full windows; return the second after them."""
    for step in range(int(windows * WINDOW)):
        assert detecting.trade(product_id, 1.0, START + step) is None
    return START + windows * WINDOW


def test_an_alert_names_what_it_compares() -> None:
    detecting = detector()
    now = usual(detecting, 4)
    alert = detecting.trade("BTC-USD", 61.0, now)
    assert alert is not None
    # the running window: 59 of the seconds before, and this trade
    assert alert == ("BTC-USD", 120.0, 60.0, 1.5, 2.0)


@pytest.mark.parametrize(("size", "fires"), [(30.875, False), (31.0, True)])
def test_it_fires_at_the_threshold_and_not_below(size: float, fires: bool) -> None:
    detecting = detector()
    now = usual(detecting, 4)
    assert (detecting.trade("BTC-USD", size, now) is not None) is fires


@pytest.mark.parametrize(("windows", "fires"), [(MIN_HISTORY - 1, False), (MIN_HISTORY, True)])
def test_three_full_windows_are_needed(windows: int, fires: bool) -> None:
    detecting = detector()
    now = usual(detecting, windows)
    assert (detecting.trade("BTC-USD", 1e6, now) is not None) is fires


def test_a_spike_is_one_alert_a_cooldown() -> None:
    detecting = detector(cooldown_seconds=30.0)
    begun = usual(detecting, 4)
    fired = [begun + step for step in range(90) if detecting.trade("BTC-USD", 1000.0, begun + step) is not None]
    assert fired == [begun, begun + 30.0, begun + 60.0]


def test_no_cooldown_is_an_alert_a_trade() -> None:
    detecting = detector(cooldown_seconds=0.0)
    begun = usual(detecting, 4)
    assert [detecting.trade("BTC-USD", 1000.0, begun) is not None for _ in range(3)] == [True] * 3


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=200), st.sampled_from([1.0, 30.0, 60.0]))
def test_alerts_are_never_closer_than_the_cooldown(steps: list[tuple[int, int]], cooldown_seconds: float) -> None:
    detecting, now, fired = detector(cooldown_seconds=cooldown_seconds), START, []
    for seconds, size in steps:
        now += seconds
        alert = detecting.trade("BTC-USD", float(size), now)
        if alert is not None:
            assert alert.ratio == alert.current_vol / alert.avg_vol >= alert.threshold
            fired.append(now)
    assert all(later - earlier >= cooldown_seconds for earlier, later in pairwise(fired))
    assert all(at - START >= MIN_HISTORY * WINDOW for at in fired)


def test_a_product_that_was_silent_for_all_windows_raises_none() -> None:
    detecting = detector()
    assert detecting.trade("BTC-USD", 0.0, START) is None
    assert detecting.trade("BTC-USD", 1e6, START + 100 * WINDOW) is None


# -- what was not proved ---------------------------------------------------------------------------------


def test_an_outage_is_no_quiet_market() -> None:
    detecting = detector()
    now = usual(detecting, 4)
    detecting.doubt("BTC-USD", now)
    now += 5 * WINDOW + 13  # nothing came
    for step in range(int(6 * WINDOW)):
        assert detecting.trade("BTC-USD", 1.0, now + step) is None
    alert = detecting.trade("BTC-USD", 31.0, now + 6 * WINDOW)  # it is still known what is usual
    assert alert is not None
    assert alert.avg_vol == 60.0


def test_windows_that_ended_before_it_was_noticed_count_for_nothing() -> None:
    detecting = detector()
    now = usual(detecting, 4)
    window = detecting._windows["BTC-USD"]
    assert detecting.trade("BTC-USD", 1.0, now + 3 * WINDOW) is None  # as if the market had been quiet
    mean = window.mean()
    assert mean is not None
    assert mean < 40
    detecting.doubt("BTC-USD", now)
    assert window.mean() == 60.0


def test_a_trade_that_proves_nothing_ends_no_doubt() -> None:
    detecting = detector()
    now = usual(detecting, 4)
    detecting.doubt("BTC-USD", now)
    for step in range(int(3 * WINDOW)):  # one in ten comes
        assert step % 10 or detecting.trade("BTC-USD", 1.0, now + step, proved=False) is None
    assert detecting._windows["BTC-USD"].mean() == 60.0
    assert detecting.trade("BTC-USD", 1.0, now + 3 * WINDOW) is None
    assert detecting._windows["BTC-USD"].doubted is False


def test_a_pause_within_a_window_costs_that_window_alone() -> None:
    window = VolumeWindow(WINDOW, START)
    for step in range(int(8 * WINDOW)):
        if step == 4 * WINDOW + 30:
            window.doubt(START + step - 2)
        if step == 4 * WINDOW + 33:
            window.prove(START + step)
        window.add(1.0, START + step)
    # four before it, and three from the 33rd second on
    assert [volume for _, volume in window._history] == [60.0] * 7


def test_what_never_traded_can_not_be_doubted() -> None:
    detecting = detector()
    detecting.doubt("BTC-USD", START)
    assert detecting.products() == []


@given(st.lists(st.tuples(st.integers(1, 200), st.sampled_from(["trade", "unproved", "doubt"])), max_size=60))
def test_nothing_unproved_is_in_the_mean(steps: list[tuple[int, str]]) -> None:
    window, now, doubted = VolumeWindow(WINDOW, START), START, [0.0]
    for seconds, what in steps:
        now += seconds
        if what == "doubt":
            window.advance(now)
            window.doubt(now - 1)
            doubted.append(now)
        else:
            if what == "trade" and window.doubted:
                window.prove(now)
            window.add(1.0, now)
        for end, _ in window._history:
            assert not any(end - BUCKETS < at < end for at in doubted)


def test_products_do_not_know_of_each_other() -> None:
    detecting = detector()
    now = usual(detecting, 4)
    usual(detecting, 4, "ETH-USD")
    assert detecting.trade("BTC-USD", 1000.0, now) is not None
    assert detecting.trade("ETH-USD", 1000.0, now) is not None
    assert detecting.trade("SOL-USD", 1000.0, now) is None
