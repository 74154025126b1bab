"""What the doctor says of what was measured: well, doubtful or wrong, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import NamedTuple

SKEW_WARN_SECONDS, SKEW_FAIL_SECONDS = 1.0, 30.0
CERTIFICATE_WARN_DAYS = 7.0
DISK_WARN_BYTES, DISK_FAIL_BYTES = 500e6, 20e6
MEMORY_WARN_BYTES = 400e6
LAG_WARN_SECONDS = 0.05
SPARE_DESCRIPTORS = 300  # connections to the exchange, REST, requests, files
ROOTS_OF_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
UNREACHABLE = {  # by cause
    "dns": "behind a proxy? set HTTPS_PROXY. Else: what do the name servers in /etc/resolv.conf say?",
    "refused": "no way out to there: a firewall? Behind a proxy? set HTTPS_PROXY",
    "connect_timeout": "no way out to there: a firewall? Behind a proxy? set HTTPS_PROXY",
    "socket": "no way out to there: a firewall? Behind a proxy? set HTTPS_PROXY",
    "tls": "nothing is believed from there meanwhile; docs/operations.md: TLS, proxies, DNS",
    "proxy": "correct HTTPS_PROXY (for ws:// and http:// HTTP_PROXY)",
    "proxy_403": "have the proxy let this machine out to there",
    "proxy_407": "put the user and the password into HTTPS_PROXY: http://user:password@host:port",
    "http_429": "another program on this address takes the exchange's budget: wait a minute, or find it",
}


class Level(StrEnum):
    """How a check ended; the values are what is printed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Check(NamedTuple):
    """One line: what was looked at, what was found, and what to do about it."""

    level: Level
    name: str
    text: str
    do: str = ""


def ok(name: str, text: str) -> Check:
    """Return a line about what is well."""
    return Check(Level.OK, name, text)


def graded(name: str, text: str, do: str, *, fail: bool = False, warn: bool = False) -> Check:
    """Return a line with its advice, if it is needed."""
    if fail or warn:
        return Check(Level.FAIL if fail else Level.WARN, name, text, do)
    return ok(name, text)


def packages(pinned: Mapping[str, str], installed: Mapping[str, str | None]) -> Check:
    """Judge the versions that are installed by those of requirements.txt."""
    missing = [name for name in pinned if installed[name] is None]
    other = [f"{name} {installed[name]} (pinned: {wanted})" for name, wanted in pinned.items()
             if installed[name] not in (None, wanted)]  # fmt: skip
    text = "; ".join([*(f"{name} is missing" for name in missing), *other]) or f"{len(pinned)}, all as pinned"
    do = "pip install --require-hashes -r requirements.lock"
    return graded("packages", text, do, fail=bool(missing), warn=bool(other))


def disk(folder: str, free_bytes: float) -> Check:
    """Judge the room in STATE_DIR."""
    text = f"{folder} is writable, {free_bytes / 1e9:.1f} GB free"
    do = "make room: without it, gaps and history are not kept over a restart"
    return graded("STATE_DIR", text, do, fail=free_bytes < DISK_FAIL_BYTES, warn=free_bytes < DISK_WARN_BYTES)


def descriptors(limit: int, max_clients: int) -> Check:
    """Judge how many descriptors may be open: one a client."""
    text = f"{limit} may be open, for {max_clients} clients (MAX_CLIENTS)"
    do = "raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=), or lower MAX_CLIENTS"
    return graded("descriptors", text, do, warn=limit < max_clients + SPARE_DESCRIPTORS)


def machine(cores: int, load: float, free_bytes: float | None) -> Check:
    """Judge what there is to run on."""
    memory = "" if free_bytes is None else f", {free_bytes / 1e9:.1f} GB of memory free"
    short = free_bytes is not None and free_bytes < MEMORY_WARN_BYTES
    return graded(
        "machine", f"{cores} cores, load {load:.1f}{memory}",
        "the hub needs a core of its own and some 300 MB", warn=load > cores or short,
    )  # fmt: skip


