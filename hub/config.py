"""Settings: read once from flags, environment and ``.env`` (in this order of precedence), checked together, immutable.

``load`` either returns settings that can be run or raises ``SettingsError`` with *every* problem that was found.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from hub.alerts.targets import TargetError, target_of
from hub.settings import BOTH, DIALECT_OF_HOST, DIALECTS, EXCHANGE_WS_URL, Settings


class SettingsError(ValueError):
    """Settings that can't be run; ``problems`` names each, with the setting and where it came from."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


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
    section: Any = parser
    for item in dataclasses.fields(Settings):
        if group := item.metadata["group"]:
            section = parser.add_argument_group(group)
        default = item.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else "" if default is None else str(default)
        text = f"{item.metadata['help']} [{shown or 'unset'}]".replace("%", "%%")
        name = "--" + item.name.replace("_", "-")
        if isinstance(default, bool):
            section.add_argument(name, nargs="?", const="true", help=text, metavar="BOOL")
        else:
            section.add_argument(name, help=text, metavar=item.name.split("_")[-1].upper())
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
    if bool(settings.telegram_bot_token) != bool(settings.telegram_chat_id):
        problems.append("TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID: set both, or neither")
    urls = [("TELEGRAM_API_URL", settings.telegram_api_url), *(("WEBHOOK_URL", url) for url in settings.webhook_url)]
    for name, url in urls:
        try:
            target_of(url, settings.webhook_allowed_hosts)
        except TargetError as error:
            problems.append(f"{name}: {error}")
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
