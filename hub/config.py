"""Settings: read once from flags, environment and ``.env`` (in this order of precedence), checked together, immutable.

Each field of ``Settings`` is one setting: ``products_per_connection`` is the variable ``PRODUCTS_PER_CONNECTION`` and
the flag ``--products-per-connection``. ``load`` either returns settings that can be run or raises ``SettingsError``
with *every* problem that was found.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dotenv.parser import parse_stream

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PRODUCT_ID = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")
SELECTOR = re.compile(r"!?([A-Z0-9]{1,20}|\*)-([A-Z0-9]{1,20}|\*)|top:[1-9][0-9]{0,3}")  # see hub.feed.selectors
EXCHANGE_WS_URL = "wss://ws-feed.exchange.coinbase.com"
EXCHANGE_REST_URL = "https://api.exchange.coinbase.com"
DIALECT_OF_HOST = {
    "ws-feed.exchange.coinbase.com": "exchange",
    "ws-direct.exchange.coinbase.com": "exchange",
    "ws-feed-public.sandbox.exchange.coinbase.com": "exchange",
    "advanced-trade-ws.coinbase.com": "advanced_trade",
    "advanced-trade-ws-user.coinbase.com": "advanced_trade",
}
DIALECTS = ("exchange",)  # those that this version speaks
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class SettingsError(ValueError):
    """Settings that can't be run; ``problems`` names each, with the setting and where it came from."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def _text(value: str) -> str:
    return value


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def _optional_integer(low: int, high: int) -> Callable[[str], int | None]:
    parse = _integer(low, high)
    return lambda value: parse(value) if value else None


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", value) or not low <= float(value) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return parse


def _speed(value: str) -> str:
    if value != "max":
        try:
            _number(0.01, 10_000.0)(value)
        except ValueError:
            raise ValueError("must be a factor from 0.01 to 10000, or max") from None
    return value


def _flag(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


def _items(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.strip() for item in value.split(",") if item.strip()))


def _product_ids(value: str) -> tuple[str, ...]:
    ids = _items(value.upper())
    if bad := [item for item in ids if not PRODUCT_ID.fullmatch(item)]:
        raise ValueError(f"must be product ids such as BTC-USD, but holds {', '.join(map(repr, bad))}")
    return ids


def _selectors(value: str) -> tuple[str, ...]:
    items = tuple(item.lower() if item.startswith("TOP:") else item for item in _items(value.upper()))
    if bad := [item for item in items if not SELECTOR.fullmatch(item)]:
        known = "ids, patterns such as *-USD or BTC-*, top:200, or one of the first two after a !"
        raise ValueError(f"must be {known}, but holds {', '.join(map(repr, bad))}")
    return items


def _networks(value: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(item) for item in _items(value))
    except ValueError as error:
        raise ValueError(f"must be addresses or networks such as 10.0.0.0/8: {error}") from None


def _currencies(value: str) -> str:
    items = _items(value.upper())
    if not items or not all(re.fullmatch(r"[A-Z0-9]{1,20}", item) for item in items):
        raise ValueError("must be one currency code such as USD, or several, comma-separated")
    return ",".join(items)


def _origins(value: str) -> tuple[str, ...]:
    origins = []
    for item in _items(value):
        parts = _split_url(item, "http", "https")
        if parts is None or parts.path.rstrip("/") or parts.query or parts.fragment:
            raise ValueError("must be origins such as https://prices.example.com, without path, user or password")
        port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        origins.append(f"{parts.scheme}://{host}{port}")  # as browsers write it
    return tuple(dict.fromkeys(origins))


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = _split_url(value, *schemes)
        if parts is None or parts.fragment or (parts.query and "http" in schemes):
            starts = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ValueError(f"must be a URL that starts with {starts}, without user name and password")
        return urlunsplit(parts).rstrip("/")

    return parse


def _choice(*choices: str, upper: bool = False) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.upper() if upper else value.lower()
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(filter(None, choices))}")
        return word

    return parse


