"""What reading one accepted WebSocket may cost the others."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from eventlet.websocket import FailedConnectionError, RFC6455WebSocket
from hypothesis import given
from hypothesis import strategies as st

from hub import green


def reader(*frames: Any, **limits: Any) -> Any:
    """Return a guarded WebSocket that has these frames: (opcode, data so far of its message, whether it ends it)."""
    left = iter(frames)

    def receive(message: Any = None) -> Any:  # noqa: ARG001 - eventlet's signature
        frame = next(left)
        if isinstance(frame, Exception):
            raise frame
        return SimpleNamespace(opcode=frame[0], data=frame[1], finished=frame[2])

    ws = SimpleNamespace(_recv_frame=receive, refusals=[])
    wanted = {"max_bytes": 100, "max_frames": 3, "allow_control": lambda: True} | limits
    green.guard_reading(ws, **wanted, refused=ws.refusals.append)
    return ws


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 70_000))
def test_unmasking_is_that_of_eventlet(data: bytes, mask: bytes, offset: int) -> None:
    expected = RFC6455WebSocket._apply_mask(data, tuple(mask), len(data), offset)
    assert green._unmask(data, tuple(mask), length=len(data), offset=offset) == expected


@pytest.mark.parametrize(
    "frames",
    [
        [(1, [b"x" * 101], True)],
        [(1, [b"x" * 60], False), (1, [b"x" * 60, b"x" * 60], True)],
        [(1, [b""] * number, False) for number in range(1, 5)],
    ],
    ids=["one frame", "fragments that add up", "many fragments"],
)
def test_a_message_that_is_too_large_is_refused(frames: list[Any]) -> None:
    ws = reader(*frames)
    with pytest.raises(FailedConnectionError) as raised:
        _ = [ws._recv_frame() for _ in frames]
    assert raised.value.status == 1009
    assert ws.refusals == ["too_large"]


@pytest.mark.parametrize(("status", "reason"), [(1009, "too_large"), (1002, "frames"), (1007, "frames")])
def test_what_eventlet_refuses_is_told(status: int, reason: str) -> None:
    ws = reader(FailedConnectionError(status, "no"))
    with pytest.raises(FailedConnectionError):
        ws._recv_frame()
    assert ws.refusals == [reason]


def test_messages_one_after_the_other_do_not_add_up() -> None:
    frames = [(1, [b"x" * 90], True)] * 10
    ws = reader(*frames)
    assert [ws._recv_frame().finished for _ in frames] == [True] * 10
    assert ws.refusals == []


def test_control_frames_are_asked_for() -> None:
    ws = reader((9, [b""], True), (8, [b""], True), allow_control=lambda: False)
    with pytest.raises(FailedConnectionError, match="control"):
        ws._recv_frame()
    assert ws._recv_frame().opcode == 8  # one that says goodbye is always allowed


def test_a_reader_that_always_has_data_lets_others_run() -> None:
    ws = reader(*[(1, [b"x"], True)] * 1_000_000)
    turns = []

    def other() -> None:
        while True:
            turns.append(time.monotonic())
            eventlet.sleep(0)

    running = eventlet.spawn(other)
    until = time.monotonic() + 20 * green.TURN_SECONDS
    while time.monotonic() < until:
        ws._recv_frame()
    running.kill()
    assert len(turns) >= 5
