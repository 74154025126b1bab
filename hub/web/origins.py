"""Which browser origins are let in, and by which names the hub may be asked. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

MAX_NAME = 253  # characters of a name in the name service; a longer one would cost a look at each of its dots
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(?::[0-9]*)?")


def origin_allowed(origin: str | None, environ: Mapping[str, Any], configured: Collection[str]) -> bool:
    """Tell whether a request with this ``Origin`` may be answered.

    Without an origin (bots, curl) it may. Otherwise the origin must be a configured one, or that of the site itself:
    ``Host``, or the ``X-Forwarded-Host`` that a proxy sets, because behind one ``Host`` may name the inner service. A
    foreign page can set neither: browsers guard the one, and ask us before they send the other, which we refuse. The
    scheme is not compared: where a tunnel ends TLS in front of a proxy, that one tells of plain HTTP.
    """
    return origin is None or origin in configured or _is_own(origin, environ)


def name_allowed(environ: Mapping[str, Any], known: Collection[str]) -> bool:
    """Tell whether a request may be answered that asks for this ``Host``.

    A page of a stranger can have its own name resolve to the hub's address: to the browser it is the hub's own site
    then. So a name must be one of ``known`` (``*.example.com``: all below it; ``*``: any), or one that no stranger can
    have: an address, ``localhost``, a name without a dot, which the public name service does not resolve. Or the
    browser must have come by TLS: no proxy of ours shows a certificate for a stranger's name.
    """
    host = _host(str(environ.get("HTTP_HOST", "")))
    if "." not in host or host.endswith(".localhost") or host in known or "*" in known or _is_address(host):
        return True
    if len(host) > MAX_NAME:
        return False
    return any(f"*{host[dot:]}" in known for dot, sign in enumerate(host) if sign == ".") or _came_by_tls(environ)


def _is_own(origin: str, environ: Mapping[str, Any]) -> bool:
    if (asked := _host_and_port(origin)) is None:
        return False
    sites = (_first(environ.get("HTTP_X_FORWARDED_HOST")), environ.get("HTTP_HOST"))
    return any(site and _host_and_port(f"{asked[0]}://{site}") == asked for site in sites)


def _came_by_tls(environ: Mapping[str, Any]) -> bool:
    """Tell whether a browser itself says so: no script can set these headers, and no claim of a proxy's is looked at.

    ``Sec-Fetch-Site`` is sent where TLS is (and to loopback names). A WebSocket has the page's origin alone.
    """
    origin = str(environ.get("HTTP_ORIGIN", ""))
    own = origin.startswith("https:") and _host_and_port(origin) == _host_and_port(f"https://{environ['HTTP_HOST']}")
    return "HTTP_SEC_FETCH_SITE" in environ or own


def _host(header: str) -> str:
    """Return the host of a ``Host``, in the form in which it is compared: lower case, without port and trailing dot."""
    found = _NAME_AND_PORT.fullmatch(header)
    return (found[1] if found else header).lower().removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False


def _first(header: str | None) -> str:
    return (header or "").split(",")[0].strip()


def _host_and_port(origin: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port) of ``scheme://host[:port]``, None for anything else (``null``, a path, a user)."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
        return None
    if "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]
