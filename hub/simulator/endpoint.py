"""What the exchange's WebSocket paths have in common: their connections, from the upgrade to the end.

All of it runs on green threads that yield only where they wait, so plain attributes are safe between two waits. A
reader a connection takes requests in; ``step`` sends everything that is due and never waits for a client.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any

from hub import green
from hub.simulator import limits
from hub.simulator.broken import Faults, Refusal
from hub.simulator.evidence import Evidence
from hub.simulator.http import HTML, Response, StartResponse
from hub.simulator.market import Market
from hub.simulator.session import Session
from hub.simulator.subscribers import Subscribers

MAX_MESSAGE_BYTES = 256 * 1024
ROOM_BYTES = 256 * 1024  # a replay waits for a subscriber that has more than this before it
STEP_SECONDS = 0.01  # longer: fewer, bigger writes and more latency; shorter: more CPU
SWEEP_SECONDS = 0.1
KEPT_CONNECTS = 5_000
HANG_POLL_SECONDS = 0.05
CLOSE_NORMAL, CLOSE_GOING_AWAY, CLOSE_POLICY = 1000, 1001, 1008

log = logging.getLogger(__name__)


class Endpoint(ABC):
    """The server's side of all connections of one WebSocket path, over one market; ``name`` is what faults call it."""

    name: str
    channels: tuple[str, ...]  # those that are fed

    def __init__(self, market: Market, faults: Faults, connect_limit: limits.Limit, now: float) -> None:
        self.market = market
        self.faults = faults
        self.ticks_total = 0
        self.heartbeats_total = 0
        self.refused_total = 0
        self.violations = {"connect_rate": 0, "message_rate": 0, "late_subscribe": 0}
        self.connects: deque[float] = deque(maxlen=KEPT_CONNECTS)
        self.dropped: dict[str, list[int]] = {}
        self.evidence = Evidence()
        self._sessions: dict[int, Session] = {}
        self.accepted_total = 0
        self._subscribers = Subscribers(self.channels)
        self._connect_limit = connect_limit
        self._upgrade = green.websocket_app(self._serve, MAX_MESSAGE_BYTES)
        self._swept_at = now

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
        session = Session(self.accepted_total, ws, ws.environ["REMOTE_ADDR"], time.monotonic(), self.evidence)
        self.accepted_total += 1
        self._sessions[session.index] = session
        try:
            while (message := session.receive()) is not None:
                self.handle(session, message)
        except (OSError, UnicodeDecodeError) as error:  # it went away, or sent what is no text
            log.debug("endpoint=%s connection=%s ended: %s", self.name, session.index, error)
        finally:
            del self._sessions[session.index]
            self._subscribers.remove(session)
            session.release()

    @abstractmethod
    def handle(self, session: Session, message: str | bytes) -> None:
        """Answer a client's message."""

    @abstractmethod
    def step(self, now: float, wall: float) -> None:
        """Send what is due at monotonic ``now``; ``wall`` is the same moment in seconds of the epoch."""

    def sessions(self) -> list[Session]:
        """Return the open connections, the oldest first."""
        return [session for session in self._sessions.values() if session.open]

    def has_room(self, product_id: str) -> bool:
        """Tell whether all subscribers of a product can take more right now; those muted do not count."""
        listeners = self._subscribers.of("ticker", product_id)
        return all(session.pending_bytes <= ROOM_BYTES or session.muted for session in listeners)

    def covers(self, product_ids: tuple[str, ...]) -> bool:
        """Tell whether each product's tickers have a subscriber."""
        return self._subscribers.covers(product_ids)

    def release(self) -> int:
        """End all faults; return how many connections were muted."""
        muted = sum(session.muted for session in self.sessions())
        for session in self.sessions():
            session.heal()
        self.cleared(self.faults.clear(), time.monotonic())
        return muted

    def cleared(self, held: dict[str, bytes], now: float) -> None:  # noqa: B027 - not every path holds any
        """Let go of what the faults held back, by product."""

    def sweep(self, now: float) -> None:
        """Now and then, end what has had its time."""
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        flap = self.faults.flap.at(now)
        for session in self.sessions():
            session.pass_time(now)
            if flap and session.opened_at >= flap.since and now - session.opened_at >= flap.after_seconds:
                session.close(CLOSE_GOING_AWAY)
            late = now - session.opened_at > limits.FIRST_SUBSCRIBE_SECONDS
            if late and session.open and not session.has_subscribed and not session.muted:
                self.violations["late_subscribe"] += 1
                session.close(CLOSE_POLICY)
            self.end_idle(session, now)

    def end_idle(self, session: Session, now: float) -> None:  # noqa: B027 - not every protocol does
        """End what has brought a connection nothing for too long, where the protocol does that."""


class Audience:
    """The subscribers of all endpoints together, as the market sees them."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self._endpoints = endpoints

    def has_room(self, product_id: str) -> bool:
        """Tell whether all subscribers of a product can take more right now."""
        return all(endpoint.has_room(product_id) for endpoint in self._endpoints)

    def covers(self, product_ids: tuple[str, ...]) -> bool:
        """Tell whether each product's tickers have a subscriber, on whichever endpoint."""
        return all(any(endpoint.covers((one,)) for endpoint in self._endpoints) for one in product_ids)


def run(endpoints: Sequence[Endpoint]) -> None:
    """Make everything happen, for ever; the first endpoint is the one that lets trades happen."""
    while True:
        started = time.monotonic()
        for endpoint in endpoints:
            endpoint.step(started, time.time())
        time.sleep(max(0.0, started + STEP_SECONDS - time.monotonic()))
