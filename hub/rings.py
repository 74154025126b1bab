"""The last five minutes by the second, the last hour by 10 s, the last day by 5 minutes. Times: epoch seconds.

A coarser point is made of the finer ones of its time, as soon as that is over: means of rates, percentiles of merged
histograms, and of the others what a reader looks for, the last or the worst.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.fanout.latency import Stage, percentile

STEPS = {1: 300, 10: 360, 300: 288}  # step in seconds → points
COARSEST = 300
RANGES = {"5m": 1, "1h": 10, "24h": 300}
PERCENTILES = (50, 99)

Number = float | int | None


def _last(values: Sequence[float]) -> float:
    return values[-1]


NUMBERS: dict[str, Callable[[Sequence[float]], float] | None] = {  # None: the mean
    "messages_per_second": None,
    "ticks_per_second": None,
    "clients": _last,
    "connected": min,
    "live": _last,
    "quiet": _last,
    "trouble": max,
    "open_gaps": max,
    "loop_lag_ms": max,
}
SERIES = (*NUMBERS, *(f"{stage}_p{percent}_ms" for stage in Stage for percent in PERCENTILES))


@dataclass(slots=True, eq=False)
class Point:
    """What was so from ``time`` on, for one step; ``seconds`` of them were seen."""

    time: int
    seconds: int
    values: dict[str, Number]  # by series
    counts: dict[str, Counter[int]] | None  # stage → histogram; None once no coarser point is to be made
    kept: bool = False  # whether the store has it


def point(time: int, numbers: Mapping[str, Number], counts: Mapping[str, Counter[int]], seconds: int = 1) -> Point:
    """Return a point; ``numbers`` are those of ``NUMBERS``."""
    values = dict(numbers)
    for stage in Stage:
        histogram = counts.get(stage, Counter())
        values.update({f"{stage}_p{percent}_ms": percentile(histogram, percent) for percent in PERCENTILES})
    return Point(time, seconds, values, dict(counts))


def merged(time: int, points: Sequence[Point]) -> Point:
    """Return the coarser point of these, which are of its time, the oldest first; at least one."""
    seconds = sum(item.seconds for item in points)
    numbers: dict[str, Number] = {}
    for name, how in NUMBERS.items():
        seen = [(value, item.seconds) for item in points if (value := item.values.get(name)) is not None]
        if not seen:
            numbers[name] = None
        elif how is not None:
            numbers[name] = how([value for value, _ in seen])
        else:
            weight = sum(length for _, length in seen)
            numbers[name] = round(sum(value * length for value, length in seen) / weight, 1)
    counts: dict[str, Counter[int]] = {}
    for item in points:
        for stage, histogram in (item.counts or {}).items():
            counts.setdefault(stage, Counter()).update(histogram)
    return point(time, numbers, counts, seconds)


class Rings:
    """Owner of the points; thread-safe."""

    def __init__(self) -> None:
        self._rings: dict[int, deque[Point]] = {step: deque(maxlen=size) for step, size in STEPS.items()}
        self._lock = threading.Lock()

    def add(self, item: Point) -> None:
        """Take in the point of a second; where the clock was set back, it takes the place of what was there."""
        with self._lock:
            for step, ring in self._rings.items():
                while ring and ring[-1].time + step > item.time:
                    ring.pop()
            self._rings[1].append(item)
            for step in list(STEPS)[1:]:
                self._close(step, item.time + 1)

    def _close(self, step: int, end: int) -> None:
        """Make the points of a coarser ring whose time is over."""
        cells: dict[int, list[Point]] = {}
        for item in self._open(step):
            cells.setdefault(item.time // step * step, []).append(item)
        for time, points in cells.items():
            if time + step <= end:
                self._rings[step].append(made := merged(time, points))
                for item in points if step != COARSEST else [*points, made]:
                    item.counts = None

    def _open(self, step: int) -> list[Point]:
        """Return the finer points that are in none of the coarser ring yet, the oldest first."""
        coarser, finer = self._rings[step], self._rings[_finer(step)]
        done = coarser[-1].time + step if coarser else float("-inf")
        found: list[Point] = []
        for item in reversed(finer):
            if item.time < done:
                break
            found.append(item)
        return found[::-1]

    def restore(self, step: int, points: Iterable[Point], now: float) -> None:
        """Take in the points that a process before this one kept; what is here already stays, and is to be kept."""
        with self._lock:
            for item in (mine := self._rings[step]):
                item.kept = False
            found = {item.time: item for item in points if item.time <= now}
            found.update((item.time, item) for item in mine)
            self._rings[step] = deque((found[time] for time in sorted(found)), STEPS[step])
            for item in self._rings[COARSEST]:
                item.counts = None
            for coarser in list(STEPS)[1:]:
                still_open = set(map(id, self._open(coarser)))
                for item in self._rings[_finer(coarser)]:
                    if id(item) not in still_open:
                        item.counts = None

    def not_kept(self) -> list[tuple[int, Point]]:
        """Return (step, point) of what the store does not have."""
        with self._lock:
            return [(step, item) for step, ring in self._rings.items() for item in ring if not item.kept]

    def table(self, step: int, since: float | None = None) -> tuple[list[int], dict[str, list[Number]]]:
        """Return times, a step apart, and of each series a value for each; None where nothing was seen."""
        with self._lock:
            ring = self._rings[step]
            oldest = ring[-1].time - (STEPS[step] - 1) * step if ring else 0
            points = {item.time: item.values for item in ring if item.time >= oldest}
        if since is not None:
            points = {time: values for time, values in points.items() if time > since}
        times = list(range(min(points), max(points) + 1, step)) if points else []
        if since is not None and since >= oldest and times:  # a hole right after it is one, too
            times = list(range(max(oldest, int(since) // step * step + step), times[-1] + 1, step))
        nothing: dict[str, Number] = {}
        return times, {name: [points.get(time, nothing).get(name) for time in times] for name in SERIES}

    def running(self, step: int) -> dict[str, Any] | None:
        """Return the point that is being made, as far as it is: ``time`` and ``values``. None by the second."""
        if step == 1:
            return None
        with self._lock:
            open_points = sorted((item for finer in list(STEPS)[1:] if finer <= step for item in self._open(finer)),
                                 key=lambda item: item.time)  # fmt: skip
            if not open_points:
                return None
            found = merged(open_points[-1].time // step * step, open_points)
        return {"time": found.time, "values": found.values}


def _finer(step: int) -> int:
    steps = list(STEPS)
    return steps[steps.index(step) - 1]
