"""The made-up market: which product trades next, at what price, and what the exchange would say about it.

Pure: the caller brings the random source and the time. The same seed gives the same ids, prices and sizes; only the
times differ. Prices and sizes are whole numbers of the product's smallest unit, so that texts are exact.
"""

from __future__ import annotations

import math
import random
import time
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any, NamedTuple, Protocol

from hub.simulator.history import DenseHistory, Trade
from hub.simulator.products import SIZE_DECIMALS, STABLE, Product, listing_row, make_products
from hub.simulator.timed import Timed, TimedSet

MAX_EXPONENT = 1.2  # above it a handful of products has nearly all the trades
QUIET_SHARE = 0.05  # of the products, the least active ones, trade next to never
QUIET_FACTOR = 0.0005
CATCH_UP_SECONDS = 1.0  # after a pause of the process, no more than this is made up for

STEP = 5e-5  # the standard deviation of one trade's step, as a share of the price
STABLE_STEP = 2e-6
PULL = 1e-5  # towards the opening price, a trade: keeps the walk within about 1 % of it
SPREAD = 1e-4  # of the price
MEAN_FUNDS = 400.0  # of a trade, in the quote currency
MAX_SIZE_UNITS = 10**17

SIZE_SCALE = 10**SIZE_DECIMALS
MONTH_DAYS = 30


class Tick(NamedTuple):
    """One trade that happened, and the ``ticker`` frame's JSON text about it."""

    product_id: str
    trade_id: int
    frame: bytes


class Audience(Protocol):
    """What a market may ask about those who listen."""

    def has_room(self, product_id: str) -> bool:
        """Tell whether all subscribers of a product can take more right now."""

    def covers(self, product_ids: tuple[str, ...]) -> bool:
        """Tell whether each product's tickers have a subscriber."""


class Market(Protocol):
    """What the exchange shows of its trades: made up (``GeneratedMarket``) or recorded (``RecordedMarket``)."""

    product_ids: tuple[str, ...]

    def due(self, now: float, wall: float, audience: Audience) -> Iterator[Tick]:
        """Yield the trades that are due at monotonic ``now``; ``wall`` is the same moment in seconds of the epoch."""

    def restart_clock(self, now: float) -> None:
        """Go on from ``now``, without making up for the time since the last trade."""

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of ``GET /products``."""

    def snapshot(self, product_id: str) -> bytes | None:
        """Return the product's last ticker frame, None if there was none."""

    def heartbeat(self, product_id: str, wall: float) -> bytes:
        """Return the product's heartbeat frame."""

    def stats(self, product_id: str) -> dict[str, str]:
        """Return ``{open, high, low, last, volume, volume_30day}`` of the last 24 hours."""

    def ticker(self, product_id: str) -> dict[str, Any]:
        """Return the body of ``GET /products/{id}/ticker``."""

    def trades(self, product_id: str, limit: int, above: int | None, below: int | None) -> list[dict[str, Any]]:
        """Return the newest ``limit`` trades with ``above < trade_id < below``, newest first, as REST shows them."""

    def happened(self, product_id: str) -> list[list[int]]:
        """Return the ranges ``[first, last]`` of the trade ids that happened."""

    def shift_clock(self, seconds: float) -> None:
        """Let all times from now on be that much later."""


def fixed(units: int, decimals: int) -> str:
    """Return whole units as decimal text with all its decimals: ``fixed(205, 2) == "2.05"``."""
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


def short(units: int, decimals: int) -> str:
    """Return whole units as decimal text without trailing zeros, as the exchange writes its statistics."""
    return fixed(units, decimals).rstrip("0").rstrip(".")


_second, _second_text = -1, ""


def time_text(time_us: int) -> str:
    """Return microseconds of the epoch in the exchange's form, ``2025-11-24T17:14:48.870548Z``."""
    global _second, _second_text
    second, micros = divmod(time_us, 1_000_000)
    if second != _second:
        _second, _second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{_second_text}.{micros:06d}Z"


def heartbeat_frame(product_id: str, last_trade_id: int, sequence: int, when: str) -> bytes:
    """Return a ``heartbeat`` frame's JSON text, marked as simulated."""
    return (
        f'{{"simulated":true,"type":"heartbeat","last_trade_id":{last_trade_id},"product_id":"{product_id}",'
        f'"sequence":{sequence},"time":"{when}"}}'
    ).encode()


def maker_side(taker_side: str) -> str:
    """Return the side that REST prints: the maker's, where the ticker names the taker's."""
    return "sell" if taker_side == "buy" else "buy"


def activity_weights(count: int, exponent: float) -> list[float]:
    """Return how often each of ``count`` products trades, relative to each other: Zipf, with a nearly silent tail."""
    weights = [1 / (rank**exponent) for rank in range(1, count + 1)]
    for rank in range(count - int(count * QUIET_SHARE), count):
        weights[rank] *= QUIET_FACTOR
    return weights


