"""When a frame arrived that had to wait to be read."""

from datetime import UTC, datetime

import pytest

from hub.feed.arrival import Arrival

WALL = 1_800_000_000.0


def stamp(arrival: Arrival, time: str, wall: float, now: float) -> float:
    """Stamp a frame that the reader waited for."""
    return arrival.stamp(time, wall, now, now)


def text(seconds: float) -> str:
    return datetime.fromtimestamp(WALL + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def arrival() -> Arrival:
    """A socket that has brought a frame every half second for 10 s, each read 50 ms after the exchange's time."""
    made = Arrival()
    for step in range(20):
        at = step / 2
        assert stamp(made, text(at - 0.05), WALL + at, 100.0 + at) == 100.0 + at
    return made


def test_a_backlog_is_as_old_as_the_exchange_says(arrival: Arrival) -> None:
    # nothing was read from 9.5 to 19.5; then all that waited is read at once
    for sent in (9.9, 12.0, 15.5, 19.0):
        stamped = stamp(arrival, text(sent - 0.05), WALL + 19.5, 119.5)
        assert stamped == pytest.approx(100.0 + sent, abs=0.01)
    assert stamp(arrival, text(19.44), WALL + 19.5, 119.5) == 119.5  # caught up
    assert stamp(arrival, text(10.0), WALL + 19.6, 119.6) == 119.6  # late, but no backlog any more


def test_a_frame_never_waited_longer_than_the_stall(arrival: Arrival) -> None:
    assert stamp(arrival, text(-500.0), WALL + 19.5, 119.5) == 109.5  # a last ticker sent again, or a clock that moved


def test_catching_up_ends_in_any_case(arrival: Arrival) -> None:
    clock_moved = -300.0
    assert stamp(arrival, text(19.5 + clock_moved), WALL + 19.5, 119.5) == 109.5
    for step in range(1, 11):
        at = 19.5 + step * 0.6
        stamped = stamp(arrival, text(at + clock_moved), WALL + at, 100.0 + at)
        assert stamped in (109.5, 100.0 + at)
    assert stamped == 100.0 + at


def test_a_clock_ahead_of_ours_changes_nothing(arrival: Arrival) -> None:
    assert stamp(arrival, text(300.0), WALL + 19.5, 119.5) == 119.5


def test_without_anything_to_compare_with_the_stall_counts_whole() -> None:
    arrival = Arrival()
    arrival._read_at = 100.0
    assert stamp(arrival, text(0.0), WALL + 5.0, 105.0) == 100.0
    assert arrival.stamp(text(0.0), WALL + 5.1, 105.1, 105.0) == 100.0
    assert arrival.stamp(text(0.0), WALL + 5.2, 105.2, 105.2) == 105.2  # it had to wait: nothing is left in the buffers
    assert not arrival.catching_up


def test_a_hub_slower_than_its_feed_does_not_make_old_evidence_fresh(arrival: Arrival) -> None:
    # the last wait was at 9.5; since then the reader is never idle, and falls behind by half of the time
    for step in range(1, 400):
        at, sent = 9.5 + step * 0.05, 9.5 + step * 0.025
        stamped = arrival.stamp(text(sent - 0.05), WALL + at, 100.0 + at, 109.5)
        assert stamped == pytest.approx(100.0 + sent if at - 9.5 > 0.3 else 100.0 + at, abs=0.11), step
    assert stamp(arrival, text(at), WALL + at + 0.05, 100.0 + at + 0.05) == 100.0 + at + 0.05
    assert not arrival.catching_up


def test_a_reader_that_never_waits_but_is_not_late_is_stamped_fresh(arrival: Arrival) -> None:
    for step in range(1, 200):
        at = 9.5 + step * 0.05
        assert arrival.stamp(text(at - 0.05), WALL + at, 100.0 + at, 109.5) == pytest.approx(100.0 + at, abs=0.001)


def test_a_long_backlog_is_not_given_up_while_it_shrinks(arrival: Arrival) -> None:
    # 60 s of backlog, read in 20 s, with waits for the network in between
    for step in range(200):
        at, sent = 69.5 + step * 0.1, 9.5 + step * 0.35
        assert stamp(arrival, text(sent - 0.05), WALL + at, 100.0 + at) == pytest.approx(100.0 + sent, abs=0.11)


def test_a_last_ticker_sent_again_is_no_sample_of_what_is_usual() -> None:
    arrival = Arrival()
    assert arrival.stamp(text(-3_600.0), WALL, 100.0, 100.0, False) == 100.0
    assert arrival.stamp(text(0.15), WALL + 0.2, 100.2, 100.2) == 100.2  # a heartbeat
    # busy from then on, and falling behind by half of the time
    for step in range(10, 100):
        at, sent = step * 0.1, step * 0.05
        assert arrival.stamp(text(sent - 0.05), WALL + at, 100.0 + at, 100.2, False) == pytest.approx(
            max(100.2, 100.0 + sent), abs=0.11
        )


@pytest.mark.parametrize("step_seconds", [3_600.0, -3_600.0])
def test_a_wall_clock_that_is_set_ages_nothing_for_long(arrival: Arrival, step_seconds: float) -> None:
    wall = WALL + step_seconds
    ages = []
    for step in range(1, 600):  # busy for 0.35 s of every 2 s
        at = 9.5 + step * 0.05
        waited_until = 100.0 + at - (at % 2.0) if at % 2.0 < 0.4 else 100.0 + at
        ages.append(100.0 + at - arrival.stamp(text(at - 0.05), wall + at, 100.0 + at, waited_until))
    assert max(ages) < 0.5
    assert max(ages[200:]) == pytest.approx(0.0, abs=0.01)


def test_a_wall_clock_that_is_set_is_given_up_by_a_reader_that_never_waits(arrival: Arrival) -> None:
    ages = []
    for step in range(1, 400):
        at = 9.5 + step * 0.05
        ages.append(100.0 + at - arrival.stamp(text(at - 0.05), WALL + 3_600.0 + at, 100.0 + at, 109.5))
    assert max(ages) < 6.0
    assert ages[-1] == 0.0
