"""Rates of an address: windows by a clock that never jumps, bounded, an address of IPv6 by its network."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from hub.fanout.limits import who
from hub.parse import networks
from hub.settings import Settings
from hub.web import rates as module
from hub.web.rates import Rates, TooMany

TOKENS = ["right-token"]


class Bench:
    """Rates with a clock that is set by hand."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1_000.0
        self.counters: Counter[str] = Counter()
        self.rates = Rates(Settings(**settings), self.counters, lambda: self.now)

    def asks(self, address: str = "192.0.2.1", **environ: str) -> bool:
        try:
            self.rates.count_request({"REMOTE_ADDR": address, **environ})
        except TooMany:
            return False
        return True

    def guesses(self, token: str | None, address: str = "192.0.2.1") -> bool:
        return self.rates.token_valid({"REMOTE_ADDR": address}, token, TOKENS)


def test_an_address_has_its_requests_and_gets_them_anew() -> None:
    bench = Bench(rate_limit_per_second=2)
    assert [bench.asks() for _ in range(21)] == [True] * 20 + [False]
    assert bench.asks("192.0.2.2"), "others do not notice"
    assert bench.counters["refused_rate_limit"] == 1
    bench.now += 4.5
    with pytest.raises(TooMany) as refused:
        bench.rates.count_request({"REMOTE_ADDR": "192.0.2.1"})
    assert refused.value.seconds == 6
    bench.now += 5.5
    assert bench.asks()


def test_who_asks_for_dear_answers_may_do_so_less_often() -> None:
    bench = Bench(rate_limit_per_second=100)

    def answers(milliseconds: float, size_bytes: int = 0) -> int:
        done = 0
        bench.now += 10
        while done < 2_000 and bench.asks():
            bench.rates.count_work({"REMOTE_ADDR": "192.0.2.1"}, milliseconds / 1_000, size_bytes)
            done += 1
        return done

    assert answers(0.1) == 1_000  # the number counts
    assert answers(5.0) == 40  # the time does: 50 ms a second
    assert answers(0.5, 1_000_000) == 200  # and what is sent
    assert answers(5_000.0) == 2, "one that waited is charged no more than 100 ms"
    assert bench.asks("192.0.2.2"), "others do not notice"
    assert bench.counters["refused_rate_limit"] == 1
    assert bench.counters["refused_work_limit"] == 3


def test_zero_is_no_limit() -> None:
    bench = Bench(rate_limit_per_second=0, bad_tokens_per_minute=0)
    assert all(bench.asks() for _ in range(10_000))
    for _ in range(100):
        bench.rates.count_work({"REMOTE_ADDR": "192.0.2.1"}, 1.0, 1_000_000)
    assert bench.asks()
    assert not any(bench.guesses("wrong") for _ in range(1_000))
    assert bench.guesses("right-token")


def test_who_was_wrong_too_often_is_refused_before_the_token_is_looked_at() -> None:
    bench = Bench(bad_tokens_per_minute=3)
    assert [bench.guesses("wrong") for _ in range(3)] == [False] * 3
    with pytest.raises(TooMany, match="wrong tokens"):
        bench.guesses("right-token")
    assert bench.guesses("right-token", "192.0.2.2")
    assert (bench.counters["bad_tokens"], bench.counters["refused_bad_tokens"]) == (3, 1)
    bench.now += 60
    assert bench.guesses("right-token")


def test_right_tokens_and_none_are_no_guesses() -> None:
    bench = Bench(bad_tokens_per_minute=1)
    assert not any(bench.guesses(nothing) for nothing in (None, "") * 100)
    assert all(bench.guesses("right-token") for _ in range(100))
    assert not bench.guesses("\udc80 no UTF-8")


def test_the_addresses_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 200)
    bench = Bench()
    tracemalloc.start()
    for number in range(2_000):
        assert bench.asks(f"2001:db8:0:{number:x}::1")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 500_000
    assert len(bench.rates._requests._limiter.storage._windows) == 200  # type: ignore[attr-defined]


def test_a_proxy_that_is_trusted_speaks_for_others() -> None:
    bench = Bench(rate_limit_per_second=1, trusted_proxies=networks("10.0.0.0/8"))
    for _ in range(30):
        bench.asks("10.1.2.3", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert not bench.asks("10.1.2.3", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert bench.asks("10.1.2.3", HTTP_X_FORWARDED_FOR="198.51.100.2")
    assert bench.asks("203.0.113.1", HTTP_X_FORWARDED_FOR="198.51.100.1"), "who is not trusted speaks for itself"


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:192.0.2.1", "192.0.2.1"),
     ("fe80::1%eth0", "fe80::/64"), ("", ""), ("no:address", "no:address"), ("x" * 1_000, "x" * 64)],
)  # fmt: skip
def test_as_whom_an_address_counts(address: str, counts_as: str) -> None:
    assert who(address) == counts_as


def test_alerts_cost_by_their_size_and_are_the_addresses() -> None:
    bench = Bench()

    def relayed(size_bytes: int, address: str = "2001:db8::1") -> int:
        count = 0
        with contextlib.suppress(TooMany):
            while count < 1_000:
                bench.rates.count_relay(address, size_bytes)
                count += 1
        return count

    assert relayed(100) == 20
    assert relayed(100, "2001:db8::2") == 0, "the same network"
    bench.now += 10
    assert relayed(4_097) == 10
    bench.now += 1_000
    assert relayed(16_384) == 5
    assert relayed(4_096, "192.0.2.1") == 20
    assert bench.counters["refused_relays"] == 5
