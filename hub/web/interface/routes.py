"""Every route, in the order in which they are shown. A test holds this table against those of the application."""

from __future__ import annotations

from hub.detect.health import Readiness
from hub.detect.rules import CRITICAL, FIRING, INFO, ONCE, RESOLVED, WARNING
from hub.detect.rules import KINDS as KINDS_OF_ALERTS
from hub.journal import ALERT_EVENTS, KINDS, TONES
from hub.model import ConnectionStatus, HealthStatus, Trust
from hub.rings import RANGES
from hub.web.interface.glossary import one_of, or_null
from hub.web.interface.route import TEXT, Body, Query, Route
from hub.web.interface.routes_operators import OPERATORS
from hub.web.interface.schema import Notes

ID = "[A-Za-z0-9]{1,20}-[A-Za-z0-9]{1,20}"
ANY_PRODUCT = {"type": "string", "pattern": f"^{ID}$", "examples": ["BTC-USD"],
               "description": "A product, in any letter case."}  # fmt: skip
LIMIT = {"type": "integer", "minimum": 1}
MILLISECONDS = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999}
SINCE = Query("since", "Only what was not over before: seconds since 1970, or ISO 8601.", {
    "anyOf": [{**TEXT, "format": "date-time"}, {**TEXT, "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?$"}],
    "examples": ["2026-11-20T00:00:00Z"],
})  # fmt: skip
TICKER = {
    "simulated": {"optional": True}, "connection_id": {"optional": True}, "age_ms": {"optional": True},
    "verified_ms": {"optional": True}, "quote_age_ms": {"optional": True}, "trust": {"optional": True},
}  # fmt: skip
NEVER_MISSING = "no such product, or it has no price yet"
ENTRY = {  # of the journal
    "product": or_null("string", "The product; null for none."), "connection_id": or_null("string", "The slot."),
    "kind": one_of(KINDS, "What happened."), "tone": one_of(TONES, "How bad it is."),
    "data": {"free": True, "description": "More of it, depending on `kind`."},
}  # fmt: skip
HUB_ALERT: Notes = {
    "key": "Stays the same from firing to resolved.", "kind": one_of((*KINDS_OF_ALERTS, "test"), "What it is about."),
    "severity": one_of((INFO, WARNING, CRITICAL), "How bad it is."),
    "state": one_of((FIRING, RESOLVED, ONCE), "`once`: it has no end."), "message": "What is wrong, in words.",
    "symbol": or_null("string", "The product, where it is about one."), "since": "When it began.",
}  # fmt: skip
NOTICES = {"map": True, "additionalProperties": {"type": "integer"}}
STATUS = one_of(ConnectionStatus, "`failed`: lost five times in a row; it goes on trying.")

