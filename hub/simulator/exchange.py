"""The exchange: its connections, who subscribed to what, and the loop that makes everything happen.

All of it runs on green threads that yield only where they wait, so plain attributes are safe between two waits. A
reader a connection takes requests in; ``step`` sends everything that is due and never waits for a client.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from hub import green, wire
from hub.simulator import limits
from hub.simulator.broken import Faults, Refusal
from hub.simulator.evidence import Evidence
from hub.simulator.http import HTML, Response, StartResponse
from hub.simulator.market import Market, Tick
from hub.simulator.protocol import Request, RequestRefused, ack_frame, error_frame, parse_request
from hub.simulator.session import Session
from hub.simulator.subscribers import Subscribers

MAX_MESSAGE_BYTES = 256 * 1024
ROOM_BYTES = 256 * 1024  # a replay waits for a subscriber that has more than this before it
STEP_SECONDS = 0.01  # longer: fewer, bigger writes and more latency; shorter: more CPU
STEP_BUDGET_SECONDS = 0.02  # of trades in one step: a replay at full speed must let readers and heartbeats in
SWEEP_SECONDS = 0.1
HEARTBEAT_SECONDS = 1.0
KEPT_CONNECTS = 5_000
HANG_POLL_SECONDS = 0.05
CLOSE_GOING_AWAY, CLOSE_POLICY = 1001, 1008

log = logging.getLogger(__name__)


class Exchange:
    """The server's side of all WebSocket connections, over one market."""

    def __init__(self, market: Market, faults: Faults, seed: int, now: float) -> None:
        self.market = market
        self.faults = faults
        self.paused = False
        self.ticks_total = 0
        self.heartbeats_total = 0
        self.refused_total = 0
        self.violations = {"connect_rate": 0, "message_rate": 0, "late_subscribe": 0}
        self.connects: deque[float] = deque(maxlen=KEPT_CONNECTS)
        self.dropped: dict[str, list[int]] = {}
        self.evidence = Evidence()
        self._sessions: dict[int, Session] = {}
        self._accepted_total = 0
        self._subscribers = Subscribers()
        self._rng = random.Random(f"{seed}:acks")
        self._connect_limit = limits.RateLimit(limits.CONNECTS_PER_SECOND, limits.CONNECT_BURST)
        self._message_limit = limits.RateLimit(limits.MESSAGES_PER_SECOND, limits.MESSAGE_BURST)
        self._upgrade = green.websocket_app(self._serve, MAX_MESSAGE_BYTES)
        self._heartbeats_from = now
        self._heartbeat_slot = 0
        self._swept_at = now
        self._clock_offset = 0.0

    # --- connections

    def accept(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Answer an upgrade request: serve the connection to its end, or refuse it."""
        now = time.monotonic()
        self.connects.append(now)
        if not self._connect_limit.allow(environ["REMOTE_ADDR"], now):
            self.violations["connect_rate"] += 1
            self.refused_total += 1
            return Response(429, b"Too many requests", "text/plain").send(start_response)
        refusal = self.faults.refusal.at(now)
        if refusal is not None:
            self.refused_total += 1
            return self._refuse(refusal, environ, start_response)
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # no compression: frames are written as they are
        return self._upgrade(environ, start_response)

    def _refuse(self, refusal: Refusal, environ: dict[str, Any], start_response: StartResponse) -> Any:
        if refusal.hang:
            while self.faults.refusal.at(time.monotonic()) is refusal:
                time.sleep(HANG_POLL_SECONDS)
        headers = [] if refusal.retry_after is None else [("Retry-After", refusal.retry_after)]
        if 300 <= refusal.status < 400:
            headers.append(("Location", refusal.location or f"ws://{environ['HTTP_HOST']}/elsewhere"))
        body, content_type = (HTML, "text/html") if refusal.status < 300 else (b"refused", "text/plain")
        return Response(refusal.status, body, content_type, tuple(headers)).send(start_response)

    def _serve(self, ws: Any) -> None:
        session = Session(self._accepted_total, ws, ws.environ["REMOTE_ADDR"], time.monotonic(), self.evidence)
        self._accepted_total += 1
        self._sessions[session.index] = session
        try:
            while (message := session.receive()) is not None:
                self._handle(session, message)
        except (OSError, UnicodeDecodeError) as error:  # it went away, or sent what is no text
            log.debug("connection=%s ended: %s", session.index, error)
        finally:
            del self._sessions[session.index]
            self._subscribers.remove(session)
            session.release()

    def _handle(self, session: Session, message: str | bytes) -> None:
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

    def sessions(self) -> list[Session]:
        """Return the open connections, the oldest first."""
        return [session for session in self._sessions.values() if session.open]

    # --- the audience, as the market sees it

    def has_room(self, product_id: str) -> bool:
        """Tell whether all subscribers of a product can take more right now; those muted do not count."""
        listeners = self._subscribers.of("ticker", product_id)
        return all(session.pending_bytes <= ROOM_BYTES or session.muted for session in listeners)

    def covers(self, product_ids: tuple[str, ...]) -> bool:
        """Tell whether each product's tickers have a subscriber."""
        return self._subscribers.covers(product_ids)

    # --- the loop

    def run(self) -> None:
        """Make everything happen, for ever."""
        while True:
            started = time.monotonic()
            self.step(started, time.time())
            time.sleep(max(0.0, started + STEP_SECONDS - time.monotonic()))

    def step(self, now: float, wall: float) -> None:
        """Send what is due at monotonic ``now``; ``wall`` is the same moment in seconds of the epoch."""
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)
        wall += self._shift_clock(now)
        if not self.paused:
            give_up_at = time.monotonic() + STEP_BUDGET_SECONDS
            for tick in self.market.due(now, wall, self):
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

    def release(self) -> int:
        """End all faults; return how many connections were muted."""
        muted = sum(session.muted for session in self.sessions())
        for session in self.sessions():
            session.heal()
        for product_id, frame in self.faults.clear().items():
            self._send(product_id, wire.text_frame(frame), time.monotonic())
        return muted

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

    def _sweep(self, now: float) -> None:
        flap = self.faults.flap.at(now)
        for session in self.sessions():
            session.pass_time(now)
            if flap and session.opened_at >= flap.since and now - session.opened_at >= flap.after_seconds:
                session.close(CLOSE_GOING_AWAY)
            late = now - session.opened_at > limits.FIRST_SUBSCRIBE_SECONDS
            if late and session.open and not session.has_subscribed and not session.muted:
                self.violations["late_subscribe"] += 1
                session.close(CLOSE_POLICY)
