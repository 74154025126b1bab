"""How much a client may ask for. Pure."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BURST_SECONDS = 30.0  # as long as the hub itself may stand still: what waited then comes all at once
BYTES_PER_EVENT = 4_096  # a message costs an event for each so many bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all clients and of each; ``clients_per_ip`` 0: no limit. Addresses in ``trusted_proxies`` speak for others."""

    clients: int = 5_000
    clients_per_ip: int = 0
    events_per_second: float = 50.0
    buffer_bytes: int = 262_144
    trusted_proxies: Sequence[Network] = ()


class Budget:
    """Events of one client: so many a second, and what ``BURST_SECONDS`` would allow in one go. Bytes cost, too."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, per_second: float, now: float) -> None:
        self._rate = per_second
        self._left = per_second * BURST_SECONDS
        self._at = now

    def spend(self, now: float, size_bytes: int = 0) -> bool:
        """Take one event of so many bytes out; False if the budget is used up."""
        cost = 1 + size_bytes / BYTES_PER_EVENT
        self._left = min(self._rate * BURST_SECONDS, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True


def client_address(environ: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """Return whose request it is: the peer, or the last in ``X-Forwarded-For`` that is no trusted proxy of ours.

    Where that is no address, it is the peer: else whoever may write there would be a new one with each request.
    """
    peer = address = str(environ.get("REMOTE_ADDR", ""))
    forwarded = [item.strip() for item in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if item.strip()]
    while forwarded and _is_trusted(address, trusted):
        address = forwarded.pop()
        if "%" in address or _parsed(address) is None:  # a scope may be any text
            return peer
    return address


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    found = _parsed(address)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:  # as a socket for both shows it
        found = found.ipv4_mapped
    return any(found in network for network in trusted)


@functools.lru_cache(1_024)
def who(address: str) -> str:
    """Return as whom an address counts: one machine has a whole /64 of IPv6, and may take any address of it."""
    if ":" not in address:
        return address[:64]
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address[:64]
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))
