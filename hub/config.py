"""Settings: read once from flags, environment and ``.env`` (in this order of precedence), checked together, immutable.

Each field of ``Settings`` is one setting: ``products_per_connection`` is the variable ``PRODUCTS_PER_CONNECTION`` and
the flag ``--products-per-connection``. ``load`` either returns settings that can be run or raises ``SettingsError``
with *every* problem that was found.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from hub import parse
from hub.parse import Network

EXCHANGE_WS_URL = "wss://ws-feed.exchange.coinbase.com"
ADVANCED_TRADE_WS_URL = "wss://advanced-trade-ws.coinbase.com"
ADVANCED_TRADE_REST_URL = "https://api.coinbase.com"
EXCHANGE_REST_URL = "https://api.exchange.coinbase.com"
DIALECT_OF_HOST = {
    "ws-feed.exchange.coinbase.com": "exchange",
    "ws-direct.exchange.coinbase.com": "exchange",
    "ws-feed-public.sandbox.exchange.coinbase.com": "exchange",
    "advanced-trade-ws.coinbase.com": "advanced_trade",
    "advanced-trade-ws-user.coinbase.com": "advanced_trade",
}
DIALECTS = ("exchange", "advanced_trade")
BOTH = "both"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class SettingsError(ValueError):
    """Settings that can't be run; ``problems`` names each, with the setting and where it came from."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def _setting(default: Any, parse: Callable[[str], Any], help_text: str, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "help": help_text, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings; see ``docs/operations.md`` for what breaks when one is too low or too high."""

    host: str = _setting("127.0.0.1", parse.text, "address to listen on; 0.0.0.0 in a container")
    port: int = _setting(5000, parse.integer(0, 65535), "port of the HTTP and Socket.IO server; 0 takes a free one")
    monitoring_cryptos: tuple[str, ...] = _setting(
        (), parse.product_ids, "comma-separated product ids: only these; beats TOP_USD_PAIRS"
    )
    top_usd_pairs: int | None = _setting(
        None, parse.optional_integer(1, 10_000), "only the N pairs with the highest 24 h volume in the quote currency"
    )
    quote_currency: str = _setting("USD", parse.currencies, "quote currency of the products to watch, or several")
    products: tuple[str, ...] = _setting(
        (), parse.selectors, "comma-separated selectors: ids, *-USD, BTC-*, top:200, !DOGE-USD"
    )
    products_per_connection: int = _setting(15, parse.integer(1, 400), "products on one WebSocket connection")
    volume_threshold: float = _setting(
        1.5, parse.number(1.0, 1000.0), "ratio to the mean at which a volume alert fires"
    )
    window_minutes: float = _setting(5.0, parse.number(0.05, 1440.0), "window of the volume detector, in minutes")
    volume_cooldown_seconds: float | None = _setting(
        None,
        lambda value: parse.number(0.0, 86_400.0)(value) if value else None,
        "seconds before the same product may raise another volume alert; unset: one window",
    )
    frontend_url: tuple[str, ...] = _setting(
        (), parse.origins, "allowed browser origins, comma-separated; unset: same origin only"
    )
    ws_url: str = _setting(EXCHANGE_WS_URL, parse.url("ws", "wss"), "WebSocket URL of the exchange")
    ws_dialect: str = _setting(
        "", parse.choice("", *DIALECTS), "protocol of WS_URL, where its host does not tell"
    )
    feed: str = _setting(
        "", parse.choice("", *DIALECTS, BOTH), "exchange, advanced_trade, or both at once; unset: what WS_URL speaks"
    )
    advanced_trade_ws_url: str = _setting(
        ADVANCED_TRADE_WS_URL, parse.url("ws", "wss"), "WebSocket URL of Advanced Trade, where FEED asks for it"
    )
    advanced_trade_rest_url: str = _setting(
        ADVANCED_TRADE_REST_URL, parse.url("http", "https"), "REST base URL of Advanced Trade: which id is whose alias"
    )
    rest_url: str = _setting(EXCHANGE_REST_URL, parse.url("http", "https"), "REST base URL of the exchange")
    log_level: str = _setting("INFO", parse.choice(*LOG_LEVELS, upper=True), f"one of {', '.join(LOG_LEVELS)}")
    api_tokens: tuple[str, ...] = _setting(
        (), parse.words, "comma-separated tokens; where set, REST and Socket.IO clients must present one", secret=True
    )
    admin_token: str = _setting(
        "", parse.secret(16), "token of at least 16 characters for the actions; unset: they are off", secret=True
    )
    state_dir: str = _setting(".state", parse.text, "folder for what is kept over a restart (the last good catalogue)")
    catalogue_refresh_seconds: float = _setting(
        300.0, parse.number(1.0, 86_400.0), "seconds between two looks at the exchange's product list for what changed"
    )
    delisted_keep_seconds: float = _setting(
        900.0, parse.number(0.0, 604_800.0), "seconds for which a delisted product is still shown, as delisted"
    )
    heartbeat_seconds: float = _setting(1.0, parse.number(0.1, 60.0), "interval of the exchange's heartbeats")
    stale_after_ms: int = _setting(
        5000, parse.integer(500, 600_000), "milliseconds without a proof after which a price is called stale"
    )
    missed_heartbeats: int = _setting(
        3, parse.integer(2, 100), "silent heartbeats after which a connection is replaced"
    )
    connect_timeout_seconds: float = _setting(
        10.0, parse.number(0.5, 60.0), "deadline over DNS, TCP, TLS and handshake together"
    )
    connect_interval_ms: int = _setting(
        # 8 intervals of 125 ms are exactly the second in which the exchange counts 8 connects: 5 ms are for jitter
        130, parse.integer(125, 60_000), "least time between two connects, over the whole pool"
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
    )  # fmt: skip
    flush_ms: float = _setting(50.0, parse.number(0.0, 1000.0), "longest time that ticks are gathered into one write")
    client_buffer_bytes: int = _setting(
        262_144, parse.integer(65_536, 1_073_741_824), "unsent bytes past which a client gets the latest a product only"
    )
    max_clients: int = _setting(5_000, parse.integer(1, 15_000), "Socket.IO clients at a time")
    max_clients_per_ip: int = _setting(0, parse.integer(0, 15_000), "of one address; 0: no limit (see TRUSTED_PROXIES)")
    max_events_per_second: float = _setting(50.0, parse.number(1.0, 10_000.0), "of a client; over it, it is cut")
    trusted_proxies: tuple[Network, ...] = _setting(
        (), parse.networks, "addresses or networks of reverse proxies, whose X-Forwarded-For is believed"
    )
    simulate: bool = _setting(False, parse.flag, "start a simulated exchange and serve its prices, marked as simulated")
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the source of each: ``flag``, ``environment``, ``.env`` or ``default``; and what was asked for."""

    settings: Settings
    sources: Mapping[str, str]
    check_config: bool

    def describe(self) -> str:
        """Return one line a setting, ``NAME = value  (source)``; secrets are hidden."""
        lines = []
        for item in dataclasses.fields(Settings):
            value = getattr(self.settings, item.name)
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
            if item.metadata["secret"] and value:
                shown = f"(hidden, {len(value)} set)" if isinstance(value, tuple) else "(hidden)"
            lines.append(f"{item.name.upper()} = {shown or '(unset)'}  ({self.sources[item.name]})")
        return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Live Coinbase prices over REST and Socket.IO, each with the proof that it can be trusted.",
        epilog="Each flag is also a variable of the environment and of .env: --top-usd-pairs 50 is TOP_USD_PAIRS=50. "
        "Flags win over the environment, which wins over .env.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--check-config", action="store_true", help="print the effective settings and their sources")
    for item in dataclasses.fields(Settings):
        default = item.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else "" if default is None else str(default)
        text = f"{item.metadata['help']} [{shown or 'unset'}]".replace("%", "%%")
        name = "--" + item.name.replace("_", "-")
        if isinstance(default, bool):
            parser.add_argument(name, nargs="?", const="true", help=text, metavar="BOOL")
        else:
            parser.add_argument(name, help=text, metavar=item.name.split("_")[-1].upper())
    return parser


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                if binding.error or (binding.key and binding.value is None):
                    problems.append(f".env line {binding.original.line}: is no NAME=value")
                elif binding.key and binding.value is not None:
                    values[binding.key] = binding.value
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f".env: can't be read: {error}")
    return values


def _check_together(settings: Settings, problems: list[str]) -> None:
    if settings.backoff_base_seconds > settings.backoff_cap_seconds:
        problems.append("BACKOFF_BASE_SECONDS: must not be above BACKOFF_CAP_SECONDS")
    for name in ("MONITORING_CRYPTOS", "TOP_USD_PAIRS"):
        if settings.products and getattr(settings, name.lower()):
            problems.append(f"PRODUCTS: can't be combined with {name}: unset one of the two")
    if settings.simulate:
        return  # the simulator brings its own URLs
    host = urlsplit(settings.ws_url).hostname or ""
    known = DIALECT_OF_HOST.get(host)
    if known and settings.ws_dialect and known != settings.ws_dialect:
        problems.append(f"WS_DIALECT: {settings.ws_dialect!r} does not fit WS_URL: {host} speaks {known!r}")
    elif not settings.dialect:
        problems.append(f"WS_DIALECT: must say which protocol WS_URL's host {host!r} speaks: {', '.join(DIALECTS)}")
    elif settings.feed == BOTH and settings.dialect != "exchange":
        problems.append(f"FEED: with {BOTH!r}, WS_URL is the Exchange's; the other one goes to ADVANCED_TRADE_WS_URL")
    elif settings.feed in DIALECTS and settings.feed != settings.dialect and settings.ws_url != EXCHANGE_WS_URL:
        problems.append(f"FEED: {settings.feed!r} does not fit WS_URL, which speaks {settings.dialect!r}")
    if DIALECT_OF_HOST.get(urlsplit(settings.advanced_trade_ws_url).hostname or "") == "exchange":
        problems.append("ADVANCED_TRADE_WS_URL: its host speaks 'exchange'")


def load(arguments: Sequence[str], environment: Mapping[str, str], dotenv: Path | None = Path(".env")) -> Loaded:
    """Read and check the settings.

    An empty value counts as unset, as compose files pass it. Raises ``SettingsError`` with every problem; exits by
    itself only for ``--help`` and for flags that do not exist.
    """
    problems: list[str] = []
    flags = vars(_parser().parse_args(arguments))
    check_config = bool(flags.pop("check_config", False))
    from_file = _read_dotenv(dotenv, problems) if dotenv else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in dataclasses.fields(Settings):
        name = item.name.upper()
        candidates = {"flag": flags.get(item.name), "environment": environment.get(name), ".env": from_file.get(name)}
        source, raw = next((found for found in candidates.items() if found[1] and found[1].strip()), ("default", None))
        sources[item.name] = source
        if raw is None:
            continue
        try:
            values[item.name] = item.metadata["parse"](raw.strip())
        except ValueError as error:
            # a URL may hold a password
            shown = "(hidden)" if item.metadata["secret"] or "@" in raw else repr(raw[:200])
            problems.append(f"{name}: {error}; it is {shown} (from {source})")
    settings = Settings(**values)
    _check_together(settings, problems)
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, sources, check_config)
