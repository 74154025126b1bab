"""Who is let in, and that a flood of strangers fills neither the log nor the memory."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from hub.settings import Settings
from hub.web import admission as module
from hub.web.admission import AGAIN_SECONDS, LINES_A_MINUTE, MAX_NAMED, Admission


class Bench:
    """One with a clock that is set by hand."""

    def __init__(self, **settings: object) -> None:
        self.now = 1_000.0
        self.counters: Counter[str] = Counter()
        self.admission = Admission(Settings(**settings), self.counters, lambda: self.now)  # type: ignore[arg-type]

    def asks_for(self, host: str, address: str = "192.0.2.1") -> bool:
        return self.admission.knows_name({"HTTP_HOST": host, "REMOTE_ADDR": address})

    def comes_from(self, origin: str) -> bool:
        return self.admission.admits(origin, {"HTTP_HOST": "localhost:5000", "REMOTE_ADDR": "192.0.2.1"})


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_settings_say_which_names_are_known() -> None:
    bench = Bench(host="Hub.lan", frontend_url=("https://prices.example.com:8443",), allowed_hosts=("*.example.org",))
    names = ("hub.lan:5000", "prices.example.com", "a.example.org", "localhost", "127.0.0.1", "backend")
    assert all(bench.asks_for(host) for host in names)
    assert not bench.asks_for("evil.example")
    assert bench.counters == {"refused_hosts": 1}


def test_each_stranger_is_named_once_with_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(50):
        for name in ("https://one.example", "https://two.example"):
            assert not bench.comes_from(name)
        assert not bench.asks_for("evil.example")
    lines = told(caplog)
    assert len(lines) == 3
    assert "origin='https://one.example'" in lines[0]
    assert "set FRONTEND_URL" in lines[0]
    assert "origin='https://two.example'" in lines[1]
    assert "host='evil.example' address=192.0.2.1" in lines[2]
    assert "set ALLOWED_HOSTS" in lines[2]
    assert bench.counters == {"refused_origins": 100, "refused_hosts": 50}
    bench.now += AGAIN_SECONDS
    bench.comes_from("https://two.example")
    assert len(told(caplog)) == 4


def test_a_flood_of_names_is_a_few_lines_and_they_say_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for number in range(1_000):
        bench.comes_from(f"https://{number}.example")
    assert len(told(caplog)) == LINES_A_MINUTE
    bench.now += 60
    bench.comes_from("https://last.example")
    assert told(caplog)[-1].endswith(f"set FRONTEND_URL (and {1_000 - LINES_A_MINUTE} more like it)")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINES_A_MINUTE", 1_000_000)
    bench = Bench()
    for number in range(MAX_NAMED + 100):
        bench.asks_for(f"{number}.{'x' * 5_000}.example")
    assert len(bench.admission._named) == MAX_NAMED
    assert max(len(name) for _, name in bench.admission._named) == module.MAX_CHARACTERS
