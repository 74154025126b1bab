"""The numbers of a socket's frames: what they prove of the frames before."""

from hypothesis import given
from hypothesis import strategies as st

from hub.feed.sequence import Sequence, Step


def test_in_order_from_0() -> None:
    sequence = Sequence()
    assert [sequence.observe(number) for number in range(3)] == [Step.NEXT] * 3
    assert (sequence.expected, sequence.lost_total, sequence.repeated_total) == (3, 0, 0)


def test_a_socket_whose_first_frame_is_not_0_lost_its_beginning() -> None:
    sequence = Sequence()
    assert sequence.observe(2) is Step.GAP
    assert sequence.lost_total == 2
    assert sequence.observe(3) is Step.NEXT


def test_a_gap_is_told_once_and_counted() -> None:
    sequence = Sequence()
    assert [sequence.observe(number) for number in (0, 4, 5, 7)] == [Step.NEXT, Step.GAP, Step.NEXT, Step.GAP]
    assert sequence.lost_total == 4


def test_a_repeat_and_a_late_one_change_nothing() -> None:
    sequence = Sequence()
    assert [sequence.observe(number) for number in (0, 2, 1, 2, 0, 3)] == [
        Step.NEXT, Step.GAP, Step.REPEAT, Step.REPEAT, Step.REPEAT, Step.NEXT,
    ]  # fmt: skip
    assert (sequence.lost_total, sequence.repeated_total) == (1, 3)


@given(st.lists(st.integers(0, 60)))
def test_each_number_below_the_next_was_seen_once_or_lost(numbers: list[int]) -> None:
    sequence = Sequence()
    steps = [sequence.observe(number) for number in numbers]
    fresh = len(steps) - steps.count(Step.REPEAT)
    assert sequence.expected == max(numbers, default=-1) + 1
    assert sequence.lost_total + fresh == sequence.expected
    assert sequence.repeated_total == steps.count(Step.REPEAT)
