"""The rules of the operational alerts, second by second: what fires, what is forgiven, what is resolved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.detect import rules as module
from hub.detect.pairs import PRIORITY_SECONDS
from hub.detect.rules import FIRING, RESOLVED, Alert, Rules, Seen, Slot
from hub.detect.spikes import PriceSpike
from hub.detect.volume import VolumeAlert
from hub.model import HealthStatus

START = 1_000.0
WALL = 1_800_000_000.0


class Bench:
    """Looks once a second at what it is told is so."""

    def __init__(self) -> None:
        self.rules = Rules()
        self.now = START
        self.reconnects = [0, 0, 0]

    def look(self, seconds: int = 1, up: tuple[bool, ...] = (True, True, True), **changed: Any) -> list[Alert]:
        found = []
        for _ in range(seconds):
            self.now += 1
            slots = [Slot(f"conn_00{at}", "exchange", is_up, self.reconnects[at]) for at, is_up in enumerate(up)]
            good: dict[str, Any] = {
                "status": HealthStatus.HEALTHY, "coverage_percentage": 100.0, "error_ratio": 0.0,
                "total_products": 30, "slots": slots, "paths": {"exchange": (sum(up), len(up))},
            }  # fmt: skip
            found += self.rules.step(Seen(self.now, WALL + self.now, **{**good, **changed}))
        return found

    def keys(self, *arguments: Any, **changed: Any) -> list[tuple[str, str]]:
        return [(alert.key, alert.state) for alert in self.look(*arguments, **changed)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


DOWN = (False, False, False)
CONDITIONS: list[tuple[str, dict[str, Any], float, str]] = [
    ("coverage", {"coverage_percentage": 79.9}, module.COVERAGE_SECONDS, "only 79.9 % of 30 products are covered"),
    ("errors", {"error_ratio": 0.051}, module.ERRORS_SECONDS, "5.1 % errors among the messages of the last minute"),
    ("connections:none", {"up": DOWN, "status": HealthStatus.CRITICAL}, module.NONE_UP_SECONDS,
     "none of 3 connections to the exchange is up"),
    ("path:advanced_trade", {"paths": {"exchange": (3, 3), "advanced_trade": (0, 3)}}, module.PATH_SECONDS,
     "advanced_trade is gone: none of its 3 connections is up, the other path carries on"),
    ("connections:lost", {"up": (True, False, True)}, module.LOST_SECONDS, "down for over 20 s: conn_001"),
    ("priority:BTC-USD", {"doubtful_pairs": {"BTC-USD": "old"}}, PRIORITY_SECONDS,
     "the price of the priority pair BTC-USD can't be trusted: old"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "bad", "hold", "text"), CONDITIONS)
def test_a_condition_fires_once_and_is_resolved_once(
    bench: Bench, key: str, bad: dict[str, Any], hold: float, text: str
) -> None:  # fmt: skip
    bench.look(10)
    assert bench.look(int(hold), **bad) == []
    (alert,) = bench.look(60, **bad)
    assert (alert.key, alert.state, alert.text, alert.since) == (key, FIRING, text, WALL + START + 11)
    assert [found.key for found in bench.rules.firing()] == [key]
    assert bench.look(int(module.CLEAR_SECONDS)) == []
    (over,) = bench.look(60)
    assert (over.key, over.state, over.since, over.severity) == (key, RESOLVED, alert.since, alert.severity)
    assert bench.rules.firing() == []


@pytest.mark.parametrize(("key", "bad", "hold", "_text"), CONDITIONS)
def test_what_is_over_within_its_time_calls_for_nobody(
    bench: Bench, key: str, bad: dict[str, Any], hold: float, _text: str
) -> None:  # fmt: skip
    for _ in range(3):  # a fourth loss would be flapping
        assert bench.look(int(hold), **bad) == [], key
        assert bench.look(2) == []


@pytest.mark.parametrize(("key", "bad", "hold", "_text"), CONDITIONS)
def test_what_fires_does_not_flicker(bench: Bench, key: str, bad: dict[str, Any], hold: float, _text: str) -> None:
    bench.look(int(hold) + 1, **bad)
    told = []
    for _ in range(20):
        told += bench.look(3)
        told += bench.look(3, **bad)
    of_connections = key in ("connections:none", "connections:lost")  # what comes and goes like this flaps, too
    assert {alert.key for alert in told} <= ({"connections:flapping", key} if of_connections else set())
    assert (key, FIRING) not in [(alert.key, alert.state) for alert in told]


@given(st.lists(st.booleans(), max_size=300))
def test_firing_and_resolved_take_turns_whatever_happens(seconds: list[bool]) -> None:
    bench, told = Bench(), []
    for bad in seconds:
        told += bench.look(coverage_percentage=50.0 if bad else 100.0)
    told += bench.look(20)
    assert [alert.state for alert in told] == [FIRING, RESOLVED] * (len(told) // 2)


def test_the_bounds_are_wider_for_what_fires(bench: Bench) -> None:
    bench.look(10, coverage_percentage=79.0, error_ratio=0.06)
    assert bench.look(60, coverage_percentage=84.0, error_ratio=0.045) == []
    assert sorted(bench.keys(10, coverage_percentage=86.0, error_ratio=0.03)) == [
        ("coverage", RESOLVED), ("errors", RESOLVED)
    ]  # fmt: skip


def test_without_any_connection_one_alert_says_it(bench: Bench) -> None:
    bad = {"up": DOWN, "status": HealthStatus.CRITICAL, "coverage_percentage": 0.0, "error_ratio": 1.0}
    assert bench.keys(60, **bad) == [("connections:none", FIRING)]
    # they are up again, the products follow
    assert bench.keys(3, coverage_percentage=50.0) == []
    assert bench.keys(60) == [("connections:none", RESOLVED)]


def test_what_was_told_of_a_part_is_not_over_when_all_are_gone(bench: Bench) -> None:
    paths = {"exchange": (3, 3), "advanced_trade": (0, 3)}
    fired = bench.keys(60, up=(True, False, True), paths=paths)
    assert sorted(fired) == [("connections:lost", FIRING), ("path:advanced_trade", FIRING)]
    gone = {"exchange": (0, 3), "advanced_trade": (0, 3)}
    assert bench.keys(60, up=DOWN, status=HealthStatus.CRITICAL, paths=gone) == [("connections:none", FIRING)]
    assert all(state == RESOLVED for _, state in bench.keys(60))


def test_a_connection_that_is_lost_again_and_again(bench: Bench) -> None:
    told = []
    bench.look()
    for number in range(1, 5):
        bench.reconnects[2] = number
        if number == 3:  # back within the second
            told += bench.look(30)
            continue
        told += bench.look(3, up=(True, True, False))
        told += bench.look(30)
    (alert,) = told
    assert (alert.key, alert.text) == ("connections:flapping", "lost 4 times or more within 5 minutes: conn_002")
    assert bench.keys(400) == [("connections:flapping", RESOLVED)]


def test_attempts_that_fail_are_no_losses(bench: Bench) -> None:
    bench.look()
    for number in range(1, 15):
        bench.reconnects[2] = number
        assert bench.look(up=(True, True, False)) == []


def test_many_lost_connections_are_one_alert(bench: Bench) -> None:
    up = (True, *[False] * 2)
    assert bench.keys(60, up=up) == [("connections:lost", FIRING)]
    assert [alert.text for alert in bench.rules.firing()] == ["down for over 20 s: conn_001, conn_002"]


def test_pairs_that_one_cause_hits_are_one_alert(bench: Bench) -> None:
    pairs = {f"P{number}-USD": "" for number in range(326)}
    bad = {"pairs": pairs, "doubtful_pairs": dict.fromkeys(pairs, "its connection was lost, or is silent")}
    (alert,) = bench.look(60, **bad)
    assert (alert.key, alert.severity, alert.symbol) == ("priority:others", module.CRITICAL, None)
    assert alert.text == (
        "the prices of 326 priority pairs can't be trusted: P0-USD, P1-USD, P2-USD and 323 more: "
        "its connection was lost, or is silent"
    )
    (over,) = bench.look(60, pairs=pairs)
    assert (over.state, over.text) == (
        RESOLVED, "of the priority pairs that could not be trusted, 326 can be trusted again"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ({"A-USD": ""}, "the price of the priority pair A-USD can be trusted again"),
        ({}, "A-USD is no priority pair any more: its price is not judged as one"),
        ({"A-USD": "the exchange says trading_disabled=true"},
         "the price of the priority pair A-USD is not judged any more: the exchange says trading_disabled=true"),
    ],
)  # fmt: skip
def test_the_end_of_a_pair_s_alert_says_what_is_so(bench: Bench, pairs: dict[str, str], text: str) -> None:
    bench.look(10, pairs={"A-USD": ""}, doubtful_pairs={"A-USD": "old"})
    (over,) = bench.look(10, pairs=pairs)
    assert (over.key, over.state, over.text) == ("priority:A-USD", RESOLVED, text)


@pytest.mark.parametrize("excuse", [{"status": HealthStatus.STARTING}, {"draining": True}])
def test_starting_and_draining_excuse_everything(bench: Bench, excuse: dict[str, Any]) -> None:
    bad = {"up": DOWN, "coverage_percentage": 0.0, "error_ratio": 1.0, **excuse}
    assert bench.look(100, **bad) == []


def test_draining_resolves_nothing(bench: Bench) -> None:
    bench.look(10, coverage_percentage=50.0)
    assert bench.look(100, draining=True) == []
    assert [alert.key for alert in bench.rules.firing()] == ["coverage"]


def test_time_in_which_nobody_looked_counts_for_nothing(bench: Bench) -> None:
    bench.look(3, coverage_percentage=50.0, up=(True, True, False))
    bench.now += 30.0
    assert bench.look(2, coverage_percentage=50.0, up=(True, True, False)) == []
    assert bench.keys(2, coverage_percentage=50.0, up=(True, True, False)) == [("coverage", FIRING)]


def test_connections_that_are_gone_are_forgotten(bench: Bench) -> None:
    bench.look(30, up=(True, True, False))
    assert bench.keys(10, up=(True, True)) == [("connections:lost", RESOLVED)]
    assert len(bench.rules._lost_at) == 2


def test_signals_say_what_they_are() -> None:
    volume = module.volume_signal(VolumeAlert("BTC-USD", 30.4, 10.0, 1.5, 3.04), WALL)
    assert (volume.key, volume.text) == ("volume:BTC-USD", "BTC-USD: volume is 3.0 times the usual")
    start = module.price_signal(PriceSpike("BTC-USD", "pump", "spike_start", 5.2, 100, 105.2, 105.2, 0.0), WALL)
    end = module.price_signal(PriceSpike("BTC-USD", "pump", "momentum_end", 3.0, 100, 103, 106, 40.0), WALL + 40)
    assert (start.text, end.text) == ("BTC-USD: pump, +5.20 %", "BTC-USD: pump is over, +3.00 %")
    assert (start.key, start.since) == (end.key, end.since) == ("price:BTC-USD", WALL)
    assert (start.state, end.state) == (FIRING, RESOLVED)
