"""The seam: events in, each made ready once, gathered for a moment, offered to every client.

Who publishes and who flushes may be different threads; clients live on one loop, where nothing below waits or yields,
so that a client's snapshot and the flow after it have neither hole nor repeat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial

from hub.fanout.batch import MAX_BATCH_BYTES, Batch, Message, parts
from hub.fanout.choice import EVERYTHING, Choice
from hub.fanout.groups import Groups, Paces
from hub.fanout.latency import Latency
from hub.fanout.latest import Latest, Mark, Missed
from hub.fanout.seat import Client, CutReason, Figures, Seat, Sent, added
from hub.logs import Cooldown
from hub.worker import Worker

MAX_GATHERED, MAX_GATHERED_BYTES = 10_000, 4_194_304  # past them, whoever publishes flushes: nothing is dropped
MIN_GATHER_SECONDS = 0.003
GATHER_PER_FLUSH = 2.0  # gathering takes so many times what the flush took: the rest of the hub keeps its turn
JOIN_LOOK_SECONDS = 0.02  # between two looks at whether those that join are ready
MAX_JOINS = 32  # snapshots a flush: a herd that comes back after a restart is let in by and by
CHANGES_SECONDS = 0.01  # a flush for those that want more than before
GATHER_CHOICES_SECONDS = 0.1  # what a client wants more is looked up so often at most: the last of its wishes counts
LOOSE_PART = 8  # events that nothing replaces are kept for all clients: so many times what one may have waiting
__all__ = ["CutReason", "Fanout", "Mode"]
_warn = Cooldown(logging.getLogger(__name__))


class Mode(StrEnum):
    """How ticks are gathered."""

    BASIC = "basic"  # one write an event, as plain Socket.IO does
    ENHANCED = "enhanced"  # an idle hub at once, a busy one what a few milliseconds brought
    ULTRA_LOW_LATENCY = "ultra_low_latency"  # at once, in the reader's own thread


class Fanout:
    """Sends every event to every client that wants it, in the order in which it was published.

    ``flush_seconds`` is the longest time for which a tick is gathered. ``snapshot(products)`` returns their current
    tickers, as (event, payload, product), and ``snapshot(None)`` that of every product, which is what a new client is
    sent first; ``products()``: those that there are. ``held_bytes``: of events that nothing replaces, so much is kept
    for a client that lags.
    """

    def __init__(
        self, flush_seconds: float, mode: Mode = Mode.ENHANCED,
        snapshot: Callable[[Iterable[str] | None], Iterable[tuple[str, str, str | None]]] = lambda _: (),
        products: Callable[[], Sequence[str]] = tuple, held_bytes: int = 262_144,
    ) -> None:  # fmt: skip
        self._flush_seconds = flush_seconds
        self._mode = mode
        self._snapshot = snapshot
        self._products = products
        self._held_bytes = held_bytes
        self._latest = Latest(LOOSE_PART * held_bytes)
        self._joining: dict[str, Seat] = {}
        self._seats: dict[str, Seat] = {}  # of all that have joined; each is in one of the next four as well
        self._plain: dict[str, Client] = {}  # those that get everything
        self._groups: Groups[Seat] = Groups()  # those that chose
        self._paces: Paces[Seat] = Paces()  # those that want it at a pace
        self._behind: dict[str, Seat] = {}  # those that lag: they cost nothing until there is room
        self._changing: dict[str, Seat] = {}  # those that want more than they get yet
        self._gathered: list[Message] = []
        self._gathered_bytes = 0
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
        return len(self._joining) + len(self._seats)

    @property
    def gathered_count(self) -> int:
        """How many events wait for the next flush."""
        return len(self._gathered)

    def clients(self) -> list[tuple[Seat, Choice]]:
        """Return every client and what it asked for."""
        return [(seat, seat.wish) for seat in (*self._joining.values(), *self._seats.values())]

    def measure(self, now: float) -> None:
        """Have every client note its rate, and forget those that ended while they lagged."""
        for seat, _ in self.clients():
            seat.measure(now)
        for seat in list(self._behind.values()):
            if not seat.client.lagging:
                self.remove(seat.client_id)

    def add(self, client_id: str, client: Client) -> None:
        """Have a new client sent the snapshot soon, then everything; of what is published until then, all but ticks."""
        self._joining[client_id] = Seat(client_id, client, self._latest, time.monotonic())
        self.worker.wake()

    def has(self, client_id: str) -> bool:
        """Tell whether a client gets events."""
        return client_id in self._joining or client_id in self._seats

    def remove(self, client_id: str) -> None:
        """Forget a client. Idempotent."""
        seat = self._joining.pop(client_id, None)
        if seat is None:
            seat = self._seats.pop(client_id, None)
            if seat is None:
                return
            if client_id in self._behind:
                missed = self._latest.missed(seat.mark, seat.choice, self._held_bytes)
                self._gone = self._gone._replace(
                    conflated=self._gone.conflated + missed.conflated, dropped=self._gone.dropped + missed.dropped
                )
            self._leave(seat)
            if seat.client.lagging:  # or it would refuse everything, if it joined again
                seat.client.catch_up(Missed([]), time.monotonic())
        self._gone = added(self._gone, [seat.client.figures(time.monotonic())])

    def sent(self, present: Iterable[Figures]) -> Sent:
        """Return what was sent since the start; ``present``: of all ``clients``, of this very moment."""
        return added(self._gone, present)._replace(events=self._events, deliveries=self._deliveries)

    def choice_of(self, client_id: str) -> Choice:
        """Return what a client asked for."""
        seat = self._joining.get(client_id) or self._seats.get(client_id)
        return EVERYTHING if seat is None else seat.wish

    def choose(self, client_id: str, choice: Choice) -> bool:
        """Give a client what it asks for from now on; False if it is not there (any more).

        Of the products that it did not get before it is sent the current ticker, soon.
        """
        joiner, seat = self._joining.get(client_id), self._seats.get(client_id)
        if joiner is not None:
            joiner.mark = self._latest.rechosen(joiner.mark, joiner.choice, choice)
            joiner.choice = joiner.wish = choice
            joiner.client.choose(choice)
        elif seat is not None:
            seat.wish = choice
            self._choose(seat, seat.choice.narrowed(choice), time.monotonic())
            if seat.wish != seat.choice:
                self._changing[client_id] = seat
                self.worker.wake()
        return joiner is not None or seat is not None

    def _choose(self, seat: Seat, choice: Choice, now: float) -> None:
        """Have a client get ``choice``: what of it is new, it must have been given already."""
        before, seat.choice = seat.choice, choice
        if choice == before:
            return
        seat.client.choose(choice)
        if seat.client_id in self._behind:
            seat.mark = self._latest.rechosen(seat.mark, before, choice)
        elif before.max_hz is not None and choice.max_hz is not None:  # what waits for its turn goes on waiting
            self._paces.add(seat, choice.names, self._paces.discard(seat))
            self._paces.want_turn(seat)
            seat.mark = self._latest.rechosen(seat.mark, before, choice)
        else:
            seat.choice = before
            self._leave(seat)
            seat.choice = choice
            self._sit(seat, now)

    def _sit(self, seat: Seat, now: float, due_at: float = 0.0) -> None:
        """Have a client, that has everything, get what is sent from now on."""
        choice, seat.mark = seat.choice, Mark(self._latest.offset, now, 0)
        if choice.max_hz is not None:
            seat.mark = self._latest.mark(choice, now)
            self._paces.add(seat, choice.names, due_at)
        elif choice == EVERYTHING:
            self._plain[seat.client_id] = seat.client
        else:
            self._groups.add(seat, choice)

    def _leave(self, seat: Seat) -> None:
        """Undo ``_sit``."""
        if self._behind.pop(seat.client_id, None) is not None:
            return
        if seat.choice.max_hz is not None:
            self._paces.discard(seat)
        elif seat.choice == EVERYTHING:
            del self._plain[seat.client_id]
        else:
            self._groups.discard(seat, seat.choice)

    # -- events ---------------------------------------------------------------------------------------

    def publish(self, event: str, payload: str, product: str | None = None) -> None:
        """Send an event to every client; ``payload`` is the text of one JSON value. Does not wait."""
        if not self._seats and not self._joining:
            return
        gathered = self._gathered
        gathered.append(Message(event, payload, product, time.monotonic()))
        self._gathered_bytes += len(payload)
        if (
            self._mode is Mode.ULTRA_LOW_LATENCY or len(gathered) >= MAX_GATHERED
            or self._gathered_bytes >= MAX_GATHERED_BYTES
        ):  # fmt: skip
            self.flush()
            if self._paces:
                self.worker.wake()  # it gives those their turns
        elif len(gathered) == 1:
            self.worker.wake()

    def flush(self) -> None:
        """Offer what is gathered to every client."""
        messages, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if messages:
            mark = f',"sent_at":{int(time.time() * 1000)}'
            for message in messages:
                message.stamp(mark)
            self._events += len(messages)
            for part in parts(messages, 0 if self._mode is Mode.BASIC else MAX_BATCH_BYTES):
                self._latest.add(part)
                self._offer(part)
            self.latency.written(messages, time.monotonic())

    def send_all(self) -> None:
        """Offer what is gathered, and what clients' own pace holds back."""
        self.flush()
        self._release(time.monotonic(), float("inf"))

    def _offer(self, messages: list[Message]) -> None:
        now = time.monotonic()
        self._paces.touch(messages)
        plain = Batch(messages)
        self._deliveries += len(plain.messages) * len(self._plain)
        for client_id, client in list(self._plain.items()):
            try:  # not through _give: it runs a hundred thousand times a second
                if not client.offer(plain, now):
                    self._deliveries -= len(plain.messages)
                    self._refused(client_id, messages, now)
            except Exception:  # noqa: BLE001 - it is logged
                self._give_up(client_id, client)
        for batch, seats in self._groups.batches(messages):
            for seat in seats:
                self._give(seat, batch, batch.messages, now)

    def _give(self, seat: Seat, batch: Batch, left: Sequence[Message], now: float) -> bool:
        """Offer a batch, the first of what is ``left`` for a client; return whether it took it."""
        try:
            if seat.client.offer(batch, now):
                self._deliveries += len(batch.messages)
                return True
            self._refused(seat.client_id, left, now)
        except Exception:  # noqa: BLE001 - it is logged
            self._give_up(seat.client_id, seat.client)
        return False

    def _refused(self, client_id: str, left: Sequence[Message], now: float) -> None:
        """Leave a client alone that has no room for what is ``left``; forget one that is gone."""
        seat = self._seats.get(client_id)
        if seat is None or not seat.client.lagging:
            self.remove(client_id)
            return
        self._leave(seat)
        self._behind[client_id] = seat
        seat.mark = self._latest.mark_before(left, seat.choice, now)
        seat.client.when_room(partial(self._catch_up, seat))

    def _catch_up(self, seat: Seat, now: float) -> None:
        """Bring a client that lagged what it missed."""
        if self._behind.pop(seat.client_id, None) is None:
            return
        missed = self._latest.missed(seat.mark, seat.choice, self._held_bytes)
        self._sit(seat, now, now)
        self._deliveries += len(missed.messages)
        seat.client.catch_up(missed, now)
        if seat.wish != seat.choice:
            self._changing[seat.client_id] = seat
            self.worker.wake()

    def _give_up(self, client_id: str, client: Client) -> None:
        _warn.exception("bug", "bug in a client's queue; it is given up client=%s", client_id)
        self.remove(client_id)
        client.cut(CutReason.BUG)

    # -- turns ----------------------------------------------------------------------------------------

    def _release(self, now: float, until: float) -> None:
        """Send those with a pace, whose turn is due, the latest of what they want."""
        for seat in self._paces.due(until):
            self._paces.went(seat, now + 1 / (seat.choice.max_hz or 1.0))
            self._bring(seat, now)

    def _bring(self, seat: Seat, now: float) -> bool:
        """Offer a client with a pace, in parts, what is new for it; return whether it took all of it."""
        missed = self._latest.missed(seat.mark, seat.choice, LOOSE_PART * self._held_bytes)
        seat.mark = self._latest.moved(seat.mark, seat.choice, now)
        if missed.dropped:
            seat.client.catch_up(missed._replace(messages=[]), now)
        taken = 0
        for part in parts(missed.messages):
            if not self._give(seat, Batch(part, seat.choice.batch), missed.messages[taken:], now):
                return False
            taken += len(part)
        return True

    def _current(self, products: Iterable[str] | None = None) -> list[Message]:
        """Return the current tickers of these products, or of all."""
        now = time.monotonic()
        messages = [Message(event, payload, product, now) for event, payload, product in self._snapshot(products)]
        mark = f',"sent_at":{int(time.time() * 1000)}'
        for message in messages:
            message.stamp(mark)
        return messages

    def _join(self) -> bool:
        """Let clients in that are ready: the snapshot is taken after a flush, with nothing between.

        Return whether others are ready as well. One that is not is kept no snapshot.
        """
        ready = [item for item in self._joining.items() if item[1].client.ready]
        if not ready:
            return False
        now = time.monotonic()
        snapshot = Batch(self._current())
        for client_id, seat in ready[:MAX_JOINS]:
            client, choice, first = seat.client, seat.choice, snapshot
            if choice.names is not None or choice.batch:
                first = Batch((item for item in snapshot.messages if choice.wants(item.product)), choice.batch)
            missed = self._latest.missed_loose(seat.mark, choice, self._held_bytes)
            try:
                if not client.welcome(first, now):
                    self.remove(client_id)
                    continue
                self._deliveries += len(first.messages) + len(missed.messages)
                self._seats[client_id] = self._joining.pop(client_id)
                self._sit(seat, now, now + 1 / choice.max_hz if choice.max_hz else now)
                if missed.messages or missed.dropped:
                    client.catch_up(missed, now)
            except Exception:  # noqa: BLE001 - it is logged
                self._give_up(client_id, client)
        return len(ready) > MAX_JOINS

    def _change(self) -> float | None:
        """Send clients what they want more than before; return the seconds until others may be sent theirs."""
        now = time.monotonic()
        waits = []
        for client_id, seat in list(self._changing.items()):
            wait_seconds = seat.changed_at + GATHER_CHOICES_SECONDS - now
            if wait_seconds <= 0 and time.monotonic() - now > CHANGES_SECONDS:
                return 0.0
            if wait_seconds > 0:
                waits.append(wait_seconds)
                continue
            del self._changing[client_id]
            if client_id not in self._behind and self._seats.get(client_id) is seat:
                seat.changed_at = now
                self._widen(seat, now)
        return min(waits, default=None)

    def _widen(self, seat: Seat, now: float) -> None:
        """Send a client the current tickers of what it did not get before, and have it get all that it wants."""
        if seat.choice.max_hz is not None and not self._bring(seat, now):
            return
        products = seat.wish.beyond(seat.choice, self._products)
        fresh = self._current(products) if products else []
        for number, part in enumerate(parts(fresh)):
            batch = Batch(part, seat.wish.batch)
            if number == 0:
                if not self._give(seat, batch, (), now):  # one that lags gets all of it when it has caught up
                    return
            else:
                self._deliveries += len(part)
                seat.client.give(batch, now)
        self._choose(seat, seat.wish, now)

    def _step(self) -> float | None:
        begun = time.monotonic()
        self.flush()
        more_join = self._join() if self._joining else False
        changes_in = self._change() if self._changing else None
        now = time.monotonic()
        self._release(now, now)
        turn_in = self._paces.wait_seconds(now)
        if self._mode is Mode.ENHANCED:
            busy = time.monotonic() - begun
            self.worker.wait(min(self._flush_seconds, max(MIN_GATHER_SECONDS, GATHER_PER_FLUSH * busy)))
        elif more_join:
            self.worker.wait(MIN_GATHER_SECONDS)
        if more_join or self._gathered:
            return 0.0
        look_in = JOIN_LOOK_SECONDS if self._joining else None
        return min((seconds for seconds in (changes_in, turn_in, look_in) if seconds is not None), default=None)
