"""The seam: events in, each made ready once, gathered for a moment, offered to every client.

Who publishes and who flushes may be different threads; clients live on one loop, where nothing below waits or yields,
so that a client's snapshot and the flow after it have neither hole nor repeat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from hub.fanout.batch import CONFLATED, Batch, Message
from hub.fanout.choice import EVERYTHING, Choice
from hub.fanout.latency import Latency
from hub.logs import Cooldown
from hub.worker import Worker

MAX_GATHERED = 10_000  # past it, whoever publishes flushes: nothing is dropped and nothing grows
MIN_GATHER_SECONDS = 0.003
GATHER_PER_FLUSH = 2.0  # gathering takes so many times what the flush took: the rest of the hub keeps its turn
MAX_BATCH_BYTES = 65_536  # what a client that lags may have waiting beyond its limit
MAX_JOINS = 32  # snapshots a flush: a herd that comes back after a restart is let in by and by
_warn = Cooldown(logging.getLogger(__name__))


class Mode(StrEnum):
    """How ticks are gathered."""

    BASIC = "basic"  # one write an event, as plain Socket.IO does
    ENHANCED = "enhanced"  # an idle hub at once, a busy one what a few milliseconds brought
    ULTRA_LOW_LATENCY = "ultra_low_latency"  # at once, in the reader's own thread


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

    def welcome(self, snapshot: Batch, now: float) -> bool:
        """Take the first batch, before any other; False if the client is gone."""

    def offer(self, batch: Batch, now: float) -> bool:
        """Take a batch without waiting; False if the client is gone."""

    def choose(self, choice: Choice) -> None:
        """Note what the client wants from now on."""

    def cut(self, reason: CutReason) -> None:
        """End the client at once. Idempotent."""

    def measure(self, now: float) -> None:
        """Note the rate of what it takes; called about once a second."""

    def figures(self, now: float) -> Figures:
        """Return what is known of it."""


class _Joiner:
    """A client that waits for its snapshot, and what that will not show: alerts, backfills."""

    __slots__ = ("choice", "client", "missed")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.choice = EVERYTHING
        self.missed: list[Message] = []


class _Chooser:
    """A client that asked for something, and what is held back until its pace allows it."""

    __slots__ = ("choice", "client", "due_at", "held")

    def __init__(self, client: Client, choice: Choice, due_at: float = 0.0) -> None:
        self.client = client
        self.choice = choice
        self.held: dict[object, Message] = {}
        self.due_at = due_at


class Fanout:
    """Sends every event to every client that wants it, in the order in which it was published.

    ``flush_seconds`` is the longest time for which a tick is gathered. ``snapshot()`` returns what a new client is sent
    first, as (event, payload, product).
    """

    def __init__(
        self, flush_seconds: float, mode: Mode = Mode.ENHANCED,
        snapshot: Callable[[], Iterable[tuple[str, str, str | None]]] = tuple,
    ) -> None:  # fmt: skip
        self._flush_seconds = flush_seconds
        self._mode = mode
        self._snapshot = snapshot
        self._joining: dict[str, _Joiner] = {}
        self._plain: dict[str, Client] = {}  # those that get everything
        self._choosers: dict[str, _Chooser] = {}
        self._gathered: list[Message] = []
        self._events = self._deliveries = 0
        self._gone = Sent()  # what clients that are gone had taken
        self.latency = Latency()
        self.worker = Worker("fanout", self._step)

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Send what is gathered and end the worker. Idempotent."""
        self.worker.stop(timeout_seconds)
        self.send_all()

    # -- clients --------------------------------------------------------------------------------------

    @property
    def client_count(self) -> int:
        """How many clients get events."""
        return len(self._joining) + len(self._plain) + len(self._choosers)

    @property
    def gathered_count(self) -> int:
        """How many events wait for the next flush."""
        return len(self._gathered)

    def clients(self) -> list[tuple[Client, Choice]]:
        """Return every client and what it asked for."""
        return [
            *((joiner.client, joiner.choice) for joiner in self._joining.values()),
            *((chooser.client, chooser.choice) for chooser in self._choosers.values()),
            *((client, EVERYTHING) for client in self._plain.values()),
        ]

    def measure(self, now: float) -> None:
        """Have every client note its rate."""
        for client, _ in self.clients():
            client.measure(now)

    def add(self, client_id: str, client: Client) -> None:
        """Have a new client sent the snapshot soon, then everything; of what is published until then, all but ticks."""
        self._joining[client_id] = _Joiner(client)
        self.worker.wake()

    def has(self, client_id: str) -> bool:
        """Tell whether a client gets events."""
        return client_id in self._joining or client_id in self._plain or client_id in self._choosers

    def remove(self, client_id: str) -> None:
        """Forget a client. Idempotent."""
        held = self._joining.pop(client_id, None) or self._choosers.pop(client_id, None)
        client = held.client if held is not None else self._plain.pop(client_id, None)
        if client is not None:
            self._gone = _added(self._gone, [client.figures(time.monotonic())])

    def sent(self, present: Iterable[Figures]) -> Sent:
        """Return what was sent since the start; ``present``: of all ``clients``, of this very moment."""
        return _added(self._gone, present)._replace(events=self._events, deliveries=self._deliveries)

    def choice_of(self, client_id: str) -> Choice:
        """Return what a client asked for."""
        found = self._choosers.get(client_id) or self._joining.get(client_id)
        return found.choice if found is not None else EVERYTHING

    def choose(self, client_id: str, choice: Choice) -> bool:
        """Give a client what it asks for from now on; False if it is not there (any more).

        Of the products that it did not get before it is sent the current ticker.
        """
        if (joiner := self._joining.get(client_id)) is not None:
            joiner.choice = choice
            joiner.client.choose(choice)
            return True
        self.flush()  # what was published before is sent as it was asked for before
        before = self._choosers.pop(client_id, None)
        client = before.client if before is not None else self._plain.pop(client_id, None)
        if client is None:
            return False
        client.choose(choice)
        self._settle(client_id, client, choice, 0.0 if before is None else before.due_at)
        held = {} if before is None else {
            key: item for key, item in before.held.items() if choice.wants(item.product)
        }  # fmt: skip
        if choice.max_hz is not None:
            self._choosers[client_id].held = held
            self.worker.wake()
        elif held:
            self._give(client_id, client, Batch(held.values(), choice.batch), time.monotonic())
        old = EVERYTHING if before is None else before.choice
        if fresh := [item for item in self._current() if choice.wants(item.product) and not old.wants(item.product)]:
            self._give(client_id, client, Batch(fresh, choice.batch), time.monotonic())
        return True

    def _settle(self, client_id: str, client: Client, choice: Choice, due_at: float) -> None:
        if choice == EVERYTHING:
            self._plain[client_id] = client
        else:
            self._choosers[client_id] = _Chooser(client, choice, due_at)

    # -- events ---------------------------------------------------------------------------------------

    def publish(self, event: str, payload: str, product: str | None = None) -> None:
        """Send an event to every client; ``payload`` is the text of one JSON value. Does not wait."""
        if not self._plain and not self._choosers and not self._joining:
            return
        gathered = self._gathered
        gathered.append(Message(event, payload, product, time.monotonic()))
        if self._mode is Mode.ULTRA_LOW_LATENCY or len(gathered) >= MAX_GATHERED:
            self.flush()
        elif len(gathered) == 1:
            self.worker.wake()

    def flush(self) -> None:
        """Offer what is gathered to every client."""
        messages, self._gathered = self._gathered, []
        if messages:
            mark = f',"sent_at":{int(time.time() * 1000)}'
            for message in messages:
                message.stamp(mark)
            self._events += len(messages)
            for part in _parts(messages, 0 if self._mode is Mode.BASIC else MAX_BATCH_BYTES):
                self._offer(part)
            self.latency.written(messages, time.monotonic())
            if self._joining and (loose := [item for item in messages if item.event not in CONFLATED]):
                for joiner in self._joining.values():
                    joiner.missed += loose

    def send_all(self) -> None:
        """Offer what is gathered, and what clients' own pace holds back."""
        self.flush()
        self._release(time.monotonic(), all_of_it=True)

    def _offer(self, messages: Iterable[Message]) -> None:
        now = time.monotonic()
        plain = Batch(messages)
        self._deliveries += len(plain.messages) * len(self._plain)
        for client_id, client in list(self._plain.items()):
            try:  # not through _give: it runs a hundred thousand times a second
                if not client.offer(plain, now):
                    self.remove(client_id)
            except Exception:  # noqa: BLE001 - it is logged
                self._give_up(client_id, client)
        if not self._choosers:
            return
        chosen: dict[tuple[object, bool], Batch] = {}
        for client_id, chooser in list(self._choosers.items()):
            choice = chooser.choice
            batch = chosen.get((choice.names, choice.batch))
            if batch is None:
                batch = Batch((item for item in plain.messages if choice.wants(item.product)), choice.batch)
                chosen[choice.names, choice.batch] = batch
            if choice.max_hz is not None:
                _hold(chooser.held, batch.messages)
            elif batch.messages:
                self._give(client_id, chooser.client, batch, now)

    def _give(self, client_id: str, client: Client, batch: Batch, now: float) -> None:
        self._tell(client_id, client, client.offer, batch, now)

    def _tell(
        self, client_id: str, client: Client, tell: Callable[[Batch, float], bool], batch: Batch, now: float
    ) -> bool:
        self._deliveries += len(batch.messages)
        try:
            if tell(batch, now):
                return True
            self.remove(client_id)
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(client_id, client)
        return False

    def _give_up(self, client_id: str, client: Client) -> None:
        _warn.exception("bug", "bug in a client's queue; it is given up client=%s", client_id)
        self.remove(client_id)
        client.cut(CutReason.BUG)

    def _release(self, now: float, all_of_it: bool = False) -> float | None:
        """Send what a client's pace held back and allows now; return the seconds until the next may go."""
        waits = []
        for client_id, chooser in list(self._choosers.items()):
            if chooser.choice.max_hz is None or not chooser.held:
                continue
            if all_of_it or chooser.due_at <= now:
                batch = Batch(chooser.held.values(), chooser.choice.batch)
                chooser.held = {}
                chooser.due_at = now + 1 / chooser.choice.max_hz
                self._give(client_id, chooser.client, batch, now)
            else:
                waits.append(chooser.due_at - now)
        return min(waits, default=None)

    def _current(self) -> list[Message]:
        """Return the current ticker of every product."""
        now = time.monotonic()
        messages = [Message(event, payload, product, now) for event, payload, product in self._snapshot()]
        mark = f',"sent_at":{int(time.time() * 1000)}'
        for message in messages:
            message.stamp(mark)
        return messages

    def _join(self) -> None:
        """Let clients in: the snapshot is taken after a flush, with nothing between."""
        now = time.monotonic()
        snapshot = Batch(self._current())
        for client_id in list(self._joining)[:MAX_JOINS]:
            joiner = self._joining[client_id]
            client, choice, first, missed = joiner.client, joiner.choice, snapshot, joiner.missed
            if choice.names is not None or choice.batch:
                wanted = (item for item in snapshot.messages if choice.wants(item.product))
                first = Batch(wanted, choice.batch)
                missed = [item for item in missed if choice.wants(item.product)]
            if self._tell(client_id, client, client.welcome, first, now):
                self._joining.pop(client_id)
                self._settle(client_id, client, choice, now + 1 / choice.max_hz if choice.max_hz else now)
                if missed:
                    self._give(client_id, client, Batch(missed), now)

    def _step(self) -> float | None:
        begun = time.monotonic()
        self.flush()
        if self._joining:
            self._join()
        due = self._release(time.monotonic())
        if self._mode is Mode.ENHANCED:
            busy = time.monotonic() - begun
            self.worker.wait(min(self._flush_seconds, max(MIN_GATHER_SECONDS, GATHER_PER_FLUSH * busy)))
        elif self._joining:
            self.worker.wait(MIN_GATHER_SECONDS)
        return 0.0 if self._joining or self._gathered else due


def _added(total: Sent, figures: Iterable[Figures]) -> Sent:
    """Return ``total`` with what these clients took."""
    _, _, taken_bytes, conflated, dropped = total
    for one in figures:
        taken_bytes += one.taken_bytes
        conflated += one.conflated_total
        dropped += one.dropped_total
    return total._replace(taken_bytes=taken_bytes, conflated=conflated, dropped=dropped)


def _parts(messages: list[Message], max_bytes: int) -> Iterator[list[Message]]:
    """Cut messages into parts of at most so many bytes, or one message."""
    part: list[Message] = []
    held_bytes = 0
    for message in messages:
        held_bytes += len(message.payload)
        if part and held_bytes > max_bytes:
            yield part
            part, held_bytes = [], len(message.payload)
        part.append(message)
    yield part


def _hold(held: dict[object, Message], messages: Iterable[Message]) -> None:
    for message in messages:
        if message.event in CONFLATED:
            key: object = (message.event, message.product)
            held.pop(key, None)
            held[key] = message
        else:
            held[message] = message
