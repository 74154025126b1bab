"""What ``--help`` prints, as wide as it is told to, and what is said of an option that does not exist. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from hub.settings import Settings

NARROWEST, WIDEST = 60, 110  # longer lines than that are no pleasure to read
FIRST = (
    ("--simulate", "simulated prices: needs no network"),
    ("--doctor", "can it run here, and reach the exchange?"),
    ("--products BTC-USD,ETH-USD", "two live prices; without it: all in USD"),
)
COMMANDS = (
    ("-h, --help [WORD]", "this text, or what in it has to do with a word: --help token"),
    ("--version", "print the version"),
    ("--check-config", "print the effective settings, and where each comes from; secrets are hidden"),
    ("--doctor", "look at this machine and the way to the exchange, say what to do, and end"),
)
ABOUT = "Live Coinbase prices over REST and Socket.IO, each with the proof that it can be trusted."
SAME = (
    "Each option is also a variable, in the environment or in .env: --top-usd-pairs 50 is TOP_USD_PAIRS=50. "
    "Options win over the environment, which wins over .env. Defaults stand in []; a [yes|no] option alone means yes."
)
ENDS = (("0", "stopped by SIGTERM or Ctrl-C; all well"), ("1", "it can't run, or --doctor found a failure"),
        ("2", "wrong options or settings: all of them are named"))  # fmt: skip
MORE = "More: docs/operations.md (settings, what to do when), docs/protocol.md (for clients), /docs of a running hub."
Rows = Iterable[tuple[str, str]]


def flag(item: dataclasses.Field[Any]) -> str:
    """Return the option of a setting."""
    return "--" + item.name.replace("_", "-")


def help_text(columns: int, word: str = "") -> str:
    """Return the help, or what of it has to do with a word."""
    columns = max(NARROWEST, min(WIDEST, columns))
    groups = {name: _options(items, word, name) for name, items in _groups().items()}
    left = 2 + max(len(option) for rows in groups.values() for option, _ in rows) if any(groups.values()) else 0
    settings = [_table(name, rows, left, columns) for name, rows in groups.items() if rows]
    if word:
        return "\n\n".join(settings or [f"No option has to do with {word!r}; --help lists all."])
    begin = [(f"app.py {option}", text) for option, text in FIRST]
    return "\n\n".join([
        "usage: app.py [options]", textwrap.fill(ABOUT, columns),
        _table("Begin with", begin, 2 + max(len(command) for command, _ in begin), columns),
        textwrap.fill(SAME, columns),
        _table("Commands", COMMANDS, left, columns), *settings,
        _table("Exit status", ENDS, 3, columns), textwrap.fill(MORE, columns),
    ])  # fmt: skip


def advise(unknown: Sequence[str]) -> str:
    """Return what is wrong with arguments that are no options; their values are not repeated, they may be secret."""
    known = [*(flag(item) for item in dataclasses.fields(Settings)), "--help", *(name for name, _ in COMMANDS[1:])]
    options = [item for item in unknown if item.startswith("-")]
    lines = []
    for item in options or unknown[:1]:
        name = item.partition("=")[0]
        asked = name if item in options else "--" + name.lower().replace("_", "-")
        near = difflib.get_close_matches(asked, known, 1)
        lines.append(f"there is no {name[:60]!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return "\n".join(lines)


def _groups() -> dict[str, list[dataclasses.Field[Any]]]:
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    for item in dataclasses.fields(Settings):
        groups.setdefault(item.metadata["group"] or next(reversed(groups)), []).append(item)
    return groups


def _options(items: Iterable[dataclasses.Field[Any]], word: str, group: str) -> list[tuple[str, str]]:
    rows = []
    for item in items:
        default, text = _shown(item.default), item.metadata["help"]
        option = f"{flag(item)} {_placeholder(item)}"
        if word.lower() in f"{group} {option} {item.name} {text}".lower():
            rows.append((option, f"{text} [{default}]" if default else text))
    return rows


def _shown(default: Any) -> str:
    match default:
        case bool():
            return "yes" if default else "no"
        case float():
            return f"{int(default) if default.is_integer() else default}"
        case tuple():
            return ",".join(map(str, default))
    return "" if default is None else str(default)


def _placeholder(item: dataclasses.Field[Any]) -> str:
    if isinstance(item.default, bool):
        return "[yes|no]"
    return "N" if "int" in item.type or "float" in item.type else item.name.split("_")[-1].upper()


def _table(title: str, rows: Rows, left: int, columns: int) -> str:
    lines = [title]
    for name, text in rows:
        width = max(20, columns - left - 2)
        first, *others = textwrap.wrap(text, width, break_on_hyphens=False)
        lines.append(f"  {name:{left}}{first}")
        lines += [" " * (left + 2) + more for more in others]
    return "\n".join(lines)