def timer(lags: Sequence[float]) -> Check:
    """Judge by how many seconds sleeps came late."""
    text = f"sleeps end {median(lags) * 1000:.1f} ms late, {max(lags) * 1000:.1f} ms at worst"
    return graded("timer", text, "other programs take its turn: give it a core", warn=max(lags) > LAG_WARN_SECONDS)


def roots(environment: Mapping[str, str], unreadable: Mapping[str, str]) -> Check:
    """Judge what the environment says of whom to trust; ``unreadable``: of the files that it names."""
    for name, problem in unreadable.items():
        return Check(Level.FAIL, "roots", f"{name}: {problem}", "correct it, or unset it")
    ours = environment.get("SSL_CERT_FILE") or environment.get("SSL_CERT_DIR")
    others = [name for name in ROOTS_OF_OTHERS if environment.get(name)]
    text = f"the system's, and those in {ours}" if ours else "the system's"
    do = f"{' and '.join(others)} changes nothing here: set SSL_CERT_FILE to the same file"
    return graded("roots", text, do, warn=bool(others) and not ours)


def access(host: str, port: int, tokens: bool) -> Check:
    """Judge who gets in."""
    alone = host in ("127.0.0.1", "localhost", "::1")
    text = f"{'this machine alone' if alone else 'whoever reaches this machine'} may read, at {host}:{port}"
    text += ", with a token" if tokens else ", without a token"
    do = "set API_TOKENS, or leave it to a proxy in front that nobody gets around"
    return graded("access", text, do, warn=not alone and not tokens)


def addresses(proxies: bool, host: str) -> Check:
    """Judge whether clients can be told apart."""
    text = "believed from TRUSTED_PROXIES" if proxies else "as they connect: there is no proxy in front"
    do = "behind a proxy all clients share its address, and what one address may do: set TRUSTED_PROXIES"
    return graded("addresses", text, do, warn=not proxies and host != "127.0.0.1")


def certificate(days: float) -> Check:
    """Judge how long the endpoint's certificate holds."""
    do = "nothing here: the other side has to renew it"
    return graded("certificate", f"holds for {days:.0f} more days", do, warn=days < CERTIFICATE_WARN_DAYS)


def clock(least: float, most: float) -> Check:
    """Judge the seconds by which this clock is ahead of the exchange's: somewhere from ``least`` to ``most``."""
    off = max(least, 0.0) if least > 0 else min(most, 0.0)
    if off == 0.0:
        return ok("clock", f"as the exchange's, within {max(most, -least) * 1000:.0f} ms")
    text = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the exchange's"
    return graded(
        "clock", text, "set it by NTP (timedatectl, chronyd; a container has the host's); ages are wrong by as much",
        fail=abs(off) > SKEW_FAIL_SECONDS, warn=abs(off) > SKEW_WARN_SECONDS,
    )  # fmt: skip


def unreachable(cause: str, text: str, proxied: bool) -> Check:
    """Return what to do about a host that can't be reached."""
    do = UNREACHABLE.get(cause, "wait a minute and look again; does the exchange's status page say something?")
    if proxied and cause in ("dns", "refused", "connect_timeout", "socket"):
        do = "is the proxy up, and HTTPS_PROXY its address?"
    return Check(Level.FAIL, "reached", f"can't reach {text}", do)


def connects(products: int, unknown: Sequence[str], seconds: float, per_connection: int) -> Check:
    """Judge what the settings choose of the product list."""
    count = -(-products // per_connection)
    text = f"{products} fit the settings: {count} connections, all of them up within {seconds * count:.0f} s"
    if unknown:
        text += f"; not listed: {', '.join(unknown[:5])}"
    return graded("products", text, "correct PRODUCTS or MONITORING_CRYPTOS, or wait until they are listed",
                  fail=products == 0, warn=bool(unknown))  # fmt: skip
