"""Points by the second become points by 10 s and by 5 minutes; holes stay holes; it is bounded."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hub.fanout.latency import Latency, Stage, percentile
from hub.rings import NUMBERS, SERIES, STEPS, Point, Rings, merged, point

START = 1_800_000_000  # a whole multiple of 300


def second(time: int, **values: float) -> Point:
    numbers = {**dict.fromkeys(NUMBERS, 0), **values}
    return point(time, numbers, {})


def filled(count: int, **values: float) -> Rings:
    rings = Rings()
    for number in range(count):
        rings.add(second(START + number, **values))
    return rings


def histogram(*milliseconds: float) -> Counter[int]:
    latency = Latency(lambda: 0.0)
    for value in milliseconds:
        latency.note(Stage.ROUND_TRIP, value, 0.0)
    return latency.cut()[Stage.ROUND_TRIP]


def test_nothing_was_seen_yet() -> None:
    for step in STEPS:
        assert Rings().table(step) == ([], {name: [] for name in SERIES})
        assert Rings().running(step) is None


def test_each_ring_holds_what_it_is_for_and_no_more() -> None:
    rings, end = Rings(), 300 * 290 + 7
    for number in (*range(0, end - 400, 10), *range(end - 400, end)):
        rings.add(second(START + number))
    for step, size in STEPS.items():
        times, series = rings.table(step)
        assert len(times) == size
        assert all(time % step == 0 for time in times)
        assert times == list(range(times[0], times[-1] + 1, step))
        assert {len(values) for values in series.values()} == {size}
        assert times[-1] == (START + end - step) // step * step
    held = [item for ring in rings._rings.values() for item in ring if item.counts is not None]
    assert len(held) <= 10 + 30
    assert not [item for item in rings._rings[300] if item.counts is not None]  # nothing is made of them


def test_rates_are_means_and_of_the_others_the_last_or_the_worst() -> None:
    points = [
        second(START + number, ticks_per_second=float(number), clients=number % 7, connected=20 + number % 3,
               live=300 - number, quiet=number, trouble=number % 5, open_gaps=9 - number,
               loop_lag_ms=float(number == 4))
        for number in range(10)
    ]  # fmt: skip
    found = merged(START, points)
    assert (found.time, found.seconds) == (START, 10)
    expected = {
        "messages_per_second": 0.0, "ticks_per_second": 4.5, "clients": 2, "connected": 20, "live": 291, "quiet": 9,
        "trouble": 4, "open_gaps": 9, "loop_lag_ms": 1.0,
    }  # fmt: skip
    assert {name: found.values[name] for name in expected} == expected


def test_a_mean_weighs_by_the_seconds_that_were_seen() -> None:
    whole = merged(START, [second(START + number, ticks_per_second=10.0) for number in range(10)])
    part = merged(START + 10, [second(START + 10, ticks_per_second=21.0)])
    assert merged(START, [whole, part]).values["ticks_per_second"] == 11.0


def test_percentiles_are_those_of_all_values_and_no_mean_of_percentiles() -> None:
    rings = Rings()
    for number in range(300):
        values = [1.0] * 99 + ([1_000.0] * 20 if number == 5 else [2.0])
        rings.add(point(START + number, dict.fromkeys(NUMBERS, 0), {"round_trip": histogram(*values)}))
    by_second = rings.table(1)[1]["round_trip_p99_ms"]
    assert sum((value or 0) > 900 for value in by_second) == 1
    everything = histogram(*[1.0] * 99 * 300, *[2.0] * 299, *[1_000.0] * 20)
    for step in (10, 300):
        _, series = rings.table(step)
        assert series["exchange_to_hub_p50_ms"][0] is None
    assert rings.table(300)[1]["round_trip_p99_ms"] == [percentile(everything, 99)]
    assert (rings.table(10)[1]["round_trip_p99_ms"][0] or 0) > 900


def test_what_was_not_seen_is_null() -> None:
    rings = filled(20, live=5)
    for time in (START + 50, START + 51):
        rings.add(second(time, live=6))
    times, series = rings.table(1)
    assert times == list(range(START, START + 52))
    assert series["live"] == [5] * 20 + [None] * 30 + [6] * 2
    rings.add(second(START + 60, live=7))
    assert rings.table(10)[1]["live"] == [5, 5, None, None, None, 6]
    assert rings.running(10) == {"time": START + 60, "values": {**second(0, live=7).values}}


def test_since_gives_only_what_is_after_it() -> None:
    rings = filled(30)
    rings.add(second(START + 40))
    assert rings.table(1, START + 27)[0] == list(range(START + 28, START + 41))
    times, series = rings.table(1, START + 29.5)
    assert (times[0], series["live"][0]) == (START + 30, None)  # a hole that begins right there is one, too
    assert rings.table(1, START + 40) == ([], {name: [] for name in SERIES})
    assert rings.table(1, 5.0)[0] == rings.table(1)[0]
    assert rings.table(10, START)[0] == [START + 10, START + 20]


def test_what_is_being_made_can_be_seen() -> None:
    rings = filled(47, live=3, ticks_per_second=2.0)
    assert rings.running(1) is None
    ten, day = rings.running(10), rings.running(300)
    assert ten is not None
    assert day is not None
    assert (ten["time"], ten["values"]["live"]) == (START + 40, 3)
    assert (day["time"], day["values"]["ticks_per_second"]) == (START, 2.0)


def test_a_clock_that_was_set_back_writes_anew_what_it_passes_again() -> None:
    rings = filled(40, live=1)
    for number in range(25, 30):
        rings.add(second(START + number, live=2))
    times, series = rings.table(1)
    assert times[-1] == START + 29
    assert series["live"] == [1] * 25 + [2] * 5
    assert rings.table(10)[1]["live"] == [1, 1, 2]


def test_what_was_kept_comes_back_below_what_is_new() -> None:
    old, rings = filled(45, live=1), filled(0)
    rings.add(second(START + 44, live=2))
    rings.add(second(START + 52, live=2))
    copies: dict[int, list[Point]] = {step: [] for step in STEPS}
    for step, item in old.not_kept():
        copies[step].append(Point(item.time, item.seconds, item.values, Counter(), kept=True))  # type: ignore[arg-type]
    for step in reversed(STEPS):
        rings.restore(step, copies[step], START + 60.0)
    times, series = rings.table(1)
    assert (times[0], times[-1]) == (START, START + 52)
    assert series["live"] == [1] * 44 + [2] + [None] * 7 + [2]
    assert [(step, item.time - START) for step, item in rings.not_kept()] == [(1, 44), (1, 52), (10, 40)]
    assert rings.table(10)[1]["live"] == [1, 1, 1, 1, 2]
    restored: Any = Rings()
    restored.restore(1, [second(START + 99)], START + 60.0)
    assert restored.table(1)[0] == []  # of a clock that was fast
