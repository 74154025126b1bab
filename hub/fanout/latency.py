"""How long a tick takes, stage by stage: a histogram a stage, of the last minute in slots of a few seconds.

What leaves the last minute is added to what was since the start, a slot at a time: to note costs nothing more for it.

Stages, in milliseconds:
- ``exchange_to_hub``: from the exchange's time of the trade to the reading of its frame; two clocks, so it can be
  negative;
- ``hub_to_written``: from the publishing of an event to the moment when every client that keeps up has been written to;
- ``round_trip``: from ``sent_at`` of a tick to the answer of a client that samples; one clock.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Protocol

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 5.0
STEP = 1.05  # from one bucket's bound to the next: percentiles are right to 5 %
SMALLEST_MS = 0.01
PERCENTILES = (50, 95, 99)
_LOG_STEP = math.log(STEP)


class Stage(StrEnum):
    """A part of a tick's way."""

    EXCHANGE_TO_HUB = "exchange_to_hub"
    HUB_TO_WRITTEN = "hub_to_written"
    ROUND_TRIP = "round_trip"


class _Timed(Protocol):
    at: float


class Latency:
    """Owner of the histograms; cheap to note in: one logarithm a tick."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: dict[Stage, deque[tuple[float, Counter[int]]]] = {stage: deque() for stage in Stage}
        self._before: dict[Stage, Counter[int]] = {stage: Counter() for stage in Stage}  # what the slots had before
        self._cut_at = float("-inf")

    def note(self, stage: Stage, milliseconds: float, now: float) -> None:
        """Note one value; ``now`` is monotonic."""
        self._slot(stage, now)[bucket(milliseconds)] += 1

    def written(self, messages: Iterable[_Timed], now: float) -> None:
        """Note that these were written."""
        slot = self._slot(Stage.HUB_TO_WRITTEN, now)
        for message in messages:
            slot[bucket((now - message.at) * 1000)] += 1

    def _slot(self, stage: Stage, now: float) -> Counter[int]:
        slots = self._slots[stage]
        if not slots or now - slots[-1][0] >= SLOT_SECONDS:
            slots.append((now, Counter()))
            self._drop_old(stage, now)
        return slots[-1][1]

    def _drop_old(self, stage: Stage, now: float) -> None:
        slots = self._slots[stage]
        while slots and now - slots[0][0] > WINDOW_SECONDS:
            self._before[stage].update(slots.popleft()[1])

    def _last_minute(self, stage: Stage) -> Counter[int]:
        total: Counter[int] = Counter()
        for _, slot in list(self._slots[stage]):
            total.update(slot.copy())  # a copy is made at once; another thread may note meanwhile
        return total

    def cut(self) -> dict[Stage, Counter[int]]:
        """Return what was noted since the last call: the histogram of each stage. For one caller.

        It begins new slots, so that whoever notes does nothing more for it.
        """
        since, self._cut_at = self._cut_at, self._clock()
        found: dict[Stage, Counter[int]] = {}
        for stage, slots in self._slots.items():
            slots.append((self._cut_at, Counter()))
            self._drop_old(stage, self._cut_at)
            total = found[stage] = Counter()
            for at, slot in list(slots)[:-1]:
                if at >= since:
                    total.update(slot.copy())
        return found

    def since_start(self) -> dict[Stage, Counter[int]]:
        """Return the histogram of each stage since the start, which only grows."""
        return {stage: self._before[stage] + self._last_minute(stage) for stage in Stage}

    def body(self) -> dict[str, Any]:
        """Return the stages of ``GET /latency``; percentiles are None where nothing was noted."""
        now = self._clock()
        stages = {}
        for stage in Stage:
            self._drop_old(stage, now)
            total = self._last_minute(stage)
            stages[stage.value] = {
                "count": total.total(), **{f"p{percent}_ms": percentile(total, percent) for percent in PERCENTILES}
            }  # fmt: skip
        return stages


def bucket(milliseconds: float) -> int:
    """Return the bucket of a value: 0 for what is tiny, negative ones for negative values."""
    if abs(milliseconds) < SMALLEST_MS:
        return 0
    index = 1 + int(math.log(abs(milliseconds) / SMALLEST_MS) / _LOG_STEP)
    return index if milliseconds > 0 else -index


def middle_ms(index: int) -> float:
    """Return what stands for the values of a bucket."""
    return math.copysign(SMALLEST_MS * STEP ** (abs(index) - 0.5), index) if index else 0.0


def percentile(total: Counter[int], percent: int) -> float | None:
    """Return a percentile of a histogram in milliseconds, None for an empty one."""
    left = math.ceil(total.total() * percent / 100)
    for index in sorted(total):
        left -= total[index]
        if left <= 0:
            return round(middle_ms(index), 3)
    return None
