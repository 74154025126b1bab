"""Settings: read once from flags, environment and ``.env`` (in this order of precedence), checked together, immutable.

``load`` either returns settings that can be run or raises ``SettingsError`` with *every* problem that was found.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from hub import __version__, usage
from hub.alerts.targets import TargetError, target_of
from hub.settings import BOTH, DIALECT_OF_HOST, DIALECTS, EXCHANGE_WS_URL, Settings

HIDDEN = "(hidden)"


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
    doctor: bool

    def describe(self) -> str:
        """Return one line a setting, ``NAME = value  (source)``; secrets are hidden."""
        lines = []
        for item in dataclasses.fields(Settings):
            value = getattr(self.settings, item.name)
            told = public(value)
            shown = ",".join(map(str, told)) if isinstance(told, list) else "" if told is None else str(told)
            if item.metadata["secret"] and value:
                shown = f"(hidden, {len(value)} set)" if isinstance(value, tuple) else HIDDEN
            lines.append(f"{item.name.upper()} = {shown or '(unset)'}  ({self.sources[item.name]})")
        return "\n".join(lines)


def shown(settings: Settings, sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return each setting's name → its value and source, for whoever may read; of a secret only whether it is set."""
    found = {}
    for item in dataclasses.fields(Settings):
        value, secret = getattr(settings, item.name), item.metadata["secret"]
        found[item.name.upper()] = {
            "value": None if secret else public(value),
            "set": value not in ((), "", None),
            "secret": secret,
            "source": sources.get(item.name, "default"),
        }
    return found


def public(value: Any) -> Any:
    """Return a setting's value as JSON has it; of a URL without what may be a password or a key, its path included."""
    if isinstance(value, tuple):
        return [public(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if "://" not in text:
        return text
    parts = urlsplit(text)
    hidden = {name: HIDDEN for name in ("path", "query") if getattr(parts, name).strip("/")}
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, fragment="", **hidden).geturl()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}\nSee app.py --help.\n")


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the flags that were given. Exits for ``--help``, ``--version``, and with 2 for what is no flag."""
    parser = _Parser(prog="app.py", argument_default=argparse.SUPPRESS, allow_abbrev=False, add_help=False)
    parser.add_argument("-h", "--help", nargs="?", const="")
    parser.add_argument("--version", action="version", version=f"Price Hub {__version__}")
    for name in ("--check-config", "--doctor"):
        parser.add_argument(name, action="store_true")
    for item in dataclasses.fields(Settings):
        value: dict[str, Any] = {"nargs": "?", "const": "true"} if isinstance(item.default, bool) else {}
        parser.add_argument(usage.flag(item), **value)
    found, unknown = parser.parse_known_args(arguments)
    flags = vars(found)
    if "help" in flags:
        print(usage.help_text(shutil.get_terminal_size().columns, flags["help"]))
        parser.exit()
    if unknown:
        parser.error(usage.advise(unknown))
    return flags


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


def _may_hold_a_key(name: str, text: str) -> bool:
    """Tell whether a value that could not be read may be a URL with more than a host in it."""
    scheme, _, beyond = text.rpartition("://")
    return "@" in text or (name.endswith("_URL") and any(sign in scheme + beyond.rstrip("/") for sign in "/?#\\"))


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

    An empty value counts as unset, as compose files pass it; so does a blank one, but for secrets: who wrote something
    there meant to close something. Raises ``SettingsError`` with every problem; exits by itself only for ``--help`` and
    for flags that do not exist.
    """
    problems: list[str] = []
    flags = _parse(arguments)
    from_file = _read_dotenv(dotenv, problems) if dotenv else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for item in dataclasses.fields(Settings):
        name = item.name.upper()
        candidates = {"flag": flags.get(item.name), "environment": environment.get(name), ".env": from_file.get(name)}
        secret = item.metadata["secret"]
        given = ((source, raw) for source, raw in candidates.items() if raw and (secret or raw.strip()))
        source, raw = next(given, ("default", None))
        sources[item.name] = source
        if raw is None:
            continue
        try:
            values[item.name] = item.metadata["parse"](raw.strip())
        except ValueError as error:
            shown = HIDDEN if secret or _may_hold_a_key(name, raw) else repr(raw[:200])
            problems.append(f"{name}: {error}; it is {shown} (from {source})")
    settings = Settings(**values)
    _check_together(settings, problems)
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, sources, check_config="check_config" in flags, doctor="doctor" in flags)
