"""The doctor's look at the way to the exchange: names, TCP, TLS, REST, the first prices, its clock."""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from hub import green
from hub.config import public
from hub.doctor import judge
from hub.doctor.judge import Check, Level, ok
from hub.feed import tls
from hub.feed.catalogue import choose
from hub.feed.dial import Dial, TransportError
from hub.feed.dialects import Dialect, ExchangeDialect
from hub.feed.dialects.advanced_trade import AdvancedTradeDialect
from hub.feed.dialects.aliases import parse_market_products
from hub.feed.product_list import CatalogueError, parse_products, parse_stats
from hub.feed.rest import RestClient, RestError
from hub.feed.transport import Transport
from hub.model import ConnectionHeartbeat, Envelope, ExchangeError, FrameRefused, Heartbeat, Market, Ticker
from hub.settings import Settings

REACH_SECONDS = 3.0  # at most; CONNECT_TIMEOUT_SECONDS, if that is less
ANSWER_SECONDS = 4.0
PRICES_SECONDS = 5.0
BEATS = 2  # heartbeats that are waited for: the one that was delayed less tells the time better
DIALECTS: dict[str, Callable[[], Dialect]] = {"exchange": ExchangeDialect, "advanced_trade": AdvancedTradeDialect}
Lines = list[Check]
Look = tuple[str, Callable[[], Lines]]


def look(settings: Settings) -> list[tuple[str, Lines]]:
    """Return (address, what was found there): REST first, which tells what to ask for, then the others at once."""
    seconds = min(REACH_SECONDS, settings.connect_timeout_seconds)
    lines, product = _rest(settings, seconds)
    looks: list[Look] = []
    if "advanced_trade" in settings.feeds:
        url = settings.advanced_trade_rest_url
        looks.append((url, partial(_advanced_rest, url, seconds)))
    for name in settings.feeds:
        url = settings.ws_url_of(name)
        looks.append((url, partial(_prices, url, DIALECTS[name](), product, seconds)))
    with ThreadPoolExecutor(len(looks)) as threads:
        found = threads.map(lambda look: (look[0], look[1]()), looks)
    return [(public(url), looked) for url, looked in ((settings.rest_url, lines), *found)]


def _reach(url: str, seconds: float) -> Lines:
    """Go to a host as far as TLS."""
    dial = Dial(url)
    try:
        with green.deadline(seconds):
            dial.look_up()
            dial.connect(seconds, tls.context() if dial.secure else None)
            dial.begin("")
            return _reached(dial)
    except (OSError, TransportError) as error:
        return [_not_reached(dial, dial.explain(error))]
    finally:
        dial.close()


def _reached(dial: Dial) -> Lines:
    begun = list(dial.steps.items())
    steps = [f"{name} {(later - at) * 1000:.0f}" for (name, at), (_, later) in itertools.pairwise(begun)]
    through = f" through the proxy {dial.proxy.host}:{dial.proxy.port}" if dial.proxy else ""
    lines = [ok("reached", f"{dial.host}:{dial.port}{through} ({', '.join(steps)} ms)")]
    if dial.secured is not None and (shown := dial.secured.getpeercert()):
        ends = ssl.cert_time_to_seconds(str(shown["notAfter"]))
        lines.append(judge.certificate((ends - time.time()) / 86_400))
    return lines


def _not_reached(dial: Dial, error: TransportError) -> Check:
    text = error.detail or f"{dial.host}:{dial.port}: {error.cause}"
    return judge.unreachable(error.cause, text, dial.proxy is not None)


