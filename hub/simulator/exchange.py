"""The Exchange's WebSocket path: it lets the market's trades happen, and sends tickers and heartbeats of them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

from hub import wire
from hub.simulator import limits
from hub.simulator.broken import Faults
from hub.simulator.endpoint import CLOSE_POLICY, Endpoint
from hub.simulator.market import Audience, Market, Tick
from hub.simulator.protocol import Request, RequestRefused, ack_frame, error_frame, parse_request
from hub.simulator.session import Session

STEP_BUDGET_SECONDS = 0.02  # of trades in one step: a replay at full speed must let readers and heartbeats in
HEARTBEAT_SECONDS = 1.0


class Exchange(Endpoint):
    """The server's side of all connections that speak the Exchange's protocol."""

    name = "exchange"
    channels = ("ticker", "heartbeat")

    def __init__(self, market: Market, faults: Faults, seed: int, now: float) -> None:
        connect_limit = limits.RateLimit(limits.CONNECTS_PER_SECOND, limits.CONNECT_BURST)
        super().__init__(market, faults, connect_limit, now)
        self.paused = False
        self.audience: Audience = self  # whom the market asks; more than this endpoint, where there are others
        self._rng = random.Random(f"{seed}:acks")
        self._message_limit = limits.RateLimit(limits.MESSAGES_PER_SECOND, limits.MESSAGE_BURST)
        self._heartbeats_from = now
        self._heartbeat_slot = 0
        self._clock_offset = 0.0

    # --- requests

    def handle(self, session: Session, message: str | bytes) -> None:
        """Answer a client's message."""
        now = time.monotonic()
        if not self._message_limit.allow(session.address, now):
            self.violations["message_rate"] += 1
            session.queue(wire.text_frame(error_frame("ErrSlowRead", "Rate limit exceeded")))
            session.close(CLOSE_POLICY)
            return
        try:
            request = parse_request(message, frozenset(self.market.product_ids) - self.faults.rejected.at(now))
        except RequestRefused as refused:
            session.write_now(wire.text_frame(refused.frame))
            return
        touched = self._subscribe(session, request) if request.subscribe else self._unsubscribe(session, request)
        ack = wire.text_frame(ack_frame(session.channels, self._rng))
        early = bool(self.faults.early_data.at(now))
        if not (early and request.subscribe):
            session.queue(ack)
        if early or request.subscribe:  # after an unsubscribe: what was on its way already
            self._repeat_last(session, touched, now)
        if early and request.subscribe:
            session.queue(ack)
        session.flush()

    def _subscribe(self, session: Session, request: Request) -> Sequence[str]:
        """Link the channels; return the products whose last ticker is shown again."""
        session.has_subscribed = True
        left_out = self.faults.left_out_of(frozenset().union(*request.channels.values()))
        shown: Sequence[str] = ()
        for channel, product_ids in request.channels.items():
            kept = [product_id for product_id in product_ids if product_id not in left_out]
            self._subscribers.link(session, channel, kept)
            if channel == "ticker":
                shown = kept
        for product_id in shown:
            session.behind.discard(product_id)
            self.faults.delivery.subscribed(product_id, session)
        return shown

    def _unsubscribe(self, session: Session, request: Request) -> Sequence[str]:
        """Unlink the channels; return the products whose tickers were subscribed."""
        before = session.channels.get("ticker", set()).copy()
        for channel, product_ids in request.channels.items():
            self._subscribers.unlink(session, channel, product_ids or session.channels.get(channel, set()))
        return sorted(before - session.channels.get("ticker", set()))

    def _repeat_last(self, session: Session, product_ids: Sequence[str], now: float) -> None:
        for product_id in product_ids:
            frame = self.market.snapshot(product_id)
            if frame is not None and not self.faults.delivery.withholds(product_id, session, now):
                session.queue(wire.text_frame(frame), product_id)

    # --- the loop

    def step(self, now: float, wall: float) -> None:
        """Send what is due at monotonic ``now``; ``wall`` is the same moment in seconds of the epoch."""
        self.sweep(now)
        wall += self._shift_clock(now)
        if not self.paused:
            give_up_at = time.monotonic() + STEP_BUDGET_SECONDS
            for tick in self.market.due(now, wall, self.audience):
                self._publish(tick, now)
                if time.monotonic() > give_up_at:
                    break
        for product_id in self._heartbeats_due(now):
            self._beat(product_id, now, wall)
        for session in list(self._sessions.values()):
            session.flush()

    def pause(self) -> None:
        """Let no trade happen; heartbeats go on."""
        self.paused = True

    def resume(self, now: float) -> None:
        """Let trades happen again, without making up for the pause."""
        if self.paused:
            self.paused = False
            self.market.restart_clock(now)

    def cleared(self, held: dict[str, bytes], now: float) -> None:
        """Send the tickers that faults held back."""
        for product_id, frame in held.items():
            self._send(product_id, wire.text_frame(frame), now)

    def _publish(self, tick: Tick, now: float) -> None:
        self.ticks_total += 1
        product_id, delivery = tick.product_id, self.faults.delivery
        if delivery.drops(product_id):
            self.dropped.setdefault(product_id, []).append(tick.trade_id)
            frames = []
        else:
            frames = delivery.frames(tick)
        for frame in frames:
            self._send(product_id, wire.text_frame(frame), now)
        if not frames:
            for session in self._subscribers.of("ticker", product_id):
                session.keep_from(product_id)

    def _send(self, product_id: str, framed: bytes, now: float) -> None:
        """Send a ticker to its subscribers."""
        withholds = self.faults.delivery.withholds
        for session in self._subscribers.of("ticker", product_id):
            if withholds(product_id, session, now):
                session.keep_from(product_id)
            else:
                session.queue(framed, product_id, proof=True)

    def _beat(self, product_id: str, now: float, wall: float) -> None:
        listeners = self._subscribers.of("heartbeat", product_id)
        if not listeners or self.faults.delivery.no_heartbeats.holds(product_id, now):
            return
        framed = wire.text_frame(self.market.heartbeat(product_id, wall))
        for session in listeners:
            if now >= session.no_heartbeats_until:
                session.queue(framed, product_id, proof=True)
                self.heartbeats_total += 1

    def _shift_clock(self, now: float) -> float:
        """Return by how many seconds the exchange's clock is off; tell the market when that changes."""
        offset = self.faults.clock_offset_seconds.at(now) or 0.0
        if offset != self._clock_offset:
            self.market.shift_clock(offset - self._clock_offset)
            self._clock_offset = offset
        return offset

    def _heartbeats_due(self, now: float) -> Iterator[str]:
        """Yield the products whose turn has come: each once a second, all of them spread over it."""
        product_ids = self.market.product_ids
        slot = int((now - self._heartbeats_from) / HEARTBEAT_SECONDS * len(product_ids))
        first = max(self._heartbeat_slot, slot - len(product_ids))  # after a pause: one each, not all that were missed
        self._heartbeat_slot = slot
        for number in range(first, slot):
            yield product_ids[number % len(product_ids)]
