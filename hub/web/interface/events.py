"""Every Socket.IO event, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.web.interface.glossary import or_null
from hub.web.interface.protocol import examples
from hub.web.interface.routes import HUB_ALERT, TICKER
from hub.web.interface.schema import Notes

TO_CLIENT, TO_HUB = "to the client", "to the hub"
TICK = {**TICKER, "sent_at": {"optional": True}}
ANYTHING = {"optional": True, "type": None}  # a number may be a text, and null; see hub.detect.relayed
NAMES = {"description": "Ids, and patterns in which `*` stands for a whole side: `*-EUR`, `BTC-*`, `*-*`."}
CHOICE: Notes = {
    "products": {**NAMES, "description": "The names that the request added, or took away."},
    "products_count": {"type": "integer", "null": True, "description": "Names in force; null: everything."},
    "unknown": {"items": {"type": "string"}, "description": "Not watched: the first 50 of them."},
    "unknown_count": "How many are not watched.",
}
NO_CHOICE = {"type": "object", "required": ["success", "error"],
             "properties": {"success": {"const": False}, "error": {"type": "string"}}}  # fmt: skip
MAX_HZ = {"type": "number", "minimum": 0.1, "maximum": 1000, "null": True, "optional": True}


@dataclass(frozen=True)
class Event:
    """One event. ``title`` is its heading in ``docs/protocol.md``, which has its example."""

    title: str
    summary: str
    way: tuple[str, ...] = (TO_CLIENT,)
    notes: Notes = field(default_factory=dict)
    answer: Notes | None = None  # notes on the acknowledgement, where there is one
    is_ticker: bool = False
    is_list: bool = False  # of tickers

    @property
    def example(self) -> Any:
        if not self.is_ticker:
            return examples()[self.title][0]
        return [ticker()] if self.is_list else ticker()

    @property
    def acknowledgement(self) -> Mapping[str, Any]:
        answers: list[Any] = examples()[self.title]
        return answers[1] if len(answers) > 1 else {"success": True}


def ticker() -> dict[str, Any]:
    """Return the example of a ticker, as an event has it."""
    return {**examples()["GET /tickers/BTC-USD"][0], **examples()["latency_sample"][0]}


LISTING = {"reason": "Why, in words.", "time": "That of the exchange's product list."}

EVENTS = (
    Event("ticker_update", "A new price. It never goes back in time for a product.", is_ticker=True),
    Event("ticker_batch", "Ticks that left together, for a client that asked for `batch`.",
          is_ticker=True, is_list=True),
    Event("priority_ticker_update", "The latest of a priority pair: at once, then at most once a second.",
          is_ticker=True),
    Event("trade_backfill", "A trade that arrived late, or was fetched afterwards.", is_ticker=True),
    Event("trust_update", "A product's trust changed.", notes={
        "verified_ms": or_null("integer", "Milliseconds since the last proof; null before the first."),
    }),
    Event("product_listed", "A product is watched from now on.", notes=LISTING),
    Event("product_delisted", "The exchange gave a product up.", notes=LISTING),
    Event("product_left", "A product is not watched any more.", notes=LISTING),
    Event("volume_alert", "The volume of the running window is far above the usual.", notes={
        "ticker": {"free": True, "description": "The ticker of that moment."}, "simulated": {"optional": True},
        "ratio": "`current_vol` / `avg_vol`.",
    }),
    Event("price_alert", "A price has moved far within minutes, or such a move has ended.", notes={
        "symbol": "The product.", "peak_price": "The farthest price from the old one.",
        "seconds": "Since the start of the spike.", "time": "When it was noticed.", "simulated": {"optional": True},
    }),
    Event("hub_alert", "The hub itself needs somebody, or no longer does.", notes=HUB_ALERT),
    Event("spike_alert", "A client's alert: relayed unchanged to all clients, the sender too.", (TO_HUB, TO_CLIENT),
          notes=dict.fromkeys(("symbol", "spike_type", "event_type", "pct_change", "old_price", "new_price"), ANYTHING),
          answer={}),
    Event("trade_update", "The body of a `POST /alert`, unchanged.",
          notes=dict.fromkeys(("crypto", "current_vol", "avg_vol", "threshold"), ANYTHING)),
    Event("lag", "To a client that lags: what follows are the latest ticks.", notes={
        "conflated": "Ticks that were replaced by later ones.", "dropped": "Other events that were left out.",
        "behind_ms": "For how long it has not got everything.",
    }),
    Event("hub_stopping", "The hub is about to stop, on purpose. Reconnect when it has closed.", notes={
        "reconnect": "Whether to come back.", "within_ms": "Within which it closes.",
    }),
    Event("subscribe", "What the client wants from now on. What is left out stays as it was.", (TO_HUB,), notes={
        "products": {**NAMES, "maxItems": 1000, "optional": True}, "max_hz": MAX_HZ,
        "batch": {"optional": True, "description": "Ticks as `ticker_batch`."},
    }, answer=CHOICE),
    Event("unsubscribe", "These products no more; without `products`, none at all.", (TO_HUB,), notes={
        "products": {**NAMES, "optional": True},
    }, answer=CHOICE),
    Event("latency_sample", "`sent_at` of a tick, as soon as it came.", (TO_HUB,), answer={}),
)  # fmt: skip
