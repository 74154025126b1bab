"""A thread with an owner: called again and again, woken, restarted after a bug, stopped in time."""

import threading
import time

import pytest

from hub import worker as module
from hub.worker import Worker


class Steps:
    """Counts its calls, gives what it is told to give; ``after(n)`` waits for the n-th."""

    def __init__(self, *results: float | BaseException | None) -> None:
        self.results = results
        self.at: list[float] = []
        self._called = threading.Condition()

    def __call__(self) -> float | None:
        with self._called:
            self.at.append(time.monotonic())
            self._called.notify_all()
        result = self.results[min(len(self.at), len(self.results)) - 1]
        if isinstance(result, BaseException):
            raise result
        return result

    def after(self, calls: int, seconds: float = 5.0) -> bool:
        with self._called:
            return self._called.wait_for(lambda: len(self.at) >= calls, seconds)


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_is_called_again_after_the_seconds_that_it_asks_for() -> None:
    steps = Steps(0.05)
    worker = Worker("counting", steps)
    worker.start()
    assert "counting" in names()
    assert steps.after(3)
    assert worker.stop(5)
    assert "counting" not in names()
    assert all(later - earlier >= 0.045 for earlier, later in zip(steps.at, steps.at[1:], strict=False))


def test_none_waits_until_it_is_woken() -> None:
    steps = Steps(None)
    worker = Worker("waiting", steps)
    worker.start()
    assert steps.after(1)
    assert not steps.after(2, 0.1)
    worker.wake()
    assert steps.after(2)
    assert not steps.after(3, 0.05)
    assert worker.stop(5)


def test_a_wake_ends_any_wait() -> None:
    steps = Steps(3_600.0)
    worker = Worker("waiting", steps)
    worker.start()
    assert steps.after(1)
    worker.wake()
    assert steps.after(2)
    assert worker.stop(5)


def test_a_wake_during_a_step_is_not_lost() -> None:
    inside, go_on = threading.Event(), threading.Event()
    calls = []

    def step() -> None:
        calls.append(1)
        if len(calls) == 1:
            inside.set()
            assert go_on.wait(5)
        else:
            done.set()

    done = threading.Event()
    worker = Worker("busy", step)
    worker.start()
    assert inside.wait(5)
    worker.wake()
    worker.wake()
    go_on.set()
    assert done.wait(5)
    assert worker.stop(5)
    assert len(calls) == 2


def test_a_wake_before_the_start_does_no_harm() -> None:
    steps = Steps(None)
    worker = Worker("early", steps)
    worker.wake()
    worker.start()
    assert steps.after(1)
    assert worker.stop(5)


def test_a_bug_is_logged_counted_and_the_worker_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.01)
    steps = Steps(RuntimeError("a bug"), SystemExit("which ends a thread as well"), None)
    worker = Worker("buggy", steps)
    worker.start()
    assert steps.after(3)
    assert worker.failures == 2
    assert worker.stop(5)
    assert "bug in worker=buggy" in caplog.text
    assert "RuntimeError: a bug" in caplog.text
    assert "SystemExit: which ends" in caplog.text


def test_after_a_bug_it_is_called_again_when_it_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.15)
    steps = Steps(RuntimeError("a bug"), None)
    worker = Worker("buggy", steps)
    worker.start()
    assert steps.after(2)
    assert worker.stop(5)
    assert 0.14 <= steps.at[1] - steps.at[0] < 0.25


def test_a_bug_that_stays_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.1)
    steps = Steps(RuntimeError("a bug"))
    worker = Worker("buggy", steps)
    worker.start()
    for _ in range(10):
        worker.wake()  # no way around the pause
        time.sleep(0.01)
    assert len(steps.at) <= 2
    assert worker.stop(5)


@pytest.mark.parametrize("result", [None, 3_600.0, RuntimeError("a bug")])
def test_a_stop_ends_every_wait(result: float | Exception | None) -> None:
    steps = Steps(result)
    worker = Worker("stopping", steps)
    worker.start()
    assert steps.after(1)
    begun = time.monotonic()
    assert not worker.stopping
    assert worker.stop(5)
    assert time.monotonic() - begun < 0.5
    assert worker.stopping
    assert worker.stop(0)  # again


def test_a_stop_says_when_the_thread_does_not_end_in_time() -> None:
    go_on = threading.Event()
    worker = Worker("stuck", lambda: go_on.wait(5) or None)
    worker.start()
    assert worker.stop(0.05) is False
    go_on.set()
    assert worker.stop(5)


def test_a_stop_without_a_start() -> None:
    worker = Worker("never", lambda: None)
    assert worker.stop(1)
    assert worker.stopping


def test_a_wait_within_a_step_ends_with_the_stop_and_not_with_a_wake() -> None:
    waited: list[bool] = []
    inside = threading.Event()

    def step() -> None:
        inside.set()
        waited.append(worker.wait(0.1))
        if not waited[-1]:
            waited.append(worker.wait(5))

    worker = Worker("long", step)
    worker.start()
    assert inside.wait(5)
    worker.wake()
    time.sleep(0.15)
    assert worker.stop(5)
    assert waited == [False, True]
