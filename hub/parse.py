"""Texts of settings into values. Pure: each raises ``ValueError`` with what is wrong, for the one who set it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PRODUCT_ID = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
MIN_TOKEN_LENGTH, MAX_TOKEN_LENGTH = 16, 200
NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)$")  # of a last label: the host is meant as an IPv4 address
SELECTOR = re.compile(r"!?([A-Z0-9]{1,20}|\*)-([A-Z0-9]{1,20}|\*)|top:[1-9][0-9]{0,3}")  # see hub.feed.selectors


def text(value: str) -> str:
    """Return it as it is."""
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds."""
    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def optional_integer(low: int, high: int) -> Callable[[str], int | None]:
    """Return the same, for a value that may be empty."""
    parse = integer(low, high)
    return lambda value: parse(value) if value else None


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of decimal numbers within bounds."""
    def parse(value: str) -> float:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", value) or not low <= float(value) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return parse


def speed(value: str) -> str:
    """Return a factor, or ``max``."""
    if value != "max":
        try:
            number(0.01, 10_000.0)(value)
        except ValueError:
            raise ValueError("must be a factor from 0.01 to 10000, or max") from None
    return value


def flag(value: str) -> bool:
    """Return whether it says yes."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("must be true or false")
    return words[value.lower()]


def words(value: str) -> tuple[str, ...]:
    """Return what the commas separate, each once; raises where that is nothing: to unset a list, leave it empty."""
    found = tuple(dict.fromkeys(item.strip() for item in value.split(",") if item.strip()))
    if not found:
        raise ValueError("must hold something besides commas and spaces; to unset it, leave it empty")
    return found


def tokens(value: str) -> tuple[str, ...]:
    """Return several of what ``token`` returns."""
    return tuple(token(item) for item in words(value))


def token(value: str) -> str:
    """Return a word that is hard to guess and fits into a header; raises without showing it."""
    least, most = MIN_TOKEN_LENGTH, MAX_TOKEN_LENGTH
    if not re.fullmatch(rf"[!-~]{{{least},{most}}}", value):
        raise ValueError(f"must have {least} to {most} letters, digits or signs of ASCII, without spaces")
    return value


def product_ids(value: str) -> tuple[str, ...]:
    """Return product ids in upper case."""
    ids = words(value.upper())
    if bad := [item for item in ids if not PRODUCT_ID.fullmatch(item)]:
        raise ValueError(f"must be product ids such as BTC-USD, but holds {', '.join(map(repr, bad))}")
    return ids


def selectors(value: str) -> tuple[str, ...]:
    """Return what selects products (see ``hub.feed.selectors``)."""
    items = tuple(item.lower() if item.startswith("TOP:") else item for item in words(value.upper()))
    if bad := [item for item in items if not SELECTOR.fullmatch(item)]:
        known = "ids, patterns such as *-USD or BTC-*, top:200, or one of the first two after a !"
        raise ValueError(f"must be {known}, but holds {', '.join(map(repr, bad))}")
    return items


def networks(value: str) -> tuple[Network, ...]:
    """Return addresses and networks."""
    try:
        return tuple(ipaddress.ip_network(item) for item in words(value))
    except ValueError as error:
        raise ValueError(f"must be addresses or networks such as 10.0.0.0/8: {error}") from None


def currencies(value: str) -> str:
    """Return currency codes, separated by commas."""
    items = words(value.upper()) if value.strip(", ") else ()
    if not items or not all(re.fullmatch(r"[A-Z0-9]{1,20}", item) for item in items):
        raise ValueError("must be one currency code such as USD, or several, comma-separated")
    return ",".join(items)


def origins(value: str) -> tuple[str, ...]:
    """Return origins as browsers write them."""
    origins = []
    for item in words(value):
        parts = split_url(item, "http", "https")
        if parts is None or parts.path.rstrip("/") or parts.query or parts.fragment:
            raise ValueError("must be origins such as https://prices.example.com, without path, user or password")
        port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        origins.append(f"{parts.scheme}://{host}{port}")  # as browsers write it
    return tuple(dict.fromkeys(origins))


def url(*schemes: str) -> Callable[[str], str]:
    """Return a parser of URLs of these schemes."""
    def parse(value: str) -> str:
        parts = split_url(value, *schemes)
        if parts is None or parts.fragment or (parts.query and "http" in schemes):
            starts = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ValueError(f"must be a URL that starts with {starts}, without user name and password")
        return urlunsplit(parts).rstrip("/")

    return parse


def host(value: str) -> str:
    """Return a host in the one form in which it is compared: lower case, ASCII, without the trailing dot.

    An IPv4 address has four decimal numbers; the older ways to write one are refused.
    """
    if ":" in value:
        return str(ipaddress.IPv6Address(value.removeprefix("[").removesuffix("]")))
    found = value.encode("idna").decode().lower().removesuffix(".")  # raises UnicodeError, which is a ValueError
    if not HOST.fullmatch(found):
        raise ValueError("must be a host name or an address")
    return str(ipaddress.IPv4Address(found)) if NUMBER.match(found.rpartition(".")[2]) else found


def hosts(value: str) -> tuple[str, ...]:
    """Return hosts, without ports."""
    try:
        return tuple(host(item) for item in words(value))
    except ValueError:
        raise ValueError("must be host names or addresses, without scheme and port") from None


def site_names(value: str) -> tuple[str, ...]:
    """Return host names and addresses, without ports; ``*.`` before one stands for whatever it ends, ``*`` for any."""
    try:
        return tuple(item if item == "*" else item[:2] + host(item[2:]) if item.startswith("*.") else host(item)
                     for item in words(value))  # fmt: skip
    except ValueError:
        raise ValueError("must be names such as prices.example.com or *.example.com, without scheme and port") from None


def web_urls(value: str) -> tuple[str, ...]:
    """Return URLs of http and https."""
    items = words(value)
    if any(split_url(item, "http", "https") is None for item in items):
        raise ValueError("must be URLs that start with https://, without user name and password")
    return items


def some_of(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of several of some words, or ``none``."""
    def parse(value: str) -> tuple[str, ...]:
        found = words(value.lower())
        if bad := [item for item in found if item not in known and found != ("none",)]:
            raise ValueError(f"must be none, or some of {', '.join(known)}, but holds {', '.join(map(repr, bad))}")
        return () if found == ("none",) else found

    return parse


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Return a parser of what a pattern matches."""
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return parse


def choice(*choices: str, upper: bool = False) -> Callable[[str], str]:
    """Return a parser of one of some words."""
    def parse(value: str) -> str:
        word = value.upper() if upper else value.lower()
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(filter(None, choices))}")
        return word

    return parse


def split_url(value: str, *schemes: str) -> Any:
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