PRICES = (
    Route(
        "GET /prices?limit=10", "Prices", "The newest prices", "Prices",
        queries=(Query("limit", "How many, the newest first.", {**LIMIT, "default": 50}),),
        also={400: "limit is no positive integer"},
        notes={
            "prices": {"map": True, "description": "Product → its price."}, "timestamp": "When this answer was made.",
            "prices.*.simulated": {"optional": True},
        },
    ),
    Route(
        "GET /price/BTC-USD", "Prices", "One price, if it is young enough", "Price",
        "With `max_age_ms` or `max_tick_age_ms` an older price is not served: a 503 instead of an old number.",
        queries=(
            Query("max_age_ms", "Only a price that was proved at most so long ago.", MILLISECONDS),
            Query("max_tick_age_ms", "Only a price whose last trade is at most so old.", MILLISECONDS),
        ),
        also={400: "no number of milliseconds", 404: NEVER_MISSING, 503: "the price is older than was asked for"},
    ),
    Route(
        "GET /price/BTC-USD/explain", "Prices", "Why a product stands as it does", "Explanation",
        also={404: "no such product"},
        notes={
            "price": {"free": True, "null": True, "description": "The ticker; null before the first."},
            "doubted": "Its connection was lost, and nothing was proved since.",
            "ages": {"map": True, "description": "Milliseconds since each; null where there is none."},
            "ages.*": {"null": True}, "ids": "Trade ids; -1: none yet.",
            "ids.first": {"null": True, "description": "The first that was seen."},
            "ids.last": {"null": True, "description": "The latest, by any way."},
            "ids.last_delivered": "The latest that a socket brought.",
            "ids.last_named_by_heartbeat": "The latest that a heartbeat named.",
            "heartbeat.last_trade_id": "The trade that it named.",
            "heartbeat": {"null": True, "description": "The exchange's last heartbeat for it."},
            "history": "Its changes of trust.",
            "slot.status": STATUS, "slot": {"null": True, "description": "The connection that has to deliver it."},
            "last_frames": "What its connection brought of it.", "repair_tries": or_null("integer", "REST requests."),
            "gaps": "Its entries of `GET /gaps`.",
        },
    ),
    Route(
        "GET /tickers", "Prices", "Every ticker", "Tickers", "Products without a tick yet are left out.",
        notes={"": {"map": True}, **{f".*.{name}": note for name, note in TICKER.items()}},
    ),
    Route("GET /tickers/BTC-USD", "Prices", "One ticker", "Ticker", also={404: NEVER_MISSING}, notes=TICKER),
    Route(
        "GET /sparklines?products=BTC-USD,ETH-USD", "Prices", "The last hour by minutes", "Sparklines",
        queries=(Query("products", "1 to 100 product ids, separated by commas.", {
            **TEXT, "pattern": f"^{ID}(,{ID}){{0,99}}$", "examples": ["BTC-USD,ETH-USD"],
        }, required=True),),
        also={400: "no list of 1 to 100 product ids"},
        notes={
            "end": "When the last minute ends.", "prices": {"map": True, "description": "Product → 60 prices."},
            "prices.*[]": {"null": True},
        },
    ),
    Route(
        "GET /board", "Prices", "Every product, in columns", "Board",
        "A column a field, all in the order of `products`. Made at most twice a second.",
        notes={
            **{f"{name}[]": {"null": True} for name in (
                "price", "bid", "ask", "change_percent", "volume_quote", "age_ms", "verified_ms", "rhythm_ms",
                "connection",
            )},
            "products": "By the volume of 24 hours.", "change_percent": "In 24 hours.",
            "volume_quote": "Of 24 hours, in the quote currency.", "trust": {"enum": None},
            "trust[]": one_of(Trust, ""), "rhythm_ms": "The usual time between two trades.",
            "connection": "The slot that has to deliver it.",
            "reasons": {"map": True, "description": "Product → why it is neither live nor quiet."},
            "priority": "The priority pairs.",
        },
    ),
)  # fmt: skip

PRIORITY = (
    Route(
        "GET /priority-pairs", "Priority pairs", "The priority pairs", "PriorityPairs",
        "Of each, the latest ticker leaves as `priority_ticker_update`: at once, then at most once a second.",
        notes={
            "totalPriorityPairs": "How many.", "priorityPairs": "In the order of adding.",
            "pinned": {"items": {"type": "string"}, "description": "Those of `PRIORITY_PAIRS`: they stay."},
            "updateInterval": "In milliseconds.",
            "lastUpdates": {"map": True, "description": "Product → when its last update left, or null."},
            "lastUpdates.*": {"null": True},
        },
    ),
    Route(
        "POST /priority-pairs", "Priority pairs", "Add or remove one", "Done",
        body=Body({
            "type": "object", "required": ["product_id", "action"],
            "properties": {"product_id": ANY_PRODUCT, "action": one_of(("add", "remove"), "What to do.")},
        }, {"product_id": "BTC-USD", "action": "add"}, "a field is missing, or is not what it must be"),
        also={404: "the product is not watched"},
    ),
    Route(
        "PUT /priority-pairs", "Priority pairs", "Replace the set", "PairsSet", "One bad id, and nothing changes.",
        body=Body({
            "type": "object", "required": ["product_ids"],
            "properties": {"product_ids": {
                "type": "array", "items": ANY_PRODUCT, "maxItems": 1000, "description": "All of them.",
            }},
        }, {"product_ids": ["BTC-USD", "ETH-USD"]}, "no list, an id that can't be one, or too many"),
        also={404: "a product is not watched"}, notes={"product_ids": "The set that is in force now."},
    ),
    Route("DELETE /priority-pairs", "Priority pairs", "Remove all", "Done"),
)  # fmt: skip

