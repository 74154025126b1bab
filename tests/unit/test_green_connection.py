"""Turns of connections: address by address, and everybody else in between."""

from __future__ import annotations

import time

import eventlet
import pytest

from hub.green_connection import ROUND_SECONDS, Turns


@pytest.fixture
def turns() -> Turns:
    return Turns()


def work(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_addresses_take_turns(turns: Turns) -> None:
    order: list[str] = []
    done = eventlet.Event()
    for whose in "aaab":
        turns.call(whose, lambda whose=whose: order.append(whose))  # type: ignore[misc]
    turns.call("a", lambda: done.send(None))
    done.wait()
    assert "".join(order) == "abaa"


def test_the_loop_goes_round_however_many_wait(turns: Turns) -> None:
    rounds = 0

    def other() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            eventlet.sleep(0)

    def pipelined() -> None:
        for _ in range(20):
            turns.wait("a")
            work(ROUND_SECONDS / 10)

    running = eventlet.spawn(other)
    for thread in [eventlet.spawn(pipelined) for _ in range(10)]:
        thread.wait()
    running.kill()
    assert rounds >= 20  # 200 turns, about 10 a round


def test_who_is_ended_while_it_waits_has_no_turn(turns: Turns) -> None:
    threads = [eventlet.spawn(turns.wait, "a") for _ in range(3)]
    eventlet.sleep(0)
    turns.wait("b")
    late = eventlet.spawn(turns.wait, "a")
    eventlet.spawn_after(0, late.kill)
    with pytest.raises(eventlet.greenlet.GreenletExit):
        late.wait()
    for thread in threads:
        thread.wait()
    turns.wait("a")  # and the queue goes on


def test_a_bug_in_one_turn_does_not_take_those_of_others(turns: Turns) -> None:
    def bug() -> None:
        raise ValueError("a bug")

    turns.call("a", bug)
    turns.call("a", bug)
    with eventlet.Timeout(5):
        turns.wait("b")
        turns.wait("a")
