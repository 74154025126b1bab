"""One thing at a time, in the order of coming, and nobody waits."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from hub.feed import in_turn
from hub.feed.in_turn import InTurn


def test_what_comes_meanwhile_is_done_by_who_is_at_it() -> None:
    turn, done = InTurn(), []

    def first() -> None:
        other = threading.Thread(target=lambda: turn.do(lambda: done.append(2), lambda: done.append(3)))
        other.start()
        other.join(5)  # it does not wait for us
        assert turn.busy
        done.append(1)

    assert turn.do(first)
    assert done == [1, 2, 3]
    assert not turn.busy


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_turn, "MAX_PARTS", 2)
    turn, done = InTurn(), []
    answers = []

    def first() -> None:
        answers.extend(turn.do(lambda number=number: done.append(number)) for number in range(3))

    assert turn.do(first)
    assert (answers, done) == ([True, True, False], [0, 1])


def test_a_part_that_raises_leaves_the_way_free() -> None:
    turn, done = InTurn(), []
    with pytest.raises(ZeroDivisionError):
        turn.do(lambda: done.append(1 // 0))
    assert turn.do(lambda: done.append(1))
    assert done == [1]


def test_threads_keep_their_own_order_and_never_overlap() -> None:
    turn, done, inside = InTurn(), [], []

    def part(name: int, number: int) -> None:
        inside.append(name)
        assert len(inside) == 1
        done.append((name, number))
        inside.pop()

    def bring(name: int) -> None:
        for number in range(0, 2_000, 2):
            turn.do(partial(part, name, number), partial(part, name, number + 1))

    threads = [threading.Thread(target=bring, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for name in range(3):
        assert [number for by, number in done if by == name] == list(range(2_000))
