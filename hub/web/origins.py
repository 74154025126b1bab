"""Which browser origins are let in: the configured ones and the site's own, nothing else. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, environ: Mapping[str, Any], configured: Collection[str]) -> bool:
    """Tell whether a request with this ``Origin`` may be answered.

    Without an origin (bots, curl) it may. Otherwise the origin must be a configured one, or that of the site itself:
    ``Host``, or the ``X-Forwarded-Host`` that a proxy sets, because behind one ``Host`` may name the inner service. A
    foreign page can set neither: browsers guard the one, and ask us before they send the other, which we refuse. The
    scheme is compared where a proxy tells it.
    """
    if origin is None or origin in configured:
        return True
    asked = _host_and_port(origin)
    if asked is None:
        return False
    scheme, host, port = asked
    told = _first(environ.get("HTTP_X_FORWARDED_PROTO")).lower()
    if told and {"ws": "http", "wss": "https"}.get(told, told) != scheme:
        return False
    sites = (_first(environ.get("HTTP_X_FORWARDED_HOST")), environ.get("HTTP_HOST"))
    return any(site and _host_and_port(f"{scheme}://{site}") == (scheme, host, port) for site in sites)


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