def _rest(settings: Settings, seconds: float) -> tuple[Lines, str]:
    """Look at the exchange's REST; return also the product to ask for prices of, one that it lists if it can be had."""
    product = f"BTC-{settings.quote_currencies[0]}"
    lines = _reach(settings.rest_url, seconds)
    if any(line.level is Level.FAIL for line in lines):
        return lines, product
    rest = RestClient(settings.rest_url)
    try:
        with green.deadline(ANSWER_SECONDS):
            listed = parse_products(rest.get_json("/products"))
            chosen, unknown = choose(listed, parse_stats(rest.get_json("/products/stats")), settings)
    except (RestError, CatalogueError, TimeoutError) as error:
        return [*lines, _no_answer(error)], product
    finally:
        rest.close()
    lines.append(ok("REST", f"{len(listed)} products are listed; its budget has room"))
    if rest.simulated and not settings.simulate:
        lines.append(Check(Level.WARN, "REST", "it is the simulator, and no exchange", "unset WS_URL and REST_URL"))
    pace = settings.connect_interval_ms / 1000
    lines.append(judge.connects(len(chosen), unknown, pace, settings.products_per_connection))
    return lines, next((item.id for item in chosen if item.online), product)


def _advanced_rest(url: str, seconds: float) -> Lines:
    lines = _reach(url, seconds)
    if any(line.level is Level.FAIL for line in lines):
        return lines
    rest = RestClient(url)
    try:
        with green.deadline(ANSWER_SECONDS):
            found = parse_market_products(rest.get_json("/api/v3/brokerage/market/products"))
    except (RestError, FrameRefused, TimeoutError) as error:
        return [*lines, _no_answer(error)]
    finally:
        rest.close()
    return [*lines, ok("REST", f"{len(found.products)} products are listed, with their aliases")]


def _no_answer(error: Exception) -> Check:
    do = "is the URL right, and nothing in between that answers in its place?"
    if isinstance(error, RestError) and error.status == 429:
        do = judge.UNREACHABLE["http_429"]
    elif isinstance(error, TimeoutError) or (isinstance(error, RestError) and (error.status or 0) >= 500):
        do = "does the exchange's status page say something? Look again in a minute"
    return Check(Level.FAIL, "REST", f"no product list: {error}", do)


def _prices(url: str, dialect: Dialect, product: str, seconds: float) -> Lines:
    """Subscribe to one product as the hub does, and wait for a price and for heartbeats."""
    transport = Transport()
    context = tls.context() if url.startswith("wss:") else None
    try:
        transport.open(url, dialect.max_frame_bytes, seconds, context, lambda: True)
    except TransportError as error:
        assert transport.dial is not None
        return [_not_reached(transport.dial, error)]
    assert transport.dial is not None
    transport.dial.begin("")
    lines = _reached(transport.dial)
    steps = transport.dial.steps
    try:
        with green.deadline(PRICES_SECONDS):
            for frame in dialect.subscribe([product]):
                transport.send(frame)
            return [*lines, *_first_events(transport, dialect, product, steps[""] - steps["handshake"])]
    except (TransportError, FrameRefused, TimeoutError) as error:
        text = f"{product}: not both a price and heartbeats within {PRICES_SECONDS:g} s"
        text = text if isinstance(error, TimeoutError) else str(error)
        do = "does the exchange's status page say something? WS_URL and WS_DIALECT right?"
        return [*lines, Check(Level.FAIL, "prices", text, do)]
    finally:
        transport.close()


def _first_events(transport: Transport, dialect: Dialect, product: str, way_seconds: float) -> Lines:
    """Return when the first of each came, and what the heartbeats say of the clock.

    One took from 0 to ``way_seconds`` to come, there and back: that much of its age is no fault of a clock.
    """
    begun = time.monotonic()
    price_at: float | None = None
    beats: list[float] = []  # seconds by which our clock was ahead when each came, its way included
    while price_at is None or len(beats) < BEATS:
        frame, wall = transport.receive(), time.time()
        for event in dialect.decode(frame):
            match event:
                case Ticker() | Market():
                    price_at = price_at or time.monotonic()
                case Heartbeat(time=told) | ConnectionHeartbeat(time=told) | Envelope(time=told):
                    beats.append(wall - datetime.fromisoformat(told).timestamp())
                case ExchangeError():
                    raise TransportError("refused", f"{event.message}: {event.reason}")
    prices = ok("prices", f"{product}: the first after {price_at - begun:.1f} s, with heartbeats")
    return [prices, judge.clock(min(beats) - way_seconds, min(beats))]
