"""Advanced Trade's WebSocket path, over the Exchange's market: it looks what has happened there, and tells it its way.

Trades come gathered over 250 ms, tickers without a trade id at each step, heartbeats once a second a connection. What
was asked for and is not known is passed over without a word; a channel that brings nothing for long is closed without
one, unless heartbeats is subscribed.
"""

from __future__ import annotations

import random
import time
from typing import Any

from hub import wire
from hub.simulator import advanced_protocol as protocol
from hub.simulator import limits
from hub.simulator.advanced_protocol import HEARTBEATS, Request, RequestRefused
from hub.simulator.broken import Faults
from hub.simulator.endpoint import CLOSE_NORMAL, Endpoint
from hub.simulator.history import KEPT_TRADES, IdRanges
from hub.simulator.market import Market
from hub.simulator.session import Session

TRADES_SECONDS = 0.25
HEARTBEAT_SECONDS = 1.0
SNAPSHOT_TRADES = 10
MAX_UPTIME_SECONDS = 1_000_000  # of the server, when the simulator starts


class AdvancedTrade(Endpoint):
    """The server's side of all connections that speak Advanced Trade's protocol; ``sent`` are the ids that left."""

    name = "advanced_trade"
    channels = ("ticker", "market_trades", HEARTBEATS)

    def __init__(
        self, market: Market, faults: Faults, seed: int, now: float,
        idle_seconds: tuple[float, float] = limits.IDLE_CHANNEL_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__(market, faults, limits.WindowLimit(limits.ADVANCED_CONNECTS_PER_SECOND), now)
        self.sent: dict[str, IdRanges] = {}
        self.aliases = protocol.aliases_of(market.product_ids)
        self._message_limit = limits.WindowLimit(limits.ADVANCED_MESSAGES_PER_SECOND)
        self._rng = random.Random(f"{seed}:advanced")
        self._idle_seconds = idle_seconds
        self._started_at = now - self._rng.randrange(MAX_UPTIME_SECONDS)
        self._shown: dict[str, bytes | None] = {}  # the Exchange's ticker that the last one here was made of
        self._last_ids: dict[str, int] = {}  # of the trades that were sent
        self._trades_at = now
        self._counter = int(now - self._started_at)

    # --- requests

    def handle(self, session: Session, message: str | bytes) -> None:
        """Answer a client's message: what is known by now, then the ack."""
        now, wall = time.monotonic(), time.time()
        if not self._message_limit.allow(session.address, now):
            self.violations["message_rate"] += 1
            session.write_now(wire.text_frame(protocol.error_frame("rate limit exceeded")))
            return
        try:
            request = protocol.parse_request(message)
        except RequestRefused as refused:
            session.write_now(wire.text_frame(refused.frame))
            return
        when = protocol.time_text(self._shifted(now, wall))
        if request.subscribe:
            self._subscribe(session, request, now, when)
        else:
            gone = self._known(request) or session.channels.get(request.channel, set())
            self._subscribers.unlink(session, request.channel, gone)
        self._post(session, "subscriptions", protocol.ack_event(session.channels), now, when)
        session.flush()

    def _known(self, request: Request) -> list[str]:
        """Return the books of the products asked for; what is none is left out, and nobody is told."""
        if request.channel == HEARTBEATS:
            return [HEARTBEATS]
        books = dict.fromkeys(self.aliases.get(one, one) for one in request.product_ids)
        known = frozenset(self.market.product_ids)  # they grow
        return [one for one in books if one in known]

    def _subscribe(self, session: Session, request: Request, now: float, when: str) -> None:
        session.has_subscribed = True
        known = self._known(request)
        left_out = self.faults.left_out_of(frozenset(known))
        kept = [one for one in known if one not in left_out]
        if not kept:
            return
        delivery = self.faults.delivery
        for product_id in kept:
            delivery.subscribed(product_id, session)
            session.behind.discard(product_id)
        shown = [one for one in kept if not delivery.withholds(one, session, now)]
        if request.channel == "ticker":
            self._show_tickers(session, shown, now, when)
        elif request.channel == "market_trades":
            for product_id in kept:
                if not self._subscribers.of(request.channel, product_id):  # else its next batch overlaps the snapshot
                    happened = self.market.happened(product_id)
                    self._last_ids[product_id] = happened[-1][1] if happened else 0
            self._show_trades(session, shown, now, when)
        self._subscribers.link(session, request.channel, kept)
        session.updated_at[request.channel] = now

    def _show_tickers(self, session: Session, product_ids: list[str], now: float, when: str) -> None:
        frames = [frame for one in product_ids if (frame := self.market.snapshot(one)) is not None]
        if frames:
            event = protocol.tickers_event("snapshot", [protocol.ticker_row(frame) for frame in frames])
            self._post(session, "ticker", event, now, when)

    def _show_trades(self, session: Session, product_ids: list[str], now: float, when: str) -> None:
        events = []
        for product_id in product_ids:
            rows = self.market.trades(product_id, SNAPSHOT_TRADES, None, None)
            self._note_sent(product_id, rows)
            trades = [protocol.trade_row(product_id, row) for row in rows]
            events.append(protocol.trades_event("snapshot", trades))
        if events:
            number = session.sequence_num
            session.sequence_num += 1
            session.updated_at["market_trades"] = now
            frame = protocol.envelope("market_trades", number, when, b",".join(events))
            session.queue_about(wire.text_frame(frame), product_ids)

    # --- what is due

    def step(self, now: float, wall: float) -> None:
        """Send what is due at monotonic ``now``; ``wall`` is the same moment in seconds of the epoch."""
        self.sweep(now)
        beats, counter = self._counter, int((now - self._started_at) / HEARTBEAT_SECONDS)
        self._counter = counter
        if not self._sessions:
            return
        wall = self._shifted(now, wall)
        when = protocol.time_text(wall)
        self._send_tickers(now, when)
        if now >= self._trades_at:
            self._trades_at = max(self._trades_at + TRADES_SECONDS, now)
            self._send_trades(now, when)
        if counter > beats:
            self._beat(protocol.heartbeat_event(wall, now - self._started_at, counter), now, when)
        for session in list(self._sessions.values()):
            session.flush()

    def _send_tickers(self, now: float, when: str) -> None:
        """Send the market around each price that has changed."""
        for product_id in self._subscribers.products("ticker"):
            frame = self.market.snapshot(product_id)
            if frame is not None and frame is not self._shown.get(product_id):
                self._shown[product_id] = frame
                event = protocol.tickers_event("update", [protocol.ticker_row(frame)])
                self._send("ticker", product_id, event, now, when)

    def _send_trades(self, now: float, when: str) -> None:
        """Send the trades since the last time, a frame a product, newest first."""
        for product_id in self._subscribers.products("market_trades"):
            rows = self.market.trades(product_id, KEPT_TRADES, self._last_ids.get(product_id, 0), None)
            if not rows:
                continue
            self._last_ids[product_id] = rows[0]["trade_id"]
            self.ticks_total += len(rows)
            event = protocol.trades_event("update", [protocol.trade_row(product_id, row) for row in rows])
            if self.faults.delivery.drops(product_id):
                self.dropped.setdefault(product_id, []).extend(row["trade_id"] for row in reversed(rows))
                self._lose(product_id)
            elif self._send("market_trades", product_id, event, now, when, proof=True):
                self._note_sent(product_id, rows)

    def _send(
        self, channel: str, product_id: str, event: bytes, now: float, when: str, proof: bool = False
    ) -> bool:
        """Send an event of a product to its subscribers; return whether it left for any."""
        left = False
        for session in self._subscribers.of(channel, product_id):
            if self.faults.delivery.withholds(product_id, session, now):
                session.keep_from(product_id)
            else:
                self._post(session, channel, event, now, when, product_id, proof)
                left = True
        return left

    def _lose(self, product_id: str) -> None:
        """Lose a frame of a product's trades on its way to all subscribers: only its number is used up."""
        for session in self._subscribers.of("market_trades", product_id):
            session.sequence_num += 1
            session.keep_from(product_id)

    def _beat(self, event: bytes, now: float, when: str) -> None:
        for session in self._subscribers.of(HEARTBEATS, HEARTBEATS):
            if now >= session.no_heartbeats_until:
                self._post(session, HEARTBEATS, event, now, when)
                self.heartbeats_total += 1

    def _post(
        self, session: Session, channel: str, events: bytes, now: float, when: str, product_id: str | None = None,
        proof: bool = False,
    ) -> None:  # fmt: skip
        number = session.sequence_num
        session.sequence_num += 1
        session.updated_at[channel] = now
        session.queue(wire.text_frame(protocol.envelope(channel, number, when, events)), product_id, proof)

    def _note_sent(self, product_id: str, rows: list[dict[str, Any]]) -> None:
        sent = self.sent.setdefault(product_id, IdRanges())
        for row in reversed(rows):
            sent.add(row["trade_id"])

    def _shifted(self, now: float, wall: float) -> float:
        return wall + (self.faults.clock_offset_seconds.at(now) or 0.0)

    def end_idle(self, session: Session, now: float) -> None:
        """End idle channels without a word, and a connection that has no other."""
        if HEARTBEATS in session.channels or not session.channels:
            return
        allowed = random.Random(session.index).uniform(*self._idle_seconds)
        for channel in list(session.channels):
            if now - session.updated_at[channel] > allowed:
                self._subscribers.unlink(session, channel, session.channels[channel])
        if not session.channels:
            session.close(CLOSE_NORMAL)
