"""When a frame arrived that had to wait to be read."""

from datetime import UTC, datetime

import pytest

from hub.feed.arrival import Arrival

WALL = 1_800_000_000.0


def text(seconds: float) -> str:
    return datetime.fromtimestamp(WALL + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def arrival() -> Arrival:
    """A socket that has brought a frame every half second for 10 s, each read 50 ms after the exchange's time."""
    made = Arrival()
    for step in range(20):
        at = step / 2
        assert made.stamp(text(at - 0.05), WALL + at, 100.0 + at) == 100.0 + at
    return made


def test_a_backlog_is_as_old_as_the_exchange_says(arrival: Arrival) -> None:
    # nothing was read from 9.5 to 19.5; then all that waited is read at once
    for sent in (9.9, 12.0, 15.5, 19.0):
        stamped = arrival.stamp(text(sent - 0.05), WALL + 19.5, 119.5)
        assert stamped == pytest.approx(100.0 + sent, abs=0.01)
    assert arrival.stamp(text(19.44), WALL + 19.5, 119.5) == 119.5  # caught up
    assert arrival.stamp(text(10.0), WALL + 19.6, 119.6) == 119.6  # late, but no backlog any more


def test_a_frame_never_waited_longer_than_the_stall(arrival: Arrival) -> None:
    assert arrival.stamp(text(-500.0), WALL + 19.5, 119.5) == 109.5  # a last ticker sent again, or a clock that moved


def test_catching_up_ends_in_any_case(arrival: Arrival) -> None:
    clock_moved = -300.0
    assert arrival.stamp(text(19.5 + clock_moved), WALL + 19.5, 119.5) == 109.5
    for step in range(1, 11):
        at = 19.5 + step * 0.6
        stamped = arrival.stamp(text(at + clock_moved), WALL + at, 100.0 + at)
        assert stamped in (109.5, 100.0 + at)
    assert stamped == 100.0 + at


def test_a_clock_ahead_of_ours_changes_nothing(arrival: Arrival) -> None:
    assert arrival.stamp(text(300.0), WALL + 19.5, 119.5) == 119.5


def test_without_anything_to_compare_with_the_stall_counts_whole() -> None:
    arrival = Arrival()
    arrival._read_at = 100.0
    assert arrival.stamp(text(0.0), WALL + 5.0, 105.0) == 100.0
