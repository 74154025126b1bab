"""When a loop counts as silent, and that to say so never waits."""

from __future__ import annotations

import sys

import pytest

from hub import loop_watch as module
from hub.loop_watch import LATE_LOOK_SECONDS, MAX_FRAMES, LoopWatch, Silence


def test_a_loop_that_beats_is_never_silent() -> None:
    silence = Silence(100.0)
    assert [silence.look(100.0 + 0.2 * n, 100.0 + 0.2 * n, 0.1) for n in range(100)] == [0.0] * 100


@pytest.mark.parametrize("cpu_seconds", [0.0, 0.2], ids=["blocked", "busy"])
def test_a_loop_that_beats_no_more_is_silent_for_longer_and_longer(cpu_seconds: float) -> None:
    silence = Silence(100.0)
    looks = [silence.look(100.0 + 0.2 * n, 99.9, cpu_seconds) for n in range(1, 5)]
    assert looks == pytest.approx([0.3, 0.5, 0.7, 0.9])
    assert silence.look(101.0, 101.0, cpu_seconds) == 0.0


@pytest.mark.parametrize("beat_at", [100.0, 100.1, 3700.0], ids=["before", "just before", "after"])
def test_a_process_that_was_stopped_was_not_silent(beat_at: float) -> None:
    silence = Silence(100.0)
    assert silence.look(3700.1, beat_at, 0.01) <= LATE_LOOK_SECONDS + 0.01
    assert silence.look(3700.3, beat_at, 0.01) <= LATE_LOOK_SECONDS + 0.21


@pytest.mark.parametrize("beat_at", [100.0, 100.1])
def test_who_was_kept_out_by_c_code_knows_it_afterwards(beat_at: float) -> None:
    assert 4.5 < Silence(100.0).look(105.0, beat_at, 4.9) <= 5.0


def test_a_stack_names_the_innermost_call_first_and_is_bounded() -> None:
    def deep(levels: int) -> str:
        return deep(levels - 1) if levels else module._stack(sys._getframe())

    calls = deep(3 * MAX_FRAMES).split(" < ")
    assert len(calls) == MAX_FRAMES
    assert "<locals>.deep (" in calls[0]
    assert f"({__file__}:" in calls[0]
    assert module._stack(None) == ""


def test_on_native_threads_there_is_nothing_to_watch() -> None:
    watch = LoopWatch(1.0)
    watch.start()
    watch.stop()
    assert (watch.stalls_total, watch.worst_stall_seconds) == (0, 0.0)
