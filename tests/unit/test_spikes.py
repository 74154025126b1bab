"""Price spikes: examples of each rule, and the ring of buckets against a recount of every price."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.detect.spikes import BUCKETS, PriceSpike, PriceWindow, SpikeDetector

WINDOW = 30.0  # seconds: one bucket is one second
START = 1_000.0

# (seconds since the price before, in quarters; price), with gaps of up to two windows
prices = st.lists(st.tuples(st.integers(0, 240), st.integers(50, 150)), min_size=1, max_size=80)


def sweep(detector: SpikeDetector, now: float) -> list[PriceSpike]:
    """Return what time alone ends."""
    found = [detector.look(product_id, now) for product_id in detector.spiking()]
    return [spike for spike in found if spike is not None]


def play(detector: SpikeDetector, *steps: tuple[float, float]) -> list[PriceSpike]:
    """Return what the prices (seconds after START, price) bring."""
    found = [detector.trade("BTC-USD", price, START + at) for at, price in steps]
    return [spike for spike in found if spike is not None]


@given(prices)
def test_the_window_equals_a_recount_within_one_bucket(steps: list[tuple[int, int]]) -> None:
    window, seen, now = PriceWindow(WINDOW), [], START
    for quarters, price in steps:
        now += quarters / 4
        window.add(float(price), now)
        seen.append((now, price))
        inside = [price for at, price in seen if int(at) > int(now) - BUCKETS]
        assert (window.low, window.high) == (min(inside), max(inside))


@given(prices)
def test_starts_and_ends_take_turns_and_a_start_is_large_enough(steps: list[tuple[int, int]]) -> None:
    detector, now, told = SpikeDetector(5.0, WINDOW), START, []
    for quarters, price in steps:
        now += quarters / 4
        spike = detector.trade("BTC-USD", float(price), now)
        if spike is not None:
            told.append(spike)
    told += sweep(detector, now + WINDOW)
    assert [spike.event_type for spike in told] == ["spike_start", "momentum_end"] * (len(told) // 2)
    for start, end in zip(told[::2], told[1::2], strict=True):
        assert abs(start.pct_change) >= 5.0 - 1e-9
        assert (start.pct_change > 0) == (start.spike_type == "pump") == (start.new_price > start.old_price)
        assert (end.spike_type, end.old_price) == (start.spike_type, start.old_price)
        assert abs(end.peak_price - end.old_price) >= abs(start.new_price - start.old_price)


@given(prices)
def test_what_never_moves_so_far_is_no_spike(steps: list[tuple[int, int]]) -> None:
    detector, now = SpikeDetector(201.0, WINDOW), START  # from 50 to 150 are 200 %
    for quarters, price in steps:
        now += quarters / 4
        assert detector.trade("BTC-USD", float(price), now) is None
    assert sweep(detector, now + 1e6) == []


def test_a_pump_that_comes_back_by_a_third() -> None:
    start, end = play(SpikeDetector(5.0, WINDOW), (0, 100), (1, 104), (2, 106), (3, 109), (4, 107), (5, 106), (6, 106))
    assert start == PriceSpike("BTC-USD", "pump", "spike_start", pytest.approx(6.0), 100, 106, 106, 0.0)
    assert end == PriceSpike("BTC-USD", "pump", "momentum_end", pytest.approx(6.0), 100, 106, 109, 3.0)


def test_a_dump_that_finds_no_new_low_for_a_fifth_of_the_window() -> None:
    start, end = play(SpikeDetector(5.0, WINDOW), (0, 100), (1, 95), (6.9, 95), (7, 94.9), (12.9, 95), (13, 95))
    assert (start.spike_type, start.pct_change) == ("dump", pytest.approx(-5.0))
    assert (end.event_type, end.peak_price, end.new_price, end.seconds) == ("momentum_end", 94.9, 95, 12.0)


def test_it_ends_by_time_alone_where_no_price_comes() -> None:
    detector = SpikeDetector(5.0, WINDOW)
    assert len(play(detector, (0, 100), (1, 106))) == 1
    assert sweep(detector, START + 6.9) == []
    (end,) = sweep(detector, START + 7.0)
    assert (end.event_type, end.new_price) == ("momentum_end", 106)
    assert sweep(detector, START + 100) == []


def test_a_move_that_takes_longer_than_the_window_is_none() -> None:
    assert play(SpikeDetector(5.0, WINDOW), *[(15 * step, 100 + 2 * step) for step in range(20)]) == []


def test_the_next_spike_is_measured_from_where_the_last_one_ended() -> None:
    detector = SpikeDetector(5.0, WINDOW)
    steps = [(0, 100), (1, 106), (2, 104)]  # over, at 104
    assert len(play(detector, *steps, (3, 104), (4, 109))) == 2  # 9 % above the old low, which is forgotten
    (again,) = play(detector, (5, 109.2))
    assert (again.event_type, again.old_price) == ("spike_start", 104)


def test_of_two_moves_the_larger_one_counts() -> None:
    (spike,) = play(SpikeDetector(10.0, WINDOW), (0, 105), (1, 96), (2, 115))[-1:]
    assert (spike.spike_type, spike.old_price) == ("pump", 96)


def test_products_that_left_are_forgotten() -> None:
    detector = SpikeDetector(5.0, WINDOW)
    play(detector, (0, 100), (1, 106))
    detector.keep(["ETH-USD"])
    assert sweep(detector, START + 100) == []
    assert play(detector, (101, 200)) == []  # of the old price nothing is known


def test_memory_a_product_is_bounded() -> None:
    window = PriceWindow(WINDOW)
    size = lambda: sys.getsizeof(window._lows) + sys.getsizeof(window._highs)  # noqa: E731
    before = size()
    for number in range(10_000):
        window.add(100.0 + number % 7, START + number * 0.37)
    assert size() == before < 1_000
