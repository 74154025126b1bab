"""What clients are told about a ticker: the one place where a ``Ticker`` becomes the contract's JSON.

The object is written by hand, because the exchange's texts pass on exactly (``133.630`` stays ``133.630``) and because
it is made once a tick and sent a thousand times. That is safe since the codec lets only plain decimal numbers, known
product-id characters and RFC 3339 times into a ``Ticker``: none of them needs escaping.
"""

from datetime import UTC, datetime
from decimal import Context, Decimal

from hub.model import Quote, Source, Standing, Ticker, Trust

PERCENT_PLACES = 3
EXACT = Context(prec=50)  # more than the 40 digits that the codec lets in


def iso_time(seconds: float) -> str:
    """Format wall-clock seconds since the epoch as ISO 8601 in UTC, with microseconds and ``Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_seconds(text: str) -> float:
    """Return wall-clock seconds since the epoch of an RFC 3339 text that a codec let in."""
    return datetime.fromisoformat(text).timestamp()


def json_number(text: str) -> str:
    """Give a plain decimal text the form of a JSON *float*: ``90200`` becomes ``90200.0``, others pass unchanged.

    Clients in typed languages do float arithmetic on these fields; an integer literal would change their type.
    """
    return text if "." in text else text + ".0"


def change_24h(ticker: Ticker) -> tuple[str, str]:
    """Return (price - open, the same in percent of open), exact and rounded to 3 places; zeros if open is unknown."""
    opened = Decimal(ticker.open_24h)
    if not opened:
        return "0.0", "0.0"
    change = EXACT.subtract(Decimal(ticker.price), opened)
    percent = round(float(change) / float(opened) * 100, PERCENT_PLACES) + 0.0  # never -0.0
    return json_number(f"{change:f}"), f"{percent:.{PERCENT_PLACES}f}"


def shown_source(ticker: Ticker, source: Source) -> Source:
    """Return the source that clients are told: what the simulator sent is never called the exchange's."""
    return Source.SIMULATOR if ticker.simulated and source is Source.WS else source


def ticker_body(ticker: Ticker, source: Source) -> str:
    """Return the ``ticker_update`` payload but for what changes with time: a JSON object's text without its end."""
    change, percent = change_24h(ticker)
    mark = ',"simulated":true' if ticker.simulated else ""
    return (
        f'{{"crypto":"{ticker.product_id}","price":{json_number(ticker.price)},'
        f'"bid":{json_number(ticker.best_bid)},"ask":{json_number(ticker.best_ask)},'
        f'"volume_24h":{json_number(ticker.volume_24h)},"price_24h":{json_number(ticker.open_24h)},'
        f'"low_24h":{json_number(ticker.low_24h)},"high_24h":{json_number(ticker.high_24h)},'
        f'"price_change_24h":{change},"price_change_percent_24h":{percent},'
        f'"last_size":{json_number(ticker.last_size)},"time":"{ticker.time}","timestamp":"{ticker.time[11:19]}",'
        f'"sequence":{ticker.sequence},"trade_id":{ticker.trade_id},"source":"{shown_source(ticker, source)}"{mark}'
    )


def tick_payload(body: str, trust: Trust) -> str:
    """Return the payload of a tick that leaves now: its ages are 0 and not worth their bytes."""
    return f'{body},"trust":"{trust}"}}'


def aged_payload(quote: Quote, standing: Standing) -> str:
    """Return the payload of a price that stands in the book: with its connection, trust and ages in milliseconds."""
    connection = f'"{quote.connection_id}"' if quote.connection_id is not None else "null"
    return (
        f'{quote.body},"connection_id":{connection},"trust":"{standing.trust}","age_ms":{standing.age_ms},'
        f'"verified_ms":{standing.verified_ms},"quote_age_ms":{standing.quote_age_ms}}}'
    )
