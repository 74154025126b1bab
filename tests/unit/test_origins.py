"""Which browser origins are let in, and by which names the hub may be asked."""

import pytest

from hub.web.origins import name_allowed, origin_allowed

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
        ("http://site.example", "https", True),
        ("https://site.example", "http", True),  # a tunnel ends TLS in front of the proxy that says so
        ("https://evil.example", "https", False),
        ("https://site.example", "https, http", True),
        ("https://prices.example.com", "http", True),  # a configured one is let in whatever the proxy tells
    ],
)
def test_the_sites_own_host_passes_whatever_scheme_a_proxy_tells(origin: str, proto: str, expected: bool) -> None:
    assert allowed(origin, forwarded="site.example", proto=proto) is expected


def test_nothing_is_configured() -> None:
    assert not origin_allowed("https://prices.example.com", {"HTTP_HOST": "backend:5000"}, ())
    assert origin_allowed("http://backend:5000", {"HTTP_HOST": "backend:5000"}, ())


@pytest.mark.parametrize("proto", ["", "http"])
def test_a_site_behind_a_tunnel_that_ends_tls_is_its_own(proto: str) -> None:
    assert allowed("https://site.example", "site.example", "", proto)
    assert allowed("https://site.example", "backend:5000", "site.example", proto)
    assert not allowed("https://elsewhere.example", "site.example", "", proto)


# -- names -------------------------------------------------------------------------------------------------

NAMES = {"hub.lan", "prices.example.com", "*.example.org"}
OWN = [
    "", "localhost", "localhost:5000", "LOCALHOST", "hub.localhost:5000", "127.0.0.1:5000", "127.9.9.9",
    "10.0.0.7:5000", "203.0.113.7", "[::1]:5000", "[::1]", "[2001:db8::7]:5000", "backend:5000", "backend",
    "price-hub", "hub.lan:5000", "HUB.lan.", "prices.example.com", "prices.example.com:8443", "PRICES.example.com.:80",
    "a.example.org",
    "a.b.example.org:5000",
]  # fmt: skip
FOREIGN = [
    "evil.example", "evil.example:5000", "EVIL.example.", "prices.example.com.evil.example", "a.prices.example.com",
    "example.org", "example.com", "xexample.org", "127.0.0.1.evil.example:5000", "localhost.evil.example",
    "evil.localhost.example", "127.0.0.1@evil.example", "[::1].evil.example:5000", "evil.example:80:80", "0x7f.1",
    "127.1", "127.0.0.1, evil.example", "backend.price-hub.svc", "evil.example/", ".evil.example", "*.example.org.x",
]  # fmt: skip


@pytest.mark.parametrize("host", OWN)
def test_names_that_are_known_and_those_that_no_stranger_can_have(host: str) -> None:
    assert name_allowed({"HTTP_HOST": host}, NAMES)


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_somebody_else_may_have_is_refused(host: str) -> None:
    assert not name_allowed({"HTTP_HOST": host}, NAMES)
    assert name_allowed({"HTTP_HOST": host}, {"*"})


def test_a_request_without_a_host_is_no_browsers() -> None:
    assert name_allowed({}, NAMES)


def test_a_name_that_is_too_long_is_not_looked_at() -> None:
    below = "*.example.com"
    assert name_allowed({"HTTP_HOST": "a." * 120 + "example.com"}, {below})
    assert not name_allowed({"HTTP_HOST": "a." * 4_000 + "example.com"}, {below})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),  # which browsers send by TLS, and no script can
        ({"HTTP_ORIGIN": "https://site.example"}, True),  # a WebSocket has no more than that
        ({"HTTP_ORIGIN": "http://site.example"}, False),
        ({"HTTP_ORIGIN": "https://evil.example"}, False),
        ({"HTTP_ORIGIN": "https://site.example:5000"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "localhost"}, False),  # any script can
        ({"HTTP_REFERER": "https://site.example/", "HTTP_FORWARDED": "proto=https"}, False),
    ],
)
def test_who_comes_by_tls_has_shown_a_certificate_for_the_name(headers: dict[str, str], expected: bool) -> None:
    assert name_allowed({"HTTP_HOST": "site.example", **headers}, ()) is expected
