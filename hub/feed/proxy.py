"""The way out through an HTTP proxy: which one the environment names for a URL, and a tunnel through it.

``HTTPS_PROXY`` is for wss:// and https://, ``HTTP_PROXY`` for ws:// and http://; hosts in ``NO_PROXY`` are reached
directly, and loopback always is. WebSockets go through a tunnel (CONNECT) in both cases.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from hub.feed.bounded_socket import BoundedSocket


class ProxyError(OSError):
    """No way through the proxy; ``status`` is its answer, None where it is not what is wrong."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens. The URL may hold a password: nothing prints it."""

    host: str
    port: int
    url: str = field(repr=False)
    authorization: str | None = field(repr=False)


def find(url: str) -> Proxy | None:
    """Return the proxy on the way to a URL, None for a direct way. Raises ``ProxyError`` for one that is not spoken."""
    parts = urlsplit(url)
    if _is_loopback(parts.hostname or ""):
        return None
    asked = parts._replace(scheme={"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)).geturl()
    found = select_proxy(asked, get_environ_proxies(asked))
    if not found:
        return None
    found = found if "://" in found else f"http://{found}"
    try:
        at = urlsplit(found)
        host, port = at.hostname, at.port or 80
    except ValueError:
        host, port = None, 0
    if not host or at.scheme != "http":
        raise ProxyError("the proxy has to be http://[user:password@]host:port; HTTPS and SOCKS are not spoken to it")
    authorization = None
    if at.username is not None:
        word = f"{unquote(at.username)}:{unquote(at.password or '')}"
        authorization = f"Basic {base64.b64encode(word.encode()).decode()}"
    return Proxy(host, port, found, authorization)


def tunnel(sock: BoundedSocket, proxy: Proxy, host: str, port: int) -> None:
    """Have the proxy connect the socket with a host. Raises ``ProxyError``."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = http.client.HTTPResponse(sock, method="CONNECT")  # type: ignore[arg-type]
    try:
        answer.begin()
    except http.client.HTTPException as error:
        raise ProxyError(f"it answered with no HTTP: {type(error).__name__}") from error
    finally:
        answer.close()
    if not 200 <= answer.status < 300:
        advice = {407: " (it wants user and password in its URL)", 403: " (it does not let us out to there)"}
        raise ProxyError(f"it answered {answer.status}{advice.get(answer.status, '')}", answer.status)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
