"""How much a client may ask for. Pure."""

from __future__ import annotations

import functools
import ipaddress
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BURST_SECONDS = 30.0  # as long as the hub itself may stand still: what waited then comes all at once
BYTES_PER_EVENT = 4_096  # a message costs an event for each so many bytes
MIN_NEWCOMERS = 1_000  # a crowd that comes at once
ADDRESS_PART = 20  # busy clients that may share an address: nobody else sends more than a few events a minute
MAX_ADDRESSES = 10_000  # that have a budget at a time, 3 MB


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all clients and of each; ``clients_per_ip`` and ``handshakes_per_second`` (of an address) 0: no limit.

    Addresses in ``trusted_proxies`` speak for others.
    """

    clients: int = 5_000
    clients_per_ip: int = 0
    events_per_second: float = 50.0
    buffer_bytes: int = 262_144
    trusted_proxies: Sequence[Network] = ()
    handshakes_per_second: float = 0.0

    @property
    def newcomers(self) -> int:
        """How many sessions at a time may not have joined a namespace yet: a tenth of all, but a crowd in any case."""
        return min(self.clients, max(MIN_NEWCOMERS, self.clients // 10))


class Budget:
    """So much a second, and ``burst`` in one go: unless given, what ``BURST_SECONDS`` would allow."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, per_second: float, now: float, burst: float | None = None) -> None:
        self._rate = per_second
        self._left = self._burst = per_second * BURST_SECONDS if burst is None else burst
        self._at = now

    def spend(self, now: float, size_bytes: int = 0) -> bool:
        """Take one event of so many bytes out, which cost, too; False if the budget is used up."""
        return self.take(now, 1 + size_bytes / BYTES_PER_EVENT)

    def take(self, now: float, cost: float) -> bool:
        """Take out what something costs; False, and nothing is taken, if there is not so much."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def wait_seconds(self, cost: float) -> float:
        """Return how long it lasts, from the last ``take``, until there is so much."""
        return max(0.0, (cost - self._left) / self._rate)


class Budgets:
    """A budget of each address, which outlives its sessions: to come again brings nothing.

    Past ``MAX_ADDRESSES`` the one that was asked for longest ago is forgotten.
    """

    def __init__(self, per_second: float, burst: float | None = None) -> None:
        self._rate = per_second
        self._burst = burst
        self._budgets: OrderedDict[str, Budget] = OrderedDict()  # the first is the one to be forgotten

    def of(self, whose: str, now: float) -> Budget:
        """Return the budget of an address, as ``who`` counts it."""
        if (budget := self._budgets.get(whose)) is None:
            budget = self._budgets[whose] = Budget(self._rate, now, self._burst)
            if len(self._budgets) > MAX_ADDRESSES:
                self._budgets.popitem(last=False)
        self._budgets.move_to_end(whose)
        return budget


def client_address(environ: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """Return whose request it is: the peer, or the last in ``X-Forwarded-For`` that is no trusted proxy of ours.

    A name that is no address is nobody: whoever said it is taken for the client.
    """
    address = str(environ.get("REMOTE_ADDR", ""))
    forwarded = [item.strip() for item in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if item.strip()]
    while forwarded and _is_trusted(address, trusted) and _parsed(forwarded[-1]) is not None:
        address = forwarded.pop()
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    found = _parsed(address)
    return found is not None and any(found in network for network in trusted)


@functools.lru_cache(1_024)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found.scope_id is not None:  # behind the "%" may stand any text
        return None
    return found.ipv4_mapped or found  # as a socket for both shows it


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