PAST = (
    Route(
        "GET /gaps?product=BTC-USD&since=2026-11-20T00:00:00Z&open=true&limit=1000", "What was", "The ledger of gaps",
        "Gaps", "Every interval in which something could have been missed, the newest first. Kept over a restart.",
        queries=(
            Query("product", "Only this product's.", ANY_PRODUCT), SINCE,
            Query("open", "Only those that are open, or that are not.", {"enum": ["true", "false", "1", "0"]}),
            Query("limit", "How many.", {**LIMIT, "default": 1000}),
        ),
        also={400: "a parameter that can't be; the text says which"},
        notes={"gaps": "The newest first.", "gaps[].missing_ranges[]": {"type": "array", "items": {"type": "integer"}},
               "gaps[].missing_ranges": {"items": {"type": "array", "items": {"type": "integer"}}}},
    ),
    Route(
        "GET /history", "What was", "How the hub fared", "History", "Kept over a restart.",
        queries=(
            Query("range", "A point a second, each 10 s, or each 5 minutes.", {"enum": [*RANGES], "default": "5m"}),
            SINCE,
        ),
        also={400: "another range, or no time"},
        notes={
            "times": "Seconds since 1970 at which each step begins.",
            "series": {"map": True, "description": "Name → a value for each step; null where nobody looked."},
            "series.*[]": {"type": "number", "null": True},
            "running": {"type": "object", "null": True, "description": "The step that is not over."},
            "annotations": "Entries of `GET /journal` of that time, the oldest first.",
            **{f"annotations[].{name}": note for name, note in ENTRY.items()},
        },
    ),
    Route(
        "GET /journal", "What was", "What happened, in words", "Journal", "The newest first. Kept over a restart.",
        queries=(
            Query("after", "Only entries after this id.", {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}),
            SINCE, Query("kind", "One or several, separated by commas.", {
                **TEXT, "pattern": f"^({'|'.join(KINDS)})(,({'|'.join(KINDS)}))*$", "examples": ["lost,connected"],
            }),
            Query("connection", "Only of this slot.", {**TEXT, "examples": ["conn_004"]}),
            Query("product", "Only of this product.", ANY_PRODUCT),
            Query("limit", "How many; over 1,000 counts as that.", {**LIMIT, "default": 200}),
        ),
        also={400: "a parameter that can't be; the text says which"},
        notes={"last_id": "For `after` of the next request.", "events": "The newest first.",
               **{f"events[].{name}": note for name, note in ENTRY.items()}},
    ),
    Route(
        "GET /signals", "What was", "The alerts that were sent", "Signals",
        queries=(
            Query("symbol", "Only of this product.", ANY_PRODUCT),
            Query("event", "Only those that left as this event.", {**TEXT, "enum": [*ALERT_EVENTS]}),
            Query("limit", "How many; over 200 counts as that.", {**LIMIT, "default": 50}),
        ),
        also={400: "a parameter that can't be; the text says which"},
        notes={
            "signals": "The newest first; the hub's own, the market's and clients' have a third of the room each.",
            "signals[].event": or_null("string", "The event as which it left."),
            "signals[].symbol": or_null("string", "The product, if it names one."),
            "signals[].payload": {
                "free": True, "null": True, "description": "What was sent; null where that is long, or not one.",
            },
        },
    ),
)  # fmt: skip