class Instrument:
    """One product's state: price, 24 h statistics, last trades. ``activity`` is its share of all trades."""

    def __init__(self, product: Product, activity: float, rng: random.Random, wall: float) -> None:
        self.product = product
        self.decimals = product.decimals
        self.price = self.open = round(product.price * 10**product.decimals)
        self.low = round(self.open * rng.uniform(0.97, 0.999))
        self.high = round(self.open * rng.uniform(1.001, 1.03)) + 1
        self.step = STABLE_STEP if product.base_currency in STABLE else STEP
        self.size_per_fund = SIZE_SCALE / product.price
        self.spread = max(1, round(self.open * SPREAD))
        self.volume = round(1e9 * (activity + 1e-6) * self.size_per_fund)
        self.volume_30d = self.volume * MONTH_DAYS
        self.sequence = rng.randrange(10**7, 10**11)
        self.trade_id = rng.randrange(10**6, 9 * 10**8)
        self.first_id = self.trade_id + 1
        self.time_us = 0
        self.size = 0
        self.bid = self.ask = 0
        self.frame = b""
        self.history = DenseHistory()
        self._head = f'","product_id":"{product.id}","price":"'
        self._set_range_text()
        self.trade(rng, int(wall * 1e6) - rng.randrange(60_000_000))  # the one that a first subscriber is shown

    def _set_range_text(self) -> None:
        decimals = self.decimals
        self.open_text = short(self.open, decimals)
        self.low_text = short(self.low, decimals)
        self.high_text = short(self.high, decimals)

    def trade(self, rng: random.Random, time_us: int) -> Tick:
        """Let one trade happen and return it; its time is never before the last one's."""
        price = self.price
        move = rng.gauss(0.0, 1.0) * self.step * price + (self.open - price) * PULL
        price = self.price = max(self.spread + 1, price + round(move))
        if price < self.low:
            self.low = price
            self._set_range_text()
        elif price > self.high:
            self.high = price
            self._set_range_text()
        draw = rng.random
        funds = -math.log(1.0 - draw()) * MEAN_FUNDS
        size = self.size = min(MAX_SIZE_UNITS, int(funds * self.size_per_fund) + 1)
        self.volume += size
        self.volume_30d += size
        gap = 1 + int(draw() * self.spread)
        if draw() < 0.5:
            side, self.bid, self.ask = "buy", price - gap, price
        else:
            side, self.bid, self.ask = "sell", price, price + gap
        bid_size, ask_size = int(draw() * 20 * size) + 1, int(draw() * 20 * size) + 1
        self.sequence += 1 + int(draw() * 8)  # orders that match nothing count too
        self.trade_id += 1
        if time_us > self.time_us:
            self.time_us = time_us
        decimals = self.decimals
        self.history.add(Trade(self.trade_id, self.time_us, price, size, side))
        self.frame = (
            f'{{"simulated":true,"type":"ticker","sequence":{self.sequence},"product_id":"{self.product.id}",'
            f'"price":"{fixed(price, decimals)}","open_24h":"{self.open_text}",'
            f'"volume_24h":"{fixed(self.volume, 8)}","low_24h":"{self.low_text}","high_24h":"{self.high_text}",'
            f'"volume_30d":"{fixed(self.volume_30d, 8)}","best_bid":"{fixed(self.bid, decimals)}",'
            f'"best_bid_size":"{fixed(bid_size, 8)}","best_ask":"{fixed(self.ask, decimals)}",'
            f'"best_ask_size":"{fixed(ask_size, 8)}","side":"{side}","time":"{time_text(self.time_us)}",'
            f'"trade_id":{self.trade_id},"last_size":"{fixed(size, 8)}"}}'
        ).encode()
        return Tick(self.product.id, self.trade_id, self.frame)


