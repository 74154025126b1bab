"""A client as the fan-out sees it, its place there, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple, Protocol

from hub.fanout.batch import Batch
from hub.fanout.choice import EVERYTHING, Choice
from hub.fanout.latest import Latest, Mark, Missed


class CutReason(IntEnum):
    """Why a client was cut off; a WebSocket close code where it still reads, a counter in any case."""

    NOT_READING = 4001
    TOO_MANY_EVENTS = 4002
    BAD_PACKET = 4003
    BUG = 4004
    NOT_JOINED = 4005
    NO_PLACE = 4006


class Figures(NamedTuple):
    """What is known of a client; ``behind``: it gets the latest only. ``client_id`` tells clients apart, no more."""

    client_id: str
    transport: str
    connected_seconds: float
    bytes_per_second: float
    pending_bytes: int
    behind: bool
    behind_seconds: float
    conflated_total: int
    dropped_total: int
    taken_bytes: int


class Sent(NamedTuple):
    """What was sent since the start, those clients included that are gone.

    ``events``: that somebody wanted; ``deliveries``: one event to one client; ``taken_bytes``: by clients' sockets;
    ``conflated``: ticks that a newer one replaced before a client took them; ``dropped``: other events.
    """

    events: int = 0
    deliveries: int = 0
    taken_bytes: int = 0
    conflated: int = 0
    dropped: int = 0


class Client(Protocol):
    """Where batches go: the owner of one client's socket."""

    @property
    def lagging(self) -> bool:
        """Whether it refuses batches, since too much waits."""

    @property
    def ready(self) -> bool:
        """Whether it takes a snapshot: it is a WebSocket, or its poll waits for what is next."""

    def welcome(self, snapshot: Batch, now: float) -> bool:
        """Take the first batch, before any other; False if the client is gone."""

    def offer(self, batch: Batch, now: float) -> bool:
        """Take a batch without waiting; False if the client is gone, or ``lagging`` from now on."""

    def give(self, batch: Batch, now: float) -> bool:
        """Take a batch in any case; False if the client is gone."""

    def when_room(self, call: Callable[[float], object]) -> None:
        """Have ``call(now)`` call ``catch_up``, once there is room for what a client that lags has missed."""

    def catch_up(self, missed: Missed, now: float) -> None:
        """Take what was missed in any case, and go on."""

    def choose(self, choice: Choice) -> None:
        """Note what the client wants from now on."""

    def cut(self, reason: CutReason) -> None:
        """End the client at once. Idempotent."""

    def measure(self, now: float) -> None:
        """Note the rate of what it takes; called about once a second."""

    def figures(self, now: float) -> Figures:
        """Return what is known of it."""


class Seat:
    """A client's place. It gets ``choice``; ``wish`` is what it asked for last, and may be more, for a moment."""

    __slots__ = ("_latest", "changed_at", "choice", "client", "client_id", "mark", "wish")

    def __init__(self, client_id: str, client: Client, latest: Latest, now: float) -> None:
        self.client_id = client_id
        self.client = client
        self.choice = self.wish = EVERYTHING
        self.changed_at = float("-inf")  # when it was last sent what it wanted more
        self._latest = latest
        self.mark: Mark = latest.mark(EVERYTHING, now)  # what one has that joins, lags or has a pace

    def measure(self, now: float) -> None:
        """Have the client note its rate."""
        self.client.measure(now)

    def figures(self, now: float) -> Figures:
        """Return what is known of the client, with what it misses now, as far as that is known."""
        found = self.client.figures(now)
        if self.choice.names is not None:
            return found
        return found._replace(conflated_total=found.conflated_total + self._latest.conflated_at_least(self.mark))


def added(total: Sent, figures: Iterable[Figures]) -> Sent:
    """Return ``total`` with what these clients took."""
    _, _, taken_bytes, conflated, dropped = total
    for one in figures:
        taken_bytes += one.taken_bytes
        conflated += one.conflated_total
        dropped += one.dropped_total
    return total._replace(taken_bytes=taken_bytes, conflated=conflated, dropped=dropped)