HEALTH = (
    Route(
        "GET /health", "Health", "The verdict on the whole", "Health", limited=False,
        also={503: "no connection to the exchange is up: `critical`, or `starting` in the first minute"}, same=(503,),
        notes={
            "status": one_of(HealthStatus, "The verdict; `reasons` says why it is not `healthy`."),
            "headline": "Whether every price can be trusted, in a sentence.",
            "summary": "How many products are in which state.", "untrusted_products": "How many can't be trusted.",
            "untrusted": {"description": "The first 20 of them.", "items": {"type": "object"}},
            "total_products": "Products that are watched.",
            "active_products": "Had a tick in two minutes, or are proved to be merely quiet.",
            "ticking_products": "Had a tick in two minutes.", "coverage_percentage": "The active part, 0–100.",
            "total_messages_received": "Frames since the start.", "total_errors": "Errors since the start.",
            "price_samples": "Products with a price.", "last_updated": "When this answer was made.",
            "trust": {"enum": None, "map": True, "description": "State → number of products."},
            "paths": {"map": True, "description": "Each path of `FEED`."},
            "refused_frames": {"map": True, "additionalProperties": {"type": "integer"},
                               "description": "Reason → frames that were not believed."},
            "counters": {"map": True, "description": "What happened since the start; see docs/protocol.md."},
            "unknown_products": {"items": TEXT, "description": "Asked for, and not listed by the exchange."},
            "reasons": {"items": TEXT, "description": "Why it is not `healthy`, in words."},
        },
    ),
    Route("GET /health/live", "Health", "For whoever restarts the process", "Live", public=True, limited=False,
          notes={"status": "Always `live`: where the event loop stands, nobody answers."}),
    Route(
        "GET /health/ready", "Health", "For whoever sends clients here", "Ready", public=True, limited=False,
        also={503: "it is starting, draining, or without evidence"}, same=(503,),
        notes={"status": one_of(Readiness, "Whether clients may be sent here."),
               "reasons": {"items": TEXT, "description": "Why not, or what is wrong all the same."}},
    ),
    Route(
        "GET /status", "Health", "Is it up? For everybody", "PublicStatus",
        "A page; JSON with `Accept: application/json`. Needs no token, and names nothing of the inside.",
        public=True, media=("application/json", "text/html"), also={503: "it is down, or starting"}, same=(503,),
        notes={
            "state": one_of(("ok", "doubtful", "down", "starting"), "`doubtful`: some prices are behind or stale."),
            "up": "Whether a connection to the exchange is up.", "trusted": "Whether all prices can be trusted.",
            "sentence": "The same in words.", "since": "For how long it has been so.",
            "products": "How many are in which state.", "incidents_24h": "What the ledger of gaps has of a day.",
            "products.trusted": "Live or quiet.", "products.doubtful": "Behind or stale.",
            "products.without_price": "No price yet.", "products.not_trading": "Halted or delisted.",
            "incidents_24h.connections_lost": "And opened anew.", "incidents_24h.pauses": "Of the hub itself.",
            "incidents_24h.gaps": "That were noted.", "incidents_24h.gaps_open": "Of them not closed yet.",
        },
    ),
    Route(
        "GET /latency", "Health", "How long a tick takes", "Latency", "Stage by stage, over the last minute.",
        notes={"stages": "Each part of a tick's way."},
    ),
    Route("GET /connections", "Health", "The connections to the exchange", "Connections",
          notes={"connections": "One entry a slot.", "connections[].status": STATUS}),
    Route(
        "GET /connections/conn_000", "Health", "One connection", "Connection", also={404: "no such slot"},
        notes={
            "status": STATUS,
            "products": "What it has to deliver.", "products[].age_ms": {"null": True},
            "products[].ticks_per_second": {"null": True}, "last_frames": "The newest first, at most 10.",
            "events": {"items": {"type": "object"}, "description": "Its entries of `GET /journal`."},
        },
    ),
    Route(
        "GET /plan", "Health", "What each connection carries", "Plan", "To ask changes nothing.",
        notes={
            "mean_load": "A second, of the connections.", "measured_seconds": "For how long it was measured.",
            "moves": "What would move, and why.", "connections": "Of the primary path.",
            "under_way": {"type": "object", "null": True, "description": "The rotation or moves of this moment."},
            "budget": "What the exchange counts per address.", "products": "How many are watched.",
            "seconds_to_full_coverage": or_null("number", "At best; null while there is no product list."),
            "connections[].products": "How many.", "connections[].load": "What it carries a second.",
        },
    ),
    Route(
        "GET /clients", "Health", "The Socket.IO clients", "Clients", "At most 200: those that lag first.",
        notes={
            "clients": "At most 200.", "clients[].client_id": "Made up for this list.",
            "clients[].products": or_null("integer", "How many it subscribed to; null: all."),
            "clients[].transport": one_of(("websocket", "polling"), "How it is connected."),
            "clients[].conflated_total": "Ticks that a newer one replaced.",
            "clients[].behind_seconds": "For how long.", "clients[].connected_seconds": "Since it connected.",
        },
    ),
)  # fmt: skip