class GeneratedMarket:
    """A made-up market of ``count`` products in ``quote``, that trades ``rate`` times a second over all of them."""

    def __init__(
        self, count: int, rate: float, seed: int, now: float, wall: float, exponent: float = 1.1, quote: str = "USD"
    ) -> None:
        rng = random.Random(f"{seed}:products")
        wanted, others = make_products(count, quote, rng)
        foreign = [product for product in others if product.online]
        weights = activity_weights(count, exponent)
        weights += [weights[-1] * QUIET_FACTOR] * len(foreign)
        total = sum(weights)
        self._instruments = [
            Instrument(product, weight / total, rng, wall)
            for product, weight in zip(wanted + foreign, weights, strict=True)
        ]
        self._by_id = {instrument.product.id: instrument for instrument in self._instruments}
        self.product_ids = tuple(self._by_id)
        self._listing = [listing_row(product) for product in wanted + others]
        self._weights = weights
        self._cumulative = list(accumulate(weights))
        self._rng = random.Random(f"{seed}:trades")
        self._rate = rate
        self.rate_factor: Timed[float] = Timed()
        self.quiet = TimedSet()  # products that make no trades
        self.always_quiet: frozenset[str] = frozenset()
        self._since, self._since_wall = now, wall
        self._owed = 0.0

    def add(self, product: Product, wall: float) -> None:
        """List one more product, that trades from now on as often as the others do on average."""
        mean = self._cumulative[-1] / len(self._cumulative)
        rng = random.Random(product.id)  # of its own: what the others draw must not depend on it
        instrument = Instrument(product, mean / self._cumulative[-1], rng, wall)
        self._instruments.append(instrument)
        self._cumulative.append(self._cumulative[-1] + mean)
        self._by_id[product.id] = instrument
        self._listing.append(listing_row(product))
        self.product_ids = (*self.product_ids, product.id)

    def due(self, now: float, wall: float, audience: Audience) -> Iterator[Tick]:  # noqa: ARG002 - never waits
        """Yield the trades since the last call, their times spread evenly over the interval."""
        elapsed = min(now - self._since, CATCH_UP_SECONDS)
        rate = self._rate * (self.rate_factor.at(now) or 1.0)
        self._owed = min(self._owed + elapsed * rate, rate * CATCH_UP_SECONDS)
        quiet = self.always_quiet | self.quiet.at(now)
        count = int(self._owed)
        begin = self._since_wall if 0 <= wall - self._since_wall <= CATCH_UP_SECONDS else wall
        self._since, self._since_wall = now, wall
        for number in range(1, count + 1):
            self._owed -= 1  # one by one: the caller may stop in between
            instrument = self._draw()
            if instrument.product.id not in quiet:
                yield instrument.trade(self._rng, int((begin + (wall - begin) * number / count) * 1e6))

    def trade(self, time_us: int) -> Tick:
        """Let the next trade happen, in whichever product is next."""
        return self._draw().trade(self._rng, time_us)

    def _draw(self) -> Instrument:
        draw = self._rng.random() * self._cumulative[-1]
        return self._instruments[min(bisect(self._cumulative, draw), len(self._instruments) - 1)]

    def concentrate(self, product_ids: tuple[str, ...], share: float) -> None:
        """Let these products have that share of all trades, evenly; 0: let all have what they had at the start."""
        weights, chosen = list(self._weights), set(product_ids)
        if share:
            inside = [instrument.product.id in chosen for instrument in self._instruments]
            rest = sum(weight for weight, is_in in zip(weights, inside, strict=True) if not is_in)
            each = rest * share / (1 - share) / len(chosen)
            weights = [each if is_in else weight for weight, is_in in zip(weights, inside, strict=True)]
        self._cumulative = list(accumulate(weights))

    def half(self) -> tuple[str, ...]:
        """Return every other product, so that busy and idle ones are in both halves."""
        return self.product_ids[1::2]

    def shift_clock(self, seconds: float) -> None:
        """Let all times from now on be that much later."""
        self._since_wall += seconds
        for instrument in self._instruments:
            instrument.time_us += int(seconds * 1e6)

    def restart_clock(self, now: float) -> None:
        """Forget the time since the last trade."""
        self._since, self._since_wall, self._owed = now, math.inf, 0.0

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of ``GET /products``: the wanted ones, a foreign quote's, delisted ones."""
        return self._listing

    def snapshot(self, product_id: str) -> bytes | None:
        """Return the product's last ticker frame."""
        return self._by_id[product_id].frame

    def heartbeat(self, product_id: str, wall: float) -> bytes:
        """Return the product's heartbeat frame."""
        instrument = self._by_id[product_id]
        when = time_text(max(int(wall * 1e6), instrument.time_us))
        return heartbeat_frame(product_id, instrument.trade_id, instrument.sequence, when)

    def stats(self, product_id: str) -> dict[str, str]:
        """Return the product's 24 h statistics."""
        instrument = self._by_id[product_id]
        return {
            "open": instrument.open_text,
            "high": instrument.high_text,
            "low": instrument.low_text,
            "last": fixed(instrument.price, instrument.decimals),
            "volume": fixed(instrument.volume, SIZE_DECIMALS),
            "volume_30day": fixed(instrument.volume_30d, SIZE_DECIMALS),
        }

    def ticker(self, product_id: str) -> dict[str, Any]:
        """Return the product's last trade and quote."""
        instrument = self._by_id[product_id]
        return {
            "ask": fixed(instrument.ask, instrument.decimals),
            "bid": fixed(instrument.bid, instrument.decimals),
            "volume": fixed(instrument.volume, SIZE_DECIMALS),
            "trade_id": instrument.trade_id,
            "price": fixed(instrument.price, instrument.decimals),
            "size": fixed(instrument.size, SIZE_DECIMALS),
            "time": time_text(instrument.time_us),
        }

    def trades(self, product_id: str, limit: int, above: int | None, below: int | None) -> list[dict[str, Any]]:
        """Return a page of the kept trades."""
        instrument = self._by_id[product_id]
        return [
            {
                "time": time_text(trade.time_us),
                "trade_id": trade.trade_id,
                "price": fixed(trade.price, instrument.decimals),
                "size": fixed(trade.size, SIZE_DECIMALS),
                "side": maker_side(trade.side),
            }
            for trade in islice(instrument.history.newest_first(above, below), limit)
        ]

    def happened(self, product_id: str) -> list[list[int]]:
        """Return the one dense range of trade ids."""
        instrument = self._by_id[product_id]
        return [[instrument.first_id, instrument.trade_id]]
