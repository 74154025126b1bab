"""The exchange: its connections, who subscribed to what, and the loop that makes everything happen.

All of it runs on green threads that yield only where they wait, so plain attributes are safe between two waits. A
reader a connection takes requests in; ``step`` sends everything that is due and never waits for a client.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from hub import green, wire
from hub.simulator import limits
from hub.simulator.faults import Faults, Refusal
from hub.simulator.http import Response, StartResponse
from hub.simulator.market import Market, Tick
from hub.simulator.protocol import RequestRefused, ack_frame, error_frame, parse_request
from hub.simulator.session import Session

MAX_MESSAGE_BYTES = 256 * 1024
ROOM_BYTES = 256 * 1024  # a replay waits for a subscriber that has more than this before it
STEP_SECONDS = 0.01  # longer: fewer, bigger writes and more latency; shorter: more CPU
STEP_BUDGET_SECONDS = 0.02  # of trades in one step: a replay at full speed must let readers and heartbeats in
SWEEP_SECONDS = 0.1
HEARTBEAT_SECONDS = 1.0
KEPT_CONNECTS = 5_000
HANG_POLL_SECONDS = 0.05
CLOSE_POLICY = 1008

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
        self._sessions: dict[int, Session] = {}
        self._accepted_total = 0
        self._subscribers: dict[str, dict[str, list[Session]]] = {"ticker": {}, "heartbeat": {}}
        self._product_ids = frozenset(market.product_ids)
        self._rng = random.Random(f"{seed}:acks")
        self._connect_limit = limits.RateLimit(limits.CONNECTS_PER_SECOND, limits.CONNECT_BURST)
        self._message_limit = limits.RateLimit(limits.MESSAGES_PER_SECOND, limits.MESSAGE_BURST)
        self._upgrade = green.websocket_app(self._serve, MAX_MESSAGE_BYTES)
        self._heartbeats_from = now
        self._heartbeat_slot = 0
        self._swept_at = now

    # --- connections

    def accept(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Answer an upgrade request: serve the connection to its end, or refuse it."""
        now = time.monotonic()
        self.connects.append(now)
        if not self._connect_limit.allow(environ["REMOTE_ADDR"], now):
            self.violations["connect_rate"] += 1
            self.refused_total += 1
            return Response(429, b"Too many requests", "text/plain").send(start_response)
        refusal = self.faults.refusal(now)
        if refusal is not None:
            self.refused_total += 1
            return self._refuse(refusal, start_response)
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # no compression: frames are written as they are
        return self._upgrade(environ, start_response)

    def _refuse(self, refusal: Refusal, start_response: StartResponse) -> Any:
        if refusal.hang:
            while self.faults.refusal(time.monotonic()) is refusal:
                time.sleep(HANG_POLL_SECONDS)
        headers = () if refusal.retry_after is None else (("Retry-After", refusal.retry_after),)
        return Response(refusal.status, b"refused", "text/plain", headers).send(start_response)

    def _serve(self, ws: Any) -> None:
        session = Session(self._accepted_total, ws, ws.environ["REMOTE_ADDR"], time.monotonic())
        self._accepted_total += 1
        self._sessions[session.index] = session
        try:
            while (message := session.receive()) is not None:
                self._handle(session, message)
        except (OSError, UnicodeDecodeError) as error:  # it went away, or sent what is no text
            log.debug("connection=%s ended: %s", session.index, error)
        finally:
            del self._sessions[session.index]
            for channel, product_ids in list(session.channels.items()):
                self._unlink(session, channel, product_ids)
            session.release()

    def _handle(self, session: Session, message: str | bytes) -> None:
        if not self._message_limit.allow(session.address, time.monotonic()):
            self.violations["message_rate"] += 1
            session.queue(wire.text_frame(error_frame("ErrSlowRead", "Rate limit exceeded")))
            session.close(CLOSE_POLICY)
            return
        try:
            request = parse_request(message, self._product_ids)
        except RequestRefused as refused:
            session.write_now(wire.text_frame(refused.frame))
            return
        snapshots: tuple[str, ...] = ()
        for channel, product_ids in request.channels.items():
            if request.subscribe:
                session.has_subscribed = True
                self._link(session, channel, product_ids)
                snapshots = product_ids if channel == "ticker" else snapshots
            else:
                self._unlink(session, channel, set(product_ids) or session.channels.get(channel, set()))
        session.queue(wire.text_frame(ack_frame(session.channels, self._rng)))
        for product_id in snapshots:
            frame = self.market.snapshot(product_id)
            if frame is not None:
                session.queue(wire.text_frame(frame))
        session.flush()

    def _link(self, session: Session, channel: str, product_ids: tuple[str, ...]) -> None:
        held = session.channels.setdefault(channel, set())
        listeners = self._subscribers.get(channel)
        for product_id in product_ids:
            if listeners is not None and product_id not in held:
                listeners.setdefault(product_id, []).append(session)
            held.add(product_id)

    def _unlink(self, session: Session, channel: str, product_ids: set[str]) -> None:
        held = session.channels.get(channel, set())
        listeners = self._subscribers.get(channel)
        for product_id in product_ids & held:
            if listeners is not None:
                listeners[product_id].remove(session)
                if not listeners[product_id]:
                    del listeners[product_id]
        left = held - product_ids
        if left:
            session.channels[channel] = left
        else:
            session.channels.pop(channel, None)

    def sessions(self) -> list[Session]:
        """Return the open connections, the oldest first."""
        return [session for session in self._sessions.values() if session.open]

    # --- the audience, as the market sees it

    def has_room(self, product_id: str) -> bool:
        """Tell whether all subscribers of a product can take more right now; those muted do not count."""
        listeners = self._subscribers["ticker"].get(product_id, ())
        return all(session.pending_bytes <= ROOM_BYTES or session.muted for session in listeners)

    def covers(self, product_ids: tuple[str, ...]) -> bool:
        """Tell whether each product's tickers have a subscriber."""
        listeners = self._subscribers["ticker"]
        return all(product_id in listeners for product_id in product_ids)

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
        if not self.paused:
            give_up_at = time.monotonic() + STEP_BUDGET_SECONDS
            for tick in self.market.due(now, wall, self):
                self._publish(tick)
                if time.monotonic() > give_up_at:
                    break
        for product_id in self._heartbeats_due(now):
            listeners = self._subscribers["heartbeat"].get(product_id)
            if listeners:
                self._send(listeners, self.market.heartbeat(product_id, wall))
                self.heartbeats_total += len(listeners)
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

    def _publish(self, tick: Tick) -> None:
        self.ticks_total += 1
        if self.faults.takes(tick.product_id):
            self.dropped.setdefault(tick.product_id, []).append(tick.trade_id)
            return
        listeners = self._subscribers["ticker"].get(tick.product_id)
        if listeners:
            self._send(listeners, tick.frame)

    @staticmethod
    def _send(listeners: list[Session], frame: bytes) -> None:
        framed = wire.text_frame(frame)
        for session in listeners:
            session.queue(framed)

    def _heartbeats_due(self, now: float) -> Iterator[str]:
        """Yield the products whose turn has come: each once a second, all of them spread over it."""
        product_ids = self.market.product_ids
        slot = int((now - self._heartbeats_from) / HEARTBEAT_SECONDS * len(product_ids))
        first = max(self._heartbeat_slot, slot - len(product_ids))  # after a pause: one each, not all that were missed
        self._heartbeat_slot = slot
        for number in range(first, slot):
            yield product_ids[number % len(product_ids)]

    def _sweep(self, now: float) -> None:
        for session in self.sessions():
            if session.muted_until is not None and session.muted_until <= now:
                session.unmute()
            late = now - session.opened_at > limits.FIRST_SUBSCRIBE_SECONDS
            if late and not session.has_subscribed and not session.muted:
                self.violations["late_subscribe"] += 1
                session.close(CLOSE_POLICY)
