"""Every product at a glance: the bodies of ``GET /board`` and ``GET /sparklines``, and the look around once a second.

Nothing here is called for a tick: what the board shows beside the book's own is sampled.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import orjson

from hub.model import ConnectionStatus, Quote, Ticker, Trust
from hub.payload import PERCENT_PLACES, iso_time
from hub.sampled import Beats, Track
from hub.worker import Worker

if TYPE_CHECKING:
    from hub.feed.connection import Connection
    from hub.hub import PriceHub

BODY_SECONDS = 0.5  # one body serves all who ask within it
SAMPLE_SECONDS = 1.0
MINUTE_SECONDS = 60
CHUNK = 300  # products in one go: ticks do not wait for the whole board
HEARTBEATS_SILENT = 1.5

Figures = tuple[str | None, str | None, str | None, float | None, float | None]
"""Price, bid, ask, change in percent, volume in the quote currency."""
NO_FIGURES: Figures = (None, None, None, None, None)


class Board:
    """Owner of the samples, and of the body that is shared."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        self._tracks: dict[str, Track] = {}
        self._minute = int(time.time() // MINUTE_SECONDS)
        self.beats = Beats()
        self._second = 0
        self._ticks: dict[str, dict[str, int]] = {}  # path → product → tickers, a second ago
        self._reconnects: dict[str, int] = {}
        self._making = threading.Lock()
        self._made_at = float("-inf")
        self._body = b""
        self._figures: dict[str, tuple[Quote, Figures]] = {}
        self.worker = Worker("board", self._step)

    # -- what is asked for ----------------------------------------------------------------------------

    def body(self) -> bytes:
        """Return the body of ``GET /board``, at most ``BODY_SECONDS`` old."""
        with self._making:
            now = time.monotonic()
            if now - self._made_at >= BODY_SECONDS:
                self._body = orjson.dumps(self._make())
                self._made_at = now
            return self._body

    def _make(self) -> dict[str, Any]:
        hub, made_at = self._hub, time.time()
        products = hub.book.products
        slots = {item: slot.id for slot in reversed(hub.pool.slots()) for item in slot.products}
        gaps = hub.ledger.open_by_product()
        reasons: dict[str, str] = {}
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(products), CHUNK):
            now = time.monotonic()
            for item, quote, trust, why, verified_at in hub.book.rows(products[start : start + CHUNK], now):
                if trust is not Trust.LIVE and trust is not Trust.QUIET:
                    reasons[item] = why
                track = self._tracks.get(item)
                rows.append((
                    item, *(self._figures_of(item, quote) if quote is not None else NO_FIGURES), trust,
                    None if quote is None else max(0, int((now - quote.received_monotonic) * 1000)),
                    None if verified_at is None else max(0, int((now - verified_at) * 1000)),
                    None if track is None else track.rhythm_ms, slots.get(item), gaps.get(item, 0),
                ))  # fmt: skip
            time.sleep(0)
        self._figures = {item: self._figures[item] for item in products if item in self._figures}
        names = ("products", "price", "bid", "ask", "change_percent", "volume_quote", "trust", "age_ms", "verified_ms",
                 "rhythm_ms", "connection", "open_gaps")  # fmt: skip
        columns = zip(*rows, strict=True) if rows else ((),) * len(names)
        return {
            "time": iso_time(made_at),
            **dict(zip(names, columns, strict=True)),
            "reasons": reasons,
            "priority": list(hub.priority.last_updates()),
            "simulated": hub.simulated,
        }

    def _figures_of(self, product_id: str, quote: Quote) -> Figures:
        known = self._figures.get(product_id)
        if known is None or known[0] is not quote:  # most prices are the same as half a second ago
            known = self._figures[product_id] = quote, _figures(quote.ticker)
        return known[1]

    def sparklines(self, product_ids: list[str]) -> dict[str, Any]:
        """Return the body of ``GET /sparklines``; products that are not watched are left out."""
        book = self._hub.book
        return {
            "step_seconds": MINUTE_SECONDS,
            "end": iso_time((self._minute + 1) * MINUTE_SECONDS),
            "prices": {
                item: self._tracks.get(item, Track()).prices(book.quote(item))
                for item in product_ids if book.knows(item)
            },
            "simulated": self._hub.simulated,
        }  # fmt: skip

    # -- the look around ------------------------------------------------------------------------------

    def _step(self) -> float:
        now = time.monotonic()
        if int(now) > self._second:
            self._second = int(now)
            self._take_prices(int(time.time() // MINUTE_SECONDS))
            time.sleep(0)  # others have their turn
            self._take_beats(now)
            time.sleep(0)
            self._hub.fanout.measure(now)
        return SAMPLE_SECONDS - time.monotonic() % SAMPLE_SECONDS

    def _take_prices(self, minute: int) -> None:
        tracks = self._tracks
        if minute != self._minute:
            if minute > self._minute:  # else the clock was set back
                for track in tracks.values():
                    track.end_minute(minute - self._minute - 1)
            self._minute = minute
            self._tracks = tracks = {item: track for item, track in tracks.items() if self._hub.book.knows(item)}
        for number, quote in enumerate(self._hub.book.quotes(), 1):
            if number % CHUNK == 0:
                time.sleep(0)
            product_id = quote.ticker.product_id
            if product_id not in tracks:
                tracks[product_id] = Track()
            if (track := tracks[product_id]).quote is not quote:
                track.take(quote)

    def _take_beats(self, now: float) -> None:
        letters: dict[str, str] = {}
        before, self._ticks = self._ticks, {}
        lost, self._reconnects = self._reconnects, {}
        for name, pool in self._hub.paths.pools().items():
            ticks = self._ticks[name] = pool.ticks()
            then = before.get(name, {})
            for slot in pool.slots():
                if not slot.is_alive() and slot.id not in lost:  # new, and about to be started
                    continue
                seen = slot.snapshot()
                self._reconnects[slot.id] = seen.reconnects
                came = any(ticks.get(item) != then.get(item) for item in seen.product_ids)
                was_lost = seen.reconnects > lost.get(slot.id, seen.reconnects)
                letters[slot.id] = self._letter(slot, seen.status, came, was_lost, now)
        self.beats.note(self._second, letters)

    def _letter(self, slot: Connection, status: ConnectionStatus, came: bool, lost: bool, now: float) -> str:
        if status in (ConnectionStatus.FAILED, ConnectionStatus.DISCONNECTED):
            return "x"
        if status is not ConnectionStatus.CONNECTED or lost:  # it may be back within the second
            return "c"
        if came:
            return "d"
        silent = slot.silent_seconds(now)
        heard = silent < slot.age_seconds(now) and silent < HEARTBEATS_SILENT * self._hub.settings.heartbeat_seconds
        return "h" if heard else "s"


def _figures(ticker: Ticker) -> Figures:
    price, opened = float(ticker.price), float(ticker.open_24h)
    return (
        ticker.price,
        _sent(ticker.best_bid),
        _sent(ticker.best_ask),
        round((price - opened) / opened * 100, PERCENT_PLACES) + 0.0 if opened else None,  # never -0.0
        round(price * float(ticker.volume_24h), 2) if ticker.volume_24h != "0" else None,
    )


def _sent(text: str) -> str | None:
    """Return a field of a ticker, None for one that the exchange did not send."""
    return None if text == "0" else text