ALERTS = (
    Route(
        "GET /alerts", "Alerts", "What the hub calls for somebody for", "Alerts",
        notes={
            "time": "When this answer was made.", "firing": "What fires now, the oldest first.",
            **{f"firing[].{name}": note for name, note in HUB_ALERT.items()},
            "firing[].told": "Whether it was told: false while its cooldown holds it back.",
            "kinds": {"items": one_of(KINDS_OF_ALERTS, "A kind."), "description": "What goes to the channels."},
            "cooldown_seconds": "Before the same alert is told again.",
            "clients": {**NOTICES, "description": "Notices to Socket.IO clients since the start, by outcome."},
            "channels": "Webhooks and Telegram, where they are set.", "channels[].name": "`webhook`, `telegram`.",
            "channels[].queued": "What waits.",
            "channels[].breaker": one_of(("closed", "open", "half_open"), "`open`: no attempt for a minute."),
            "channels[].last_sent": or_null("string", "The last success.", format="date-time"),
            "channels[].last_failed": or_null("string", "The last failure.", format="date-time"),
            "channels[].last_failure": or_null("string", "What it was, in a word."),
            "channels[].counts": {**NOTICES, "description": "Notices since the start, by outcome."},
        },
    ),
    Route(
        "POST /alert", "Alerts", "Send an alert to every client", "Done",
        "It reaches every client as `trade_update`, unchanged.",
        body=Body({"type": "object"}, {"crypto": "BTC-USD", "current_vol": 12.5, "avg_vol": 5.0, "threshold": 1.5},
                  "the body is no JSON object", 16_384),
    ),
)  # fmt: skip

PAGES = (
    Route(
        "GET /", "Pages and documents", "The index", "Index", "A browser is sent to the dashboard.",
        also={302: "a browser is sent to the dashboard"},
        notes={"service": "`price-hub`.", "docs": "This interface as a page.",
               "rest": "Routes to try.", "socketio": "The path of Socket.IO.", "dashboard": "The dashboard's path."},
    ),
    Route("GET /dashboard", "Pages and documents", "The dashboard", media=("text/html",)),
    Route("GET /docs", "Pages and documents", "This interface, for people", media=("text/html",)),
    Route("GET /openapi.json", "Pages and documents", "The routes, as OpenAPI 3.1"),
    Route("GET /asyncapi.json", "Pages and documents", "The events, as AsyncAPI 3.0"),
)

ROUTES = (*PRICES, *PRIORITY, *ALERTS, *PAST, *HEALTH, *OPERATORS, *PAGES)
