"""What a connection does with its frames: decodes them, ages them, counts them, passes their events on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from hub.feed.arrival import Arrival
from hub.feed.dialects import Dialect
from hub.feed.handover import Handover, Side
from hub.feed.recent import RecentFrames
from hub.feed.sequence import Sequence, Step
from hub.feed.tally import Tally
from hub.logs import Cooldown
from hub.model import ConnectionHeartbeat, Envelope, Event, FrameRefused, Heartbeat, Market, Ticker, Transferred

_warn = Cooldown(logging.getLogger(__name__))


class Callbacks(NamedTuple):
    """Whom a connection tells, from its own thread.

    ``event(connection_id, event, wall, arrived, now)``: when it was read by the wall clock, when it arrived and when it
    was read by the monotonic one. ``lost(connection_id,
    product_ids, cause)`` when a socket that was open is gone; ``delivering(connection_id)`` when the next one has
    brought its first data, or its acknowledgement where no product trades (from the watchdog's thread);
    ``left_out(product_ids)`` when an acknowledgement lacks them and they are asked for again;
    ``skipped(connection_id, product_ids)`` when frames of a socket were lost, whose none can be told. And whom a pool
    tells: ``transferred(ended)`` when a rotation or a move of products has ended.
    """

    event: Callable[[str, Event, float, float, float], None]
    lost: Callable[[str, tuple[str, ...], str], None]
    delivering: Callable[[str], None]
    left_out: Callable[[list[str]], None]
    skipped: Callable[[str, tuple[str, ...]], None] = lambda _, __: None
    transferred: Callable[[Transferred], None] = lambda _: None


class Intake:
    """Owner of what is known of a connection's frames; for its thread, but for ``handover`` and ``gone``.

    ``control(event, now)`` gets what concerns the connection itself; ``ticks`` counts the tickers of each product.
    """

    def __init__(
        self, side: Side, connection_id: str, dialect: Dialect, callbacks: Callbacks,
        control: Callable[[Event, float], None], ticks: dict[str, int],
    ) -> None:  # fmt: skip
        self._side = side
        self._id = connection_id
        self._dialect = dialect
        self._callbacks = callbacks
        self._control = control
        self._ticks = ticks
        self._arrival = Arrival()
        self._sequence = Sequence()
        self._sent_at: str | None = None  # the exchange's time of the frame, where its envelope tells it
        self.recent = RecentFrames()
        self.tally = Tally(time.monotonic())
        self.handover: Handover | None = None  # that the connection takes part in
        self.gone: frozenset[str] = frozenset()  # products that another connection delivers by now
        self.heard = False  # whether this socket has brought data
        self.waited_until = 0.0  # when reading last had to wait for the network
        self.last_frame_at: float | None = None
        self.last_message: float | None = None  # wall clock
        self.last_heartbeat: float | None = None  # wall clock
        self.heartbeat_at: float | None = None

    def opened(self) -> None:
        """Start over with a new socket."""
        self.heard = False
        self._arrival = Arrival()
        self._sequence = Sequence()

    @property
    def catching_up(self) -> bool:
        """Whether what is read waited in buffers."""
        return self._arrival.catching_up

    def take(self, frame: bytes, now: float) -> None:
        """Decode one frame and hand its events on; a frame or a listener that fails costs this frame only."""
        wall = time.time()
        self.tally.messages += 1
        self.last_message = wall
        try:
            for event in self._dialect.decode(frame):
                if type(event) is Ticker:
                    self.recent.ticker(event.product_id, wall, frame)
                    self._pass_on(event, wall, now)
                elif type(event) is Heartbeat:
                    self.recent.heartbeat(event.product_id, wall, frame)
                    self.last_heartbeat, self.heartbeat_at = wall, now
                    self._pass_on(event, wall, now)
                elif type(event) is Envelope:
                    self._open(event)
                elif type(event) is Market:
                    if event.product_id not in self.gone:
                        self._callbacks.event(self._id, event, wall, self._arrived(event, wall, now), now)
                elif type(event) is ConnectionHeartbeat:
                    self.recent.other(wall, frame)
                    self._beat(event, wall, now)
                else:
                    self.recent.other(wall, frame)
                    self._control(event, now)
        except FrameRefused as error:
            self.recent.other(wall, frame)
            self.count(error.reason, error.detail)
        except Exception:  # noqa: BLE001 - it is logged
            self.tally.errors += 1
            _warn.exception("bug", "bug in what a frame set off, connection=%s", self._id)

    def _pass_on(self, event: Ticker | Heartbeat, wall: float, now: float) -> None:
        arrived = self._arrived(event, wall, now)
        product_id = event.product_id
        if product_id in self.gone:
            return
        handover = self.handover
        if handover is None:
            self._callbacks.event(self._id, event, wall, arrived, now)
        elif not handover.take(self._side, (event, wall, arrived, now)):
            return
        if type(event) is Ticker:
            self._ticks[product_id] = self._ticks.get(product_id, 0) + 1
        if not self.heard:
            self.delivers()

    def _arrived(self, event: Ticker | Heartbeat | Market | ConnectionHeartbeat, wall: float, now: float) -> float:
        self.last_frame_at = now
        typical = self._sent_at is not None or type(event) is Heartbeat
        return self._arrival.stamp(self._sent_at or event.time, wall, now, self.waited_until, typical)

    def _open(self, envelope: Envelope) -> None:
        """Look at a frame's number: whether some before it were lost."""
        self._sent_at = envelope.time
        lost = self._sequence.lost_total
        if self._sequence.observe(envelope.sequence_num) is Step.GAP:
            self.count("sequence_gap", f"{self._sequence.lost_total - lost} frames before {envelope.sequence_num}")
            self._callbacks.skipped(self._id, self._side.products)

    def _beat(self, event: ConnectionHeartbeat, wall: float, now: float) -> None:
        """Take in that the connection is alive, which says nothing of any product."""
        self._arrived(event, wall, now)
        self.last_heartbeat, self.heartbeat_at = wall, now
        if self.handover is not None:
            self.handover.beat(self._side)
        if not self.heard:
            self.delivers()

    def deliver(self, event: Ticker | Heartbeat, wall: float, arrived: float, now: float) -> None:
        """Pass an event on, as this connection's."""
        self._callbacks.event(self._id, event, wall, arrived, now)

    def delivers(self) -> None:
        """Tell, once a socket, that it has brought what it owes."""
        if not self.heard:
            self.heard = True
            self._callbacks.delivering(self._id)

    def count(self, reason: str, detail: str) -> None:
        """Count what is not believed, or not understood."""
        self.tally.errors += 1
        self.tally.refused[reason] += 1
        _warn.warning(reason, "refused connection=%s reason=%s detail=%r", self._id, reason, detail)
