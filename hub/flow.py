"""The way of a price: from what a path brings, through the book, to the ledger and to what is sent."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import orjson

from hub import green
from hub.detect.rules import price_signal, price_unwatched, volume_signal
from hub.detect.spikes import PriceSpike, SpikeDetector
from hub.detect.volume import VolumeAlert, VolumeDetector
from hub.fanout.latency import Stage
from hub.feed.in_turn import InTurn
from hub.feed.intake import Callbacks
from hub.model import Event, Heartbeat, Market, Order, Quote, Source, Taken, Ticker, Trust, TrustChange
from hub.payload import iso_time, tick_payload, ticker_body, unix_seconds

if TYPE_CHECKING:
    from hub.hub import PriceHub

PROVED = (Trust.LIVE, Trust.QUIET)


class Flow:
    """Owner of the detectors, and of whether any price may be simulated. Called from the feed's threads."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        settings = hub.settings
        window_seconds, cooldown = settings.window_minutes * 60, settings.volume_cooldown_seconds
        self.volume = VolumeDetector(
            window_seconds, settings.volume_threshold, window_seconds if cooldown is None else cooldown
        )
        percent = settings.price_spike_percent
        self._spikes = SpikeDetector(percent, settings.price_spike_minutes * 60) if percent else None
        self.simulated = settings.simulate
        # a green thread is not interrupted between the book and the clients
        self._lanes: dict[str, InTurn] | None = None if green.is_patched() else {}

    def _in_turn(self, product_id: str, part: Callable[[], None]) -> None:
        """Do what changes a product's price and tells of it; on native threads after what came before it."""
        if self._lanes is None or not self._hub.book.knows(product_id):
            part()
        elif not self._lanes.setdefault(product_id, InTurn()).do(part):
            self._hub.counters["dropped_in_turn"] += 1

    def callbacks(self, primary: bool) -> Callbacks:
        """Return whom the connections of a path tell."""
        lost = self.on_lost if primary else self.on_lost_beside
        return Callbacks(
            self.on_event, lost, self.on_delivering, self.on_left_out, self.on_skipped, self._hub.notes.transferred
        )

    def on_event(self, connection_id: str, event: Event, wall: float, monotonic: float, now: float) -> None:
        """Take in what a socket brought (see ``Callbacks.event``)."""
        hub = self._hub
        if type(event) is Ticker:
            if not event.history:
                self._on_ticker(event, Source.WS, connection_id, wall, monotonic, now)
            elif hub.book.last_id(event.product_id) >= 0:  # else it is of before our time
                # REST's price may be younger than it: as the latest it would take the price back in time
                source = Source.BACKFILL if hub.book.shown_by_rest(event.product_id) else Source.WS
                self._on_ticker(event, source, connection_id, wall, monotonic, now)
        elif type(event) is Heartbeat:
            last_id = hub.book.beat(event, monotonic)
            if last_id is not None:  # at once: later ids may be missing soon
                hub.ledger.deny(event.product_id, last_id)
        elif type(event) is Market:
            hub.book.take_market(event, monotonic)

    def _on_ticker(
        self, ticker: Ticker, source: Source, connection_id: str | None, wall: float, monotonic: float, now: float
    ) -> None:  # fmt: skip
        if self._lanes is None:  # which is most of the time: every tick comes by here
            self._take_ticker(ticker, source, connection_id, wall, monotonic, now)
        else:
            part = lambda: self._take_ticker(ticker, source, connection_id, wall, monotonic, now)  # noqa: E731
            self._in_turn(ticker.product_id, part)

    def _take_ticker(
        self, ticker: Ticker, source: Source, connection_id: str | None, wall: float, monotonic: float, now: float
    ) -> None:  # fmt: skip
        hub = self._hub
        if ticker.simulated:
            self.simulated = True
        elif hub.settings.simulate or (source is not Source.WS and hub.rest.simulated):
            ticker = ticker._replace(simulated=True)
        beside = connection_id is not None and not connection_id.startswith(hub.pool.path.prefix)
        taken = hub.book.apply(ticker, source, connection_id, wall, monotonic, now, beside)
        if taken is None:
            hub.counters["unexpected"] += 1
            return
        # nothing may wait between the book's change and the publishing of it: a new client's snapshot is taken from
        # the book, and would repeat this tick
        payload = tick_payload(taken.quote.body, taken.trust)
        order, product_id = taken.order, ticker.product_id
        missed = hub.ledger.has_open(product_id) and hub.ledger.arrived(
            product_id, ticker.trade_id, "backfill" if source is Source.BACKFILL else "late"
        )
        if order is Order.FORGOTTEN:  # of later ids the book alone tells: their gap may not be noted yet
            order = Order.LATE if missed else Order.DUPLICATE
        hub.counters[order.value] += 1
        if order is Order.DUPLICATE:
            if source is Source.WS:
                hub.watch.arrived(product_id)
            return
        if order is Order.AGAIN:  # the id has left before, with its trade
            body = ticker_body(taken.quote.ticker._replace(trade_id=0), source)
            payload = tick_payload(body, taken.trust)
        if order is Order.AGAIN or (order is Order.NEW and source is Source.REST):
            hub.publish("ticker_update", payload, product_id)
            hub.priority.tick(product_id, payload)
        elif order is Order.NEW and source is Source.WS:
            hub.publish("ticker_update", payload, product_id)
            hub.priority.tick(product_id, payload)
            if not taken.first:  # a product's first ticker is its last trade, sent again: no tick of now
                hub.fanout.latency.note(Stage.EXCHANGE_TO_HUB, (wall - unix_seconds(ticker.time)) * 1000, monotonic)
                self._detect(taken.quote, payload, monotonic, taken.trust is Trust.LIVE)
        else:
            hub.publish("trade_backfill", payload, product_id)
        self._note(taken, product_id, connection_id)

    def _note(self, taken: Taken, product_id: str, connection_id: str | None) -> None:
        """Tell the watch and the ledger what a ticker means for them: mostly nothing."""
        hub = self._hub
        if taken.first:
            hub.past.resume(product_id)
        if taken.jumped is not None:
            hub.watch.jumped(product_id, connection_id, taken.jumped)
        if taken.change is not None:
            hub.watch.tell([taken.change])
        if taken.refuted:
            hub.paths.set_idle(hub.book.idle())
            hub.catalogue.look_again(product_id)
        if taken.quote.source is Source.WS:
            hub.watch.arrived(product_id)

    def on_fetched(self, trades: list[Ticker]) -> None:
        for trade in trades:
            now = time.monotonic()
            self._on_ticker(trade, Source.BACKFILL, None, time.time(), now, now)

    def on_rest_price(self, ticker: Ticker, asked_at: float) -> bool:
        """Take a price of REST's statistics in; return whether it moved (False if another thread sees to it)."""
        moved: list[bool] = []
        self._in_turn(ticker.product_id, lambda: moved.append(self._take_rest_price(ticker, asked_at)))
        return moved == [True]

    def _take_rest_price(self, ticker: Ticker, asked_at: float) -> bool:
        hub = self._hub
        if hub.rest.simulated or hub.settings.simulate:
            self.simulated = True
            ticker = ticker._replace(simulated=True)
        quote = hub.book.take_rest(ticker, asked_at, time.time())
        if quote is None:
            return False
        standing = hub.book.standing(ticker.product_id, asked_at)
        payload = tick_payload(quote.body, standing.trust if standing is not None else Trust.STARTING)
        hub.counters["rest_prices"] += 1
        hub.publish("ticker_update", payload, ticker.product_id)
        hub.priority.tick(ticker.product_id, payload)
        return True

    def on_rest_trade(self, ticker: Ticker, asked_at: float) -> None:
        self._on_ticker(ticker, Source.REST, None, time.time(), asked_at, time.monotonic())

    def on_lost(self, connection_id: str, product_ids: tuple[str, ...], cause: str) -> None:
        hub = self._hub
        hub.counters[f"lost_{cause}"] += 1
        hub.notes.lost(connection_id, len(product_ids), cause)
        hub.watch.lost(connection_id, product_ids, cause)

    def on_lost_beside(self, connection_id: str, product_ids: tuple[str, ...], cause: str) -> None:
        """Note that a connection of the second path is gone: of what the first one delivers nothing is in doubt."""
        hub = self._hub
        hub.counters[f"lost_{cause}"] += 1
        alone = self._without_primary(product_ids)
        hub.notes.lost(connection_id, len(product_ids), cause, beside=not alone)
        if alone:
            hub.watch.lost(connection_id, alone, cause)

    def _without_primary(self, product_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of these products for which the primary path has no socket."""
        pool = self._hub.pool
        return tuple(item for item in product_ids if (slot := pool.slot_of(item)) is None or not slot.is_open)

    def on_skipped(self, connection_id: str, product_ids: tuple[str, ...]) -> None:
        """Note that a socket lost frames, of whatever product: where no other path proves them, all are in doubt."""
        hub = self._hub
        hub.counters["skipped_frames"] += 1
        primary = connection_id.startswith(hub.pool.path.prefix)
        hub.book.doubt(product_ids if primary else self._without_primary(product_ids))

    def on_delivering(self, connection_id: str) -> None:
        self._hub.notes.delivering(connection_id)
        self._hub.watch.delivering(connection_id)

    def on_left_out(self, product_ids: list[str]) -> None:
        self._hub.counters["asked_again"] += len(product_ids)

    def on_pause(self, seconds: float) -> None:
        hub = self._hub
        hub.counters["pauses"] += 1
        hub.notes.paused(seconds)
        hub.watch.paused(seconds)
        since = time.monotonic() - seconds
        for product_id in self.volume.products():
            self._doubt_volume(product_id, since)

    def on_trust(self, change: TrustChange) -> None:
        """Note that a product's trust changed."""
        if change.trust not in PROVED:
            self._doubt_volume(change.product_id, time.monotonic() - (change.verified_ms or 0) / 1000)

    def _doubt_volume(self, product_id: str, since: float) -> None:
        self._in_turn(product_id, functools.partial(self.volume.doubt, product_id, since))

    def keep(self, product_ids: Collection[str]) -> None:
        """Have the detectors forget every other product."""
        self.volume.keep(product_ids)
        if self._spikes is not None:
            for product_id in self._spikes.spiking():
                if product_id not in product_ids:
                    self._hub.alerts.signal(price_unwatched(product_id, time.time()))
            self._spikes.keep(product_ids)

    def _detect(self, quote: Quote, payload: str, monotonic: float, proved: bool) -> None:
        hub, ticker = self._hub, quote.ticker
        alert = self.volume.trade(ticker.product_id, float(ticker.last_size), monotonic, proved)
        if alert is not None:
            text = _alert_payload(alert, payload, ticker.simulated)
            hub.publish("volume_alert", text, alert.product_id)
            hub.notes.alert("volume_alert", text)
            hub.alerts.signal(volume_signal(alert, time.time()))
        if self._spikes is not None:
            spike = self._spikes.trade(ticker.product_id, float(ticker.price), monotonic)
            if spike is not None:
                self._tell_spike(spike, ticker.simulated)

    def end_spikes(self) -> None:
        """Tell of the price spikes that are over by time alone. To be called now and then."""
        if self._spikes is not None:
            for product_id in self._spikes.spiking():
                self._in_turn(product_id, functools.partial(self._end_spike, self._spikes, product_id))

    def _end_spike(self, spikes: SpikeDetector, product_id: str) -> None:
        spike = spikes.look(product_id, time.monotonic())
        if spike is not None:
            self._tell_spike(spike, self.simulated)

    def _tell_spike(self, spike: PriceSpike, simulated: bool) -> None:
        hub, now = self._hub, time.time()
        text = _spike_payload(spike, now, simulated)
        hub.publish("price_alert", text, spike.product_id)
        hub.notes.alert("price_alert", text)
        hub.alerts.signal(price_signal(spike, now))


def _spike_payload(spike: PriceSpike, at: float, simulated: bool) -> str:
    body: dict[str, Any] = {
        "symbol": spike.product_id,
        "spike_type": spike.spike_type,
        "event_type": spike.event_type,
        "pct_change": round(spike.pct_change, 3),
        "old_price": spike.old_price,
        "new_price": spike.new_price,
        "peak_price": spike.peak_price,
        "seconds": round(spike.seconds, 1),
        "time": iso_time(at),
    }
    return orjson.dumps({**body, "simulated": True} if simulated else body).decode()


def _alert_payload(alert: VolumeAlert, ticker: str, simulated: bool) -> str:
    numbers: dict[str, Any] = {
        "crypto": alert.product_id,
        "current_vol": alert.current_vol,
        "avg_vol": alert.avg_vol,
        "threshold": alert.threshold,
        "ratio": alert.ratio,
        "ticker": orjson.Fragment(ticker),
    }
    if simulated:
        numbers["simulated"] = True
    return orjson.dumps(numbers).decode()
