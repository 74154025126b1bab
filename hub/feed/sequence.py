"""The frames of one socket, which the exchange numbers from 0, one by one: none lost, some lost, one twice. Pure.

A gap says that something was lost on the socket, not what. A frame that was refused counts as lost: its number was
not believed either.
"""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """What a frame's number says of the frames before it."""

    NEXT = "next"
    GAP = "gap"  # frames are missing in front of it
    REPEAT = "repeat"  # it, or a later one, was seen already


class Sequence:
    """What was seen of one socket's numbers. Make a new one for each socket."""

    __slots__ = ("expected", "lost_total", "repeated_total")

    def __init__(self) -> None:
        self.expected = 0
        self.lost_total = 0  # frames that were jumped over; one that comes late after all is a repeat
        self.repeated_total = 0

    def observe(self, sequence_num: int) -> Step:
        """Place one number."""
        if sequence_num < self.expected:
            self.repeated_total += 1
            return Step.REPEAT
        lost = sequence_num - self.expected
        self.expected = sequence_num + 1
        self.lost_total += lost
        return Step.GAP if lost else Step.NEXT
