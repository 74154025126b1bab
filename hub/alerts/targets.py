"""Where a webhook may lead: https to a public address, or what ``WEBHOOK_ALLOWED_HOSTS`` names. The guard against SSRF.

Its name is resolved once a delivery, every address of the answer is checked, and the connection goes to the address
that was checked (``hub.alerts.post``): what the name resolves to a moment later is of no matter. An address counts as
public only if what is embedded in it (IPv4-mapped, 6to4, NAT64) is public, too.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from hub import parse

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[..., list[Any]]
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # all that was given out so far
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
TEREDO = ipaddress.IPv6Network("2001::/32")
NOT_FOR_USERS = ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24")  # protocols, 6to4 relays
WHY = {
    "no_url": "it is no URL of http or https, or holds a user name",
    "no_host": "its host is no host name, nor an address in its usual form",
    "not_https": "it is not https, and WEBHOOK_ALLOWED_HOSTS does not name its host",
    "address_refused": "its host has an address that is not public, and WEBHOOK_ALLOWED_HOSTS does not name it",
}


class TargetError(Exception):
    """A URL that the hub does not post to. ``reason`` is a short word; never the URL: it may hold a secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(WHY[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes. ``host`` as it is compared, resolved and proved; ``path`` is a secret."""

    secure: bool
    host: str
    port: int
    path: str = field(repr=False)
    allowed: bool  # by name: any address is


def target_of(url: str, allowed_hosts: Collection[str]) -> Target:
    """Return where a URL leads. Raises ``TargetError``."""
    parts = parse.split_url(url, "http", "https")
    if parts is None:
        raise TargetError("no_url")
    try:
        host = parse.host(parts.hostname)
    except ValueError:
        raise TargetError("no_host") from None
    allowed = host in allowed_hosts
    secure = parts.scheme == "https"
    if not secure and not allowed:
        raise TargetError("not_https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise TargetError("no_url")
    return Target(secure, host, parts.port or (443 if secure else 80), path, allowed)


def addresses_of(target: Target, resolver: Resolver = socket.getaddrinfo) -> list[tuple[int, Any]]:
    """Resolve a target; return (family, socket address) of each answer. One address that may not be refuses all.

    Raises ``TargetError`` (``address_refused``) and what the resolver raises.
    """
    found = resolver(target.host, target.port, type=socket.SOCK_STREAM)
    if not target.allowed:
        for _, _, _, _, address in found:
            if not is_public(ipaddress.ip_address(address[0])):
                raise TargetError("address_refused")
    return [(family, address) for family, _, _, _, address in found]


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the Internet at large, and so does what is embedded in it."""
    if isinstance(address, ipaddress.IPv4Address):
        special = any(address in network for network in NOT_FOR_USERS)
        return address.is_global and not address.is_multicast and not special
    embedded = address.ipv4_mapped or address.sixtofour
    if address in NAT64:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if embedded is not None:
        return is_public(embedded)
    return address in GLOBAL_IPV6 and address.is_global and address not in TEREDO
