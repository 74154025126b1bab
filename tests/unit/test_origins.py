"""Which browser origins are let in."""

import pytest

from hub.web.origins import origin_allowed

CONFIGURED = ("https://prices.example.com", "http://localhost:3000")


def allowed(origin: str | None, host: str = "backend:5000", forwarded: str = "", proto: str = "") -> bool:
    environ = {"HTTP_HOST": host, "HTTP_X_FORWARDED_HOST": forwarded, "HTTP_X_FORWARDED_PROTO": proto}
    present = {name: value for name, value in environ.items() if value}
    return origin_allowed(origin, present, CONFIGURED)


@pytest.mark.parametrize("host", ["backend:5000", ""])
def test_who_sends_no_origin_is_let_in(host: str) -> None:
    assert allowed(None, host)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://prices.example.com", True),
        ("http://localhost:3000", True),
        ("http://prices.example.com", False),
        ("https://prices.example.com:8443", False),
        ("https://prices.example.com/", False),
        ("https://prices.example.com/app", False),
        ("https://prices.example.com.evil.example", False),
        ("https://evil.example/https://prices.example.com", False),
        ("https://prices.example.com@evil.example", False),
        ("https://sub.prices.example.com", False),
        ("https://prices.example.co", False),
        ("http://localhost", False),
        ("http://localhost:30000", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("*", False),
        ("prices.example.com", False),
        ("file://", False),
        ("chrome-extension://abcdef", False),
        ("https://", False),
        ("https://prices.example.com:port", False),
        ("https://[::1", False),
        ("https://prices.example.com https://evil.example", False),
    ],
)
def test_configured_origins(origin: str, expected: bool) -> None:
    assert allowed(origin) is expected


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://hub.example:5000", "hub.example:5000", True),
        ("http://hub.example", "hub.example", True),
        ("http://hub.example", "hub.example:80", True),
        ("http://hub.example:80", "hub.example", True),
        ("https://hub.example", "hub.example", True),
        ("https://hub.example", "hub.example:443", True),
        ("https://hub.example", "hub.example:80", False),
        ("http://hub.example", "hub.example:443", False),
        ("http://HUB.example:5000", "hub.EXAMPLE:5000", True),
        ("http://[::1]:5000", "[::1]:5000", True),
        ("http://127.0.0.1:5000", "localhost:5000", False),
        ("http://hub.example:5001", "hub.example:5000", False),
        ("http://hub.example", "hub.example:5000", False),
        ("http://hub.example:5000/", "hub.example:5000", False),
        ("http://hub.example:5000/path", "hub.example:5000", False),
        ("http://hub.example:5000?a", "hub.example:5000", False),
        ("http://hub.example:5000#a", "hub.example:5000", False),
        ("http://user@hub.example:5000", "hub.example:5000", False),
        ("http://user@hub.example:5000", "user@hub.example:5000", False),
        ("http://hub.example:5000/path", "hub.example:5000/path", False),
        ("ws://hub.example:5000", "hub.example:5000", False),
        ("null", "null", False),
        ("http://hub.example", "", False),
        ("http://evil.example", "hub.example, evil.example", False),
    ],
)
def test_the_sites_own_origin(origin: str, host: str, expected: bool) -> None:
    assert allowed(origin, host) is expected


@pytest.mark.parametrize(
    ("origin", "forwarded", "expected"),
    [
        ("https://site.example", "site.example", True),
        ("http://site.example:8080", "site.example:8080", True),
        ("https://site.example", "SITE.example", True),
        ("https://site.example", "site.example, inner.example", True),
        ("https://site.example", " site.example ,inner.example", True),
        ("https://inner.example", "site.example, inner.example", False),
        ("https://evil.example", "site.example", False),
        ("http://site.example:8081", "site.example:8080", False),
        ("http://backend:5000", "site.example", True),
        ("https://site.example", ",", False),
        ("null", "null", False),
    ],
)
def test_the_origin_of_the_site_behind_a_proxy(origin: str, forwarded: str, expected: bool) -> None:
    assert allowed(origin, forwarded=forwarded) is expected


@pytest.mark.parametrize(
    ("origin", "proto", "expected"),
    [
        ("https://site.example", "https", True),
        ("http://site.example", "http", True),
        ("http://site.example", "https", False),
        ("https://site.example", "http", False),
        ("https://site.example", "https, http", True),
        ("https://prices.example.com", "http", True),  # a configured one is let in whatever the proxy tells
    ],
)
def test_the_scheme_counts_where_a_proxy_tells_it(origin: str, proto: str, expected: bool) -> None:
    assert allowed(origin, forwarded="site.example", proto=proto) is expected


def test_nothing_is_configured() -> None:
    assert not origin_allowed("https://prices.example.com", {"HTTP_HOST": "backend:5000"}, ())
    assert origin_allowed("http://backend:5000", {"HTTP_HOST": "backend:5000"}, ())
