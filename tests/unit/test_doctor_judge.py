"""What the doctor says of what was measured."""

import pytest

from hub.doctor import judge
from hub.doctor.judge import Check, Level


def test_advice_is_given_where_it_is_needed_alone() -> None:
    assert judge.disk("/state", 1e9) == Check(Level.OK, "STATE_DIR", "/state is writable, 1.0 GB free")
    assert judge.disk("/state", 1e8).level is Level.WARN
    assert judge.disk("/state", 1e6).level is Level.FAIL
    assert judge.disk("/state", 1e6).do.startswith("make room")


@pytest.mark.parametrize(
    ("least", "most", "level", "text"),
    [
        (-0.08, 0.02, Level.OK, "as the exchange's, within 80 ms"),  # a way of 100 ms explains it all
        (0.9, 1.0, Level.OK, "0.9 s ahead of the exchange's"),
        (1.1, 1.2, Level.WARN, "1.1 s ahead of the exchange's"),
        (-3.1, -3.0, Level.WARN, "3.0 s behind the exchange's"),
        (31.0, 31.1, Level.FAIL, "31.0 s ahead of the exchange's"),
        (-4000.0, -3600.0, Level.FAIL, "3600.0 s behind the exchange's"),
        (-0.5, 40.0, Level.OK, "as the exchange's, within 40000 ms"),  # so slow that nothing can be said
    ],
)
def test_a_clock_is_off_by_what_the_way_does_not_explain(least: float, most: float, level: Level, text: str) -> None:
    check = judge.clock(least, most)
    assert (check.level, check.text) == (level, text)


def test_versions() -> None:
    pinned = {"flask": "3.1.3", "orjson": "3.13.0"}
    assert judge.packages(pinned, dict(pinned)).text == "2, all as pinned"
    other = judge.packages(pinned, {"flask": "3.1.2", "orjson": "3.13.0"})
    assert (other.level, other.text) == (Level.WARN, "flask 3.1.2 (pinned: 3.1.3)")
    missing = judge.packages(pinned, {"flask": "3.1.2", "orjson": None})
    assert (missing.level, missing.text) == (Level.FAIL, "orjson is missing; flask 3.1.2 (pinned: 3.1.3)")
    assert missing.do == "pip install --require-hashes -r requirements.lock"


def test_who_gets_in() -> None:
    assert judge.access("127.0.0.1", 5000, tokens=False).level is Level.OK
    assert judge.access("0.0.0.0", 5000, tokens=False).level is Level.WARN
    assert judge.access("0.0.0.0", 5000, tokens=True).level is Level.OK
    assert judge.addresses(proxies=False, host="127.0.0.1").level is Level.OK
    assert judge.addresses(proxies=False, host="0.0.0.0").level is Level.WARN
    assert judge.addresses(proxies=True, host="0.0.0.0").level is Level.OK


def test_what_there_is_to_run_on() -> None:
    assert judge.descriptors(20_000, 5_000).level is Level.OK
    assert judge.descriptors(1_024, 5_000).level is Level.WARN
    assert judge.machine(2, 0.5, 8e9).level is Level.OK
    assert judge.machine(2, 0.5, None).text == "2 cores, load 0.5"
    assert judge.machine(2, 3.0, 8e9).level is Level.WARN
    assert judge.machine(2, 0.5, 1e8).level is Level.WARN
    assert judge.timer([0.001, 0.002]).level is Level.OK
    assert judge.timer([0.001, 0.2]).level is Level.WARN


def test_whom_to_trust() -> None:
    assert judge.roots({}, {}).level is Level.OK
    assert judge.roots({"SSL_CERT_FILE": "/ca.pem", "REQUESTS_CA_BUNDLE": "/other.pem"}, {}).level is Level.OK
    check = judge.roots({"REQUESTS_CA_BUNDLE": "/ca.pem"}, {})
    assert check.level is Level.WARN
    assert check.do == "REQUESTS_CA_BUNDLE changes nothing here: set SSL_CERT_FILE to the same file"


def test_a_host_that_can_not_be_reached() -> None:
    assert "set HTTPS_PROXY" in judge.unreachable("dns", "x", proxied=False).do
    assert "is the proxy up" in judge.unreachable("dns", "x", proxied=True).do
    assert "user:password" in judge.unreachable("proxy_407", "x", proxied=True).do
    assert "status page" in judge.unreachable("http_503", "x", proxied=False).do


def test_what_the_settings_choose() -> None:
    check = judge.connects(326, (), 0.13, 15)
    assert (check.level, check.text) == (
        Level.OK, "326 fit the settings: 22 connections, all of them up within 3 s"
    )  # fmt: skip
    assert judge.connects(5, ("NO-USD",), 0.13, 15).level is Level.WARN
    assert judge.connects(0, ("NO-USD",), 0.13, 15).level is Level.FAIL