def _split_url(value: str, *schemes: str) -> Any:
    """Return the parts of a URL of these schemes, scheme and host in lower case; None for what is no such URL."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where the port is none
    except ValueError:
        return None
    if not value.isprintable() or any(character in value for character in ' "<>\\^`{|}'):
        return None
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        return None
    return parts._replace(netloc=parts.netloc.lower())


def _setting(default: Any, parse: Callable[[str], Any], help_text: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_text, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings; see ``docs/operations.md`` for what breaks when one is too low or too high."""

    host: str = _setting("127.0.0.1", _text, "address to listen on; 0.0.0.0 in a container")
    port: int = _setting(5000, _integer(0, 65535), "port of the HTTP and Socket.IO server; 0 takes a free one")
    monitoring_cryptos: tuple[str, ...] = _setting(
        (), _product_ids, "comma-separated product ids: only these; beats TOP_USD_PAIRS"
    )
    top_usd_pairs: int | None = _setting(
        None, _optional_integer(1, 10_000), "only the N pairs with the highest 24 h volume in the quote currency"
    )
    quote_currency: str = _setting("USD", _currencies, "quote currency of the products to watch, or several")
    products: tuple[str, ...] = _setting(
        (), _selectors, "comma-separated selectors: ids, *-USD, BTC-*, top:200, !DOGE-USD"
    )
    products_per_connection: int = _setting(15, _integer(1, 400), "products on one WebSocket connection")
    volume_threshold: float = _setting(1.5, _number(1.0, 1000.0), "ratio to the mean at which a volume alert fires")
    window_minutes: float = _setting(5.0, _number(0.05, 1440.0), "window of the volume detector, in minutes")
    volume_cooldown_seconds: float | None = _setting(
        None,
        lambda value: _number(0.0, 86_400.0)(value) if value else None,
        "seconds before the same product may raise another volume alert; unset: one window",
    )
    frontend_url: tuple[str, ...] = _setting(
        (), _origins, "allowed browser origins, comma-separated; unset: same origin only"
    )
    ws_url: str = _setting(EXCHANGE_WS_URL, _url("ws", "wss"), "WebSocket URL of the exchange")
    ws_dialect: str = _setting(
        "", _choice("", *DIALECTS, "advanced_trade"), "protocol of WS_URL, where its host does not tell"
    )
    rest_url: str = _setting(EXCHANGE_REST_URL, _url("http", "https"), "REST base URL of the exchange")
    log_level: str = _setting("INFO", _choice(*LOG_LEVELS, upper=True), f"one of {', '.join(LOG_LEVELS)}")
    api_tokens: tuple[str, ...] = _setting(
        (), _items, "comma-separated tokens; where set, REST and Socket.IO clients must present one", secret=True
    )
    state_dir: str = _setting(".state", _text, "folder for what is kept over a restart (the last good catalogue)")
    catalogue_refresh_seconds: float = _setting(
        300.0, _number(1.0, 86_400.0), "seconds between two looks at the exchange's product list for what changed"
    )
    delisted_keep_seconds: float = _setting(
        900.0, _number(0.0, 604_800.0), "seconds for which a delisted product is still shown, as delisted"
    )
    heartbeat_seconds: float = _setting(1.0, _number(0.1, 60.0), "interval of the exchange's heartbeats")
    stale_after_ms: int = _setting(
        5000, _integer(500, 600_000), "milliseconds without a proof after which a price is called stale"
    )
    missed_heartbeats: int = _setting(3, _integer(2, 100), "silent heartbeats after which a connection is replaced")
    connect_timeout_seconds: float = _setting(
        10.0, _number(0.5, 60.0), "deadline over DNS, TCP, TLS and handshake together"
    )
    connect_interval_ms: int = _setting(
        # 8 intervals of 125 ms are exactly the second in which the exchange counts 8 connects: 5 ms are for jitter
        130, _integer(125, 60_000), "least time between two connects, over the whole pool"
    )
    backoff_base_seconds: float = _setting(1.0, _number(0.1, 60.0), "upper bound of the first reconnect delay")
    backoff_cap_seconds: float = _setting(60.0, _number(1.0, 3600.0), "upper bound of every reconnect delay")
    backoff_reset_seconds: float = _setting(30.0, _number(1.0, 3600.0), "seconds of data that start backoff over")
    rotate_after_seconds: float = _setting(
        21_600.0, _number(0.0, 604_800.0), "age at which a connection is replaced without a break; 0: never"
    )
    fanout_mode: str = _setting(
        "enhanced", _choice("basic", "enhanced", "ultra_low_latency"),
        "basic: one write an event; enhanced: at once when idle, gathered when busy; ultra_low_latency: at once",
    )  # fmt: skip
    flush_ms: float = _setting(50.0, _number(0.0, 1000.0), "longest time that ticks are gathered into one write")
    client_buffer_bytes: int = _setting(
        262_144, _integer(65_536, 1_073_741_824), "unsent bytes past which a client gets the latest a product only"
    )
    max_clients: int = _setting(5_000, _integer(1, 15_000), "Socket.IO clients at a time")
    max_clients_per_ip: int = _setting(0, _integer(0, 15_000), "of one address; 0: no limit (see TRUSTED_PROXIES)")
    max_events_per_second: float = _setting(50.0, _number(1.0, 10_000.0), "of a client; over it, it is cut")
    trusted_proxies: tuple[Network, ...] = _setting(
        (), _networks, "addresses or networks of reverse proxies, whose X-Forwarded-For is believed"
    )
    simulate: bool = _setting(False, _flag, "start a simulated exchange and serve its prices, marked as simulated")
    simulate_products: int = _setting(326, _integer(1, 10_000), "products of the simulated exchange")
    simulate_rate: float = _setting(1500.0, _number(0.0, 100_000.0), "trades a second of the simulated exchange")
    simulate_seed: int = _setting(1, _integer(0, 2_000_000_000), "seed of the simulated exchange")
    simulate_replay: tuple[str, ...] = _setting((), _items, "recorded .jsonl(.gz) files for the simulator to play")
    simulate_speed: str = _setting("1", _speed, "speed of SIMULATE_REPLAY: a factor, or max")

    @property
    def dialect(self) -> str:
        """The protocol that ``ws_url`` speaks."""
        return self.ws_dialect or DIALECT_OF_HOST.get(urlsplit(self.ws_url).hostname or "", "")

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
                shown = f"(hidden, {len(value)} set)"
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
    elif settings.dialect not in DIALECTS:
        problems.append(
            f"WS_URL: speaks {settings.dialect!r}, which this version does not; it speaks {', '.join(DIALECTS)}. "
            f"Unset WS_URL to use {EXCHANGE_WS_URL}"
        )


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
