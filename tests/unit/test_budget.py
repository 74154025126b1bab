import threading

from hub.feed.budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Waiting(threading.Event):
    """Passes the time instead of waiting for it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0.0
        return self.is_set()


def test_connects_are_paced_and_counted_over_a_second() -> None:
    clock = Clock()
    budget, stop = Budget(0.25, clock), Waiting(clock)
    at = []
    for _ in range(5):
        assert budget.wait(stop)
        at.append(clock.now)
    assert at == [100.0, 100.25, 100.5, 100.75, 101.0]
    assert budget.send(stop)
    body = budget.body()
    assert (body["connects"], body["connects_left"], body["next_connect_seconds"]) == (4, 0, 0.25)
    assert (body["messages"], body["messages_left"]) == (1, 99)
    clock.now += 2.0
    assert (budget.body()["connects_left"], budget.body()["messages"]) == (4, 0)


def test_messages_over_the_limit_wait_for_the_next_window() -> None:
    clock = Clock()
    budget, stop = Budget(0.25, clock, messages_per_window=3), Waiting(clock)
    at = []
    for _ in range(7):
        assert budget.send(stop)
        at.append(round(clock.now, 3))
    assert at == [100.0] * 3 + [101.1] * 3 + [102.2]


def test_who_is_stopped_takes_no_turn() -> None:
    clock = Clock()
    budget, stop = Budget(0.25, clock), Waiting(clock)
    stop.set()
    assert not budget.wait(stop)
    assert budget.body()["connects"] == 0
