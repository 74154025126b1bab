"""What can be set: each field of ``Settings`` is one setting, with its default, its check and a line for ``--help``.

``products_per_connection`` is the variable ``PRODUCTS_PER_CONNECTION`` and the flag ``--products-per-connection``. The
fields stand in groups, as ``--help`` and ``docs/operations.md`` show them: the first of a group names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hub import parse
from hub.parse import Network

EXCHANGE_WS_URL = "wss://ws-feed.exchange.coinbase.com"
ADVANCED_TRADE_WS_URL = "wss://advanced-trade-ws.coinbase.com"
ADVANCED_TRADE_REST_URL = "https://api.coinbase.com"
EXCHANGE_REST_URL = "https://api.exchange.coinbase.com"
TELEGRAM_API_URL = "https://api.telegram.org"
ALERT_KINDS = ("coverage", "errors", "connections", "priority", "volume", "price")  # as hub.detect.rules knows them
DIALECT_OF_HOST = {
    "ws-feed.exchange.coinbase.com": "exchange",
    "ws-direct.exchange.coinbase.com": "exchange",
    "ws-feed-public.sandbox.exchange.coinbase.com": "exchange",
    "advanced-trade-ws.coinbase.com": "advanced_trade",
    "advanced-trade-ws-user.coinbase.com": "advanced_trade",
}
DIALECTS = ("exchange", "advanced_trade")
BOTH = "both"
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _setting(
    default: Any, parse: Callable[[str], Any], help_text: str, *, secret: bool = False, group: str = ""
) -> Any:
    metadata = {"parse": parse, "help": help_text, "secret": secret, "group": group}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings; see ``docs/operations.md`` for what breaks when one is too low or too high."""

    host: str = _setting("127.0.0.1", parse.text, "address to listen on; 0.0.0.0 in a container", group="Server")
    port: int = _setting(5000, parse.integer(0, 65535), "port of the HTTP and Socket.IO server; 0 takes a free one")
    state_dir: str = _setting(".state", parse.text, "folder for what is kept over a restart (the last good catalogue)")
    drain_seconds: float = _setting(
        3.0, parse.number(0.0, 30.0), "on SIGTERM, seconds over which clients are sent away; 0: all at once"
    )
    loop_stall_exit_seconds: float = _setting(
        30.0, parse.number(0.0, 3600.0), "an event loop that stands still for so long ends the process; 0: never"
    )

    products: tuple[str, ...] = _setting(
        (), parse.selectors, "comma-separated selectors: ids, *-USD, BTC-*, top:200, !DOGE-USD", group="Which products"
    )
    monitoring_cryptos: tuple[str, ...] = _setting(
        (), parse.product_ids, "comma-separated product ids: only these; beats TOP_USD_PAIRS"
    )
    top_usd_pairs: int | None = _setting(
        None, parse.optional_integer(1, 10_000), "only the N pairs with the highest 24 h volume in the quote currency"
    )
    quote_currency: str = _setting("USD", parse.currencies, "quote currency of the products to watch, or several")
    catalogue_refresh_seconds: float = _setting(
        300.0, parse.number(1.0, 86_400.0), "seconds between two looks at the exchange's product list for what changed"
    )
    delisted_keep_seconds: float = _setting(
        900.0, parse.number(0.0, 604_800.0), "seconds for which a delisted product is still shown, as delisted"
    )
    priority_pairs: tuple[str, ...] = _setting(
        (), parse.product_ids, "comma-separated product ids that are priority pairs, whatever clients change"
    )

    feed: str = _setting(
        "", parse.choice("", *DIALECTS, BOTH), "exchange, advanced_trade, or both at once; unset: what WS_URL speaks",
        group="The exchange",
    )  # fmt: skip
    ws_url: str = _setting(EXCHANGE_WS_URL, parse.url("ws", "wss"), "WebSocket URL of the exchange")
    ws_dialect: str = _setting(
        "", parse.choice("", *DIALECTS), "protocol of WS_URL, where its host does not tell"
    )
    rest_url: str = _setting(EXCHANGE_REST_URL, parse.url("http", "https"), "REST base URL of the exchange")
    advanced_trade_ws_url: str = _setting(
        ADVANCED_TRADE_WS_URL, parse.url("ws", "wss"), "WebSocket URL of Advanced Trade, where FEED asks for it"
    )
    advanced_trade_rest_url: str = _setting(
        ADVANCED_TRADE_REST_URL, parse.url("http", "https"), "REST base URL of Advanced Trade: which id is whose alias"
    )

    products_per_connection: int = _setting(
        15, parse.integer(1, 400), "products on one WebSocket connection", group="Connections to it"
    )
    connect_timeout_seconds: float = _setting(
        10.0, parse.number(0.5, 60.0), "deadline over DNS, TCP, proxy, TLS and handshake together"
    )
    connect_interval_ms: int = _setting(
        # 8 intervals of 125 ms are exactly the second in which the exchange counts 8 connects: 5 ms are for jitter
        130, parse.integer(125, 60_000), "least time between two connects, over the whole pool"
    )
    heartbeat_seconds: float = _setting(1.0, parse.number(0.1, 60.0), "interval of the exchange's heartbeats")
    missed_heartbeats: int = _setting(
        3, parse.integer(2, 100), "silent heartbeats after which a connection is replaced"
    )
    stale_after_ms: int = _setting(
        5000, parse.integer(500, 600_000), "milliseconds without a proof after which a price is called stale"
    )
    backoff_base_seconds: float = _setting(1.0, parse.number(0.1, 60.0), "upper bound of the first reconnect delay")
    backoff_cap_seconds: float = _setting(60.0, parse.number(1.0, 3600.0), "upper bound of every reconnect delay")
    backoff_reset_seconds: float = _setting(30.0, parse.number(1.0, 3600.0), "seconds of data that start backoff over")
    rotate_after_seconds: float = _setting(
        21_600.0, parse.number(0.0, 604_800.0), "age at which a connection is replaced without a break; 0: never"
    )

    fanout_mode: str = _setting(
        "enhanced", parse.choice("basic", "enhanced", "ultra_low_latency"),
        "basic: one write an event; enhanced: at once when idle, gathered when busy; ultra_low_latency: at once",
        group="Clients",
    )  # fmt: skip
    flush_ms: float = _setting(50.0, parse.number(0.0, 1000.0), "longest time that ticks are gathered into one write")
    client_buffer_bytes: int = _setting(
        262_144, parse.integer(65_536, 1_073_741_824), "unsent bytes past which a client gets the latest a product only"
    )
    max_clients: int = _setting(5_000, parse.integer(1, 15_000), "Socket.IO clients at a time")
    max_clients_per_ip: int = _setting(
        2_000, parse.integer(0, 15_000), "of one address; 0: no limit (see TRUSTED_PROXIES)"
    )
    handshakes_per_second: float = _setting(
        100.0, parse.number(0.0, 10_000.0), "new Socket.IO sessions of one address, 30 s' worth in one go; 0: no limit"
    )
    max_connections_per_ip: int = _setting(
        200, parse.integer(0, 20_000), "connections of one address that wait for it (idle, slow, unread); 0: no limit"
    )
    rate_limit_per_second: int = _setting(
        500, parse.integer(0, 1_000_000), "HTTP requests of one address, in the mean of 10 s; 0: no limit"
    )
    max_events_per_second: float = _setting(50.0, parse.number(1.0, 10_000.0), "of a client; over it, it is cut")

    frontend_url: tuple[str, ...] = _setting(
        (), parse.origins, "allowed browser origins, comma-separated; unset: same origin only", group="Who may do what"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), parse.site_names, "names that the hub is reached by (*.example.com; *: any), besides those of FRONTEND_URL"
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        (), parse.networks, "addresses or networks of reverse proxies, whose X-Forwarded-For is believed"
    )
    api_tokens: tuple[str, ...] = _setting(
        (), parse.tokens, "comma-separated tokens of at least 16 characters; where set, clients must present one",
        secret=True,
    )  # fmt: skip
    write_tokens: tuple[str, ...] = _setting(
        (), parse.tokens, "comma-separated tokens; where set, sending alerts and changing priority pairs needs one",
        secret=True,
    )  # fmt: skip
    admin_token: str = _setting(
        "", parse.token, "token of at least 16 characters for the actions; unset: they are off", secret=True
    )

    bad_tokens_per_minute: int = _setting(
        60, parse.integer(0, 1_000_000), "wrong tokens of one address, past which it waits for the next minute; 0: any"
    )

    volume_threshold: float = _setting(
        1.5, parse.number(1.0, 1000.0), "ratio to the mean at which a volume alert fires", group="Alerts"
    )
    window_minutes: float = _setting(5.0, parse.number(0.05, 1440.0), "window of the volume detector, in minutes")
    volume_cooldown_seconds: float | None = _setting(
        None,
        lambda value: parse.number(0.0, 86_400.0)(value) if value else None,
        "seconds before the same product may raise another volume alert; unset: one window",
    )
    price_spike_percent: float = _setting(
        0.0, parse.number(0.0, 1000.0), "move in percent at which a price_alert is sent; 0: off"
    )
    price_spike_minutes: float = _setting(
        5.0, parse.number(0.05, 1440.0), "minutes within which a price must move so far"
    )
    alerts: tuple[str, ...] = _setting(
        ALERT_KINDS[:4], parse.some_of(*ALERT_KINDS),
        f"what webhooks and Telegram are sent: some of {', '.join(ALERT_KINDS)}; or none",
    )
    alert_cooldown_seconds: float = _setting(
        300.0, parse.number(0.0, 86_400.0), "seconds before the same alert is told again"
    )
    webhook_url: tuple[str, ...] = _setting(
        (), parse.web_urls, "comma-separated URLs that alerts are posted to (Slack, Discord, your own)", secret=True
    )
    webhook_allowed_hosts: tuple[str, ...] = _setting(
        (), parse.hosts, "comma-separated hosts that webhooks may reach without https, and at private addresses"
    )
    telegram_bot_token: str = _setting(
        "", parse.matching(r"[0-9]{1,20}:[A-Za-z0-9_-]{10,100}", "a token such as 123456:ABC-DEF1234ghIkl"),
        "token of the Telegram bot that tells alerts", secret=True,
    )  # fmt: skip
    telegram_chat_id: str = _setting(
        "", parse.matching(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}", "a number, or a channel such as @prices"),
        "chat that the Telegram bot tells them to",
    )  # fmt: skip
    telegram_api_url: str = _setting(
        TELEGRAM_API_URL, parse.url("http", "https"), "base URL of Telegram's bot interface"
    )

    log_level: str = _setting(
        "INFO", parse.choice(*LOG_LEVELS, upper=True), f"one of {', '.join(LOG_LEVELS)}", group="Logs"
    )
    log_format: str = _setting(
        "text", parse.choice(*LOG_FORMATS), "text, or json: an object a line, with its fields"
    )

    simulate: bool = _setting(
        False, parse.flag, "start a simulated exchange and serve its prices, marked as simulated",
        group="Simulated prices",
    )  # fmt: skip
    simulate_products: int = _setting(326, parse.integer(1, 10_000), "products of the simulated exchange")
    simulate_rate: float = _setting(1500.0, parse.number(0.0, 100_000.0), "trades a second of the simulated exchange")
    simulate_seed: int = _setting(1, parse.integer(0, 2_000_000_000), "seed of the simulated exchange")
    simulate_replay: tuple[str, ...] = _setting((), parse.words, "recorded .jsonl(.gz) files for the simulator to play")
    simulate_speed: str = _setting("1", parse.speed, "speed of SIMULATE_REPLAY: a factor, or max")

    @property
    def dialect(self) -> str:
        """The protocol that ``ws_url`` speaks."""
        return self.ws_dialect or DIALECT_OF_HOST.get(urlsplit(self.ws_url).hostname or "", "")

    @property
    def feeds(self) -> tuple[str, ...]:
        """The dialects of the paths that prices come by, the primary one first."""
        return ("exchange", "advanced_trade") if self.feed == BOTH else (self.feed or self.dialect,)

    def ws_url_of(self, dialect: str) -> str:
        """Return where a path of ``feeds`` connects to."""
        return self.ws_url if dialect == self.dialect else self.advanced_trade_ws_url

    @property
    def quote_currencies(self) -> tuple[str, ...]:
        """The codes in ``quote_currency``."""
        return tuple(self.quote_currency.split(","))

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some settings changed (unchecked: for entry points and tests)."""
        return dataclasses.replace(self, **changes)
