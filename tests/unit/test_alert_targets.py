"""The guard against SSRF: which webhooks are refused, and that what was checked is what is connected to."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from hub.alerts import post as module
from hub.alerts.post import Limits, Poster, PostError
from hub.alerts.targets import TargetError, addresses_of, is_public, target_of
from tests.receiver import Receiver, status
from tests.tls import make_certificates

PUBLIC = "93.184.215.14"
# what a resolver would say; the system's own is asked for addresses alone
NAMES = {
    "hooks.example.com": [PUBLIC],
    "six.example.com": ["2606:4700::6810:84e5"],
    "localhost": ["127.0.0.1", "::1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "10-0-0-1.sslip.io": ["10.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "one-of-each.example.com": [PUBLIC, "192.168.1.1"],
    "private-first.example.com": ["10.1.2.3", PUBLIC],
    "mapped.example.com": ["::ffff:10.0.0.1"],
    "xn--bcher-kva.example": ["127.0.0.1"],
    "intranet": ["10.0.0.7"],
    "backend": ["172.18.0.2"],
    "nat64.example.com": ["64:ff9b::a00:1"],
    "nat64-public.example.com": ["64:ff9b::5db8:d70e"],
}


def resolve(host: str, port: int, **_: Any) -> list[Any]:
    found = NAMES.get(host, [host])
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in found
    ]  # fmt: skip


def refusal(url: str, allowed: tuple[str, ...] = ()) -> str | None:
    try:
        addresses_of(target_of(url, allowed), resolve)
    except TargetError as error:
        return error.reason
    return None


REFUSED = [
    # no https
    ("http://hooks.example.com/", "not_https"),
    ("HTTP://hooks.example.com:443/", "not_https"),
    # no URL that a webhook could have
    ("ftp://hooks.example.com/", "no_url"),
    ("file:///etc/passwd", "no_url"),
    ("gopher://127.0.0.1:70/", "no_url"),
    ("https://", "no_url"),
    ("https:///path", "no_url"),
    ("//hooks.example.com/", "no_url"),
    ("https://hooks.example.com:99999/", "no_url"),
    ("https://hooks.example.com\\@127.0.0.1/", "no_url"),
    ("https://hooks.example.com\r\nHost: evil/", "no_url"),
    ("https://hooks.example.com/a b", "no_url"),
    # user names
    ("https://user:secret@hooks.example.com/", "no_url"),
    ("https://hooks.example.com@127.0.0.1/", "no_url"),
    ("https://127.0.0.1#@hooks.example.com/", "address_refused"),
    # IPv4 in every way of writing it
    ("https://127.0.0.1/", "address_refused"),
    ("https://127.0.0.1.:8443/", "address_refused"),
    ("https://2130706433/", "no_host"),
    ("https://0x7f000001/", "no_host"),
    ("https://0x7f.0.0.1/", "no_host"),
    ("https://017700000001/", "no_host"),
    ("https://0177.0.0.1/", "no_host"),
    ("https://127.1/", "no_host"),
    ("https://127.0.0.0x1/", "no_host"),
    ("https://１２７.0.0.1/", "address_refused"),  # full-width digits
    ("https://127。0。0。1/", "address_refused"),  # full-width dots
    # where no webhook lives
    ("https://0.0.0.0/", "address_refused"),
    ("https://10.0.0.1/", "address_refused"),
    ("https://172.16.5.4/", "address_refused"),
    ("https://192.168.0.1/", "address_refused"),
    ("https://100.64.0.1/", "address_refused"),
    ("https://169.254.169.254/latest/meta-data/", "address_refused"),
    ("https://192.0.0.192/", "address_refused"),
    ("https://192.0.2.1/", "address_refused"),
    ("https://192.88.99.1/", "address_refused"),
    ("https://198.18.0.1/", "address_refused"),
    ("https://224.0.0.1/", "address_refused"),
    ("https://239.255.255.250/", "address_refused"),
    ("https://240.0.0.1/", "address_refused"),
    ("https://255.255.255.255/", "address_refused"),
    # IPv6, and IPv4 in it
    ("https://[::1]/", "address_refused"),
    ("https://[::]/", "address_refused"),
    ("https://[0:0:0:0:0:0:0:1]/", "address_refused"),
    ("https://[::ffff:127.0.0.1]/", "address_refused"),
    ("https://[::ffff:7f00:1]/", "address_refused"),
    ("https://[::ffff:a9fe:a9fe]/", "address_refused"),
    ("https://[::127.0.0.1]/", "address_refused"),
    ("https://[64:ff9b::7f00:1]/", "address_refused"),
    ("https://[64:ff9b:1::7f00:1]/", "address_refused"),
    ("https://[2002:7f00:1::]/", "address_refused"),
    ("https://[2002:a00:1::1]/", "address_refused"),
    ("https://[2001:0:5db8:d70e::1]/", "address_refused"),  # Teredo
    ("https://[2001:db8::1]/", "address_refused"),
    ("https://[fc00::1]/", "address_refused"),
    ("https://[fd00:ec2::254]/", "address_refused"),
    ("https://[fe80::1]/", "address_refused"),
    ("https://[fe80::1%25eth0]/", "address_refused"),
    ("https://[fec0::1]/", "address_refused"),
    ("https://[ff02::1]/", "address_refused"),
    ("https://[::1", "no_url"),
    # names
    ("https://localhost/", "address_refused"),
    ("https://LOCALHOST./", "address_refused"),
    ("https://127.0.0.1.nip.io/", "address_refused"),
    ("https://10-0-0-1.sslip.io/", "address_refused"),
    ("https://metadata.google.internal/", "address_refused"),
    ("https://intranet/", "address_refused"),
    ("https://bücher.example/", "address_refused"),
    ("https://xn--bcher-kva.example/", "address_refused"),
    ("https://one-of-each.example.com/", "address_refused"),
    ("https://private-first.example.com/", "address_refused"),
    ("https://mapped.example.com/", "address_refused"),
    ("https://nat64.example.com/", "address_refused"),
    ("https://a..example.com/", "no_host"),
    ("https://hooks.example.com../", "no_host"),
    (f"https://{'a' * 64}.example.com/", "no_host"),
    ("https://hooks_%31.example.com/", "no_host"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED)
def test_what_is_refused(url: str, reason: str) -> None:
    assert refusal(url) == reason


def test_the_table_is_long_enough() -> None:
    assert len({url for url, _ in REFUSED}) == len(REFUSED) >= 40


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/services/T0/B0/x", "https://hooks.example.com./x", "https://six.example.com/?a=b",
        f"https://{PUBLIC}/", "https://[2606:4700::6810:84e5]/", "https://[::ffff:93.184.215.14]/",
        "https://nat64-public.example.com/", "HTTPS://HOOKS.EXAMPLE.COM:8443/",
    ],
)  # fmt: skip
def test_what_is_let_through(url: str) -> None:
    assert refusal(url) is None


@pytest.mark.parametrize(
    ("url", "allowed", "reason"),
    [
        ("http://backend:8080/hook", ("backend",), None),
        ("http://BACKEND./hook", ("backend",), None),
        ("https://127.0.0.1/", ("127.0.0.1",), None),
        ("http://[0:0::1]/", ("::1",), None),
        ("http://localhost/", ("127.0.0.1",), "not_https"),  # by name, not by what it resolves to
        ("https://localhost/", ("127.0.0.1",), "address_refused"),
        ("https://backend.evil.example/", ("backend",), None),  # public by the stub: an ordinary name
        ("https://intranet/", ("backend",), "address_refused"),
        ("http://user@backend/", ("backend",), "no_url"),
    ],
)
def test_hosts_that_are_allowed_by_name(url: str, allowed: tuple[str, ...], reason: str | None) -> None:
    NAMES["backend.evil.example"] = [PUBLIC]
    assert refusal(url, allowed) == reason


def test_no_private_network_counts_as_public() -> None:
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "224.0.0.0/4",
                    "fc00::/7", "fe80::/10", "ff00::/8"):  # fmt: skip
        found = ipaddress.ip_network(network)
        for address in (found[0], found[1], found[found.num_addresses // 2], found[-1]):
            assert not is_public(address), address


def test_a_target_does_not_show_its_path() -> None:
    assert "canary" not in repr(target_of("https://hooks.example.com/canary", ()))


# -- what is connected to --------------------------------------------------------------------------------


def test_a_name_that_changes_between_check_and_use_is_asked_once() -> None:
    """DNS rebinding: public when it is checked, loopback when it is asked again."""
    asked = []
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    connected = []
    with pytest.MonkeyPatch.context() as patch, Receiver() as receiver:
        patch.setattr(module.socket.socket, "connect", lambda _self, address: connected.append(address) or _refuse())
        poster = Poster(target_of(f"https://rebinding.example.com:{receiver.port}/", ()), Limits(1.0, 2.0), rebinding)
        with pytest.raises(PostError, match="refused"):
            poster.post(b"{}")
        assert (asked, connected) == (["rebinding.example.com"], [(PUBLIC, receiver.port)])
        with pytest.raises(PostError, match="address_refused") as caught:
            poster.post(b"{}")  # the next delivery asks again, and checks again
    assert caught.value.final
    assert len(connected) == 1
    assert receiver.posts == []


def _refuse() -> None:
    raise ConnectionRefusedError


def test_the_environments_proxies_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        Poster(target_of(receiver.url, ("127.0.0.1",))).post(b"{}")
    assert (len(receiver.posts), len(proxy.posts)) == (1, 0)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_inward_is_not_followed(code: int) -> None:
    with Receiver() as inward, Receiver(status(code, Location=inward.url)) as receiver:
        with pytest.raises(PostError, match=f"http_{code}") as caught:
            Poster(target_of(receiver.url, ("127.0.0.1",))).post(b"{}")
        assert caught.value.final
    assert inward.posts == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "certificate", "reason"),
    [("localhost", "good", None), ("hooks.example.com", "good", "tls"), ("localhost", "expired", "tls")],
)
def test_the_certificate_is_held_against_the_name_though_an_address_is_dialled(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, name: str, certificate: str, reason: str | None
) -> None:  # fmt: skip
    roots = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    monkeypatch.setattr(module, "_tls", lambda: roots)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates / f"{certificate}.pem", certificates / f"{certificate}.key")
    named = []
    server.sni_callback = lambda _socket, seen, _context: named.append(seen)
    to_loopback = lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]  # noqa: E731
    with Receiver(tls=server) as receiver:
        poster = Poster(target_of(f"https://{name}:{receiver.port}/x", (name,)), Limits(), to_loopback)
        if reason is None:
            poster.post(b"{}")
        else:
            with pytest.raises(PostError, match=reason):
                poster.post(b"{}")
    assert [post.host for post in receiver.posts] == ([f"{name}:{receiver.port}"] if reason is None else [])
    assert named == [name]
