"""Sessions that mean harm: that join nothing, read nothing, fetch nothing, or come again for a new budget."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import HubProcess, eventually
from tests.support.attack import Target, under_attack
from tests.support.sessions import PATH, Wire, going_on, handshakes, joins, numbers

TOKEN = "a-token-for-the-tests"
CROWD_OF_NEWCOMERS = 1_000


def counters(target: Target) -> Counter[str]:
    return Counter(target.get("/health")["counters"])


@pytest.mark.parametrize("addresses", ["one", "many"])
def test_handshakes_that_join_nothing_keep_no_place_from_who_has_a_token(
    hub_factory: Callable[..., HubProcess], addresses: str
) -> None:
    with under_attack(hub_factory, API_TOKENS=TOKEN, TRUSTED_PROXIES="127.0.0.1") as target:
        statuses: Counter[int] = Counter()
        act = handshakes(target.hub.port, statuses, None if addresses == "one" else numbers())
        with target.attack():
            with going_on(6, act):
                end, took, joining = time.monotonic() + 8, [], []
                while time.monotonic() < end:
                    took.append(joins(target.hub.port, TOKEN))
                    joining.append(target.get("/health")["clients_joining"])
                    time.sleep(0.2)
            print(f"handshakes: {dict(statuses)}, joined in {max(took):.2f} s at most, {max(joining)} joining")
            assert max(took) < 1.5
            assert max(joining) <= CROWD_OF_NEWCOMERS
            eventually(lambda: target.get("/health")["clients_joining"] == 0, 10)
        seen = counters(target)
        assert seen["cut_not_joined"] > 100
        assert (seen["refused_too_many_handshakes"] > 0) == (addresses == "one")


def test_answers_that_nobody_reads_are_few(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory) as target:
        wire = Wire(target.hub.port)
        names = [f"{a}{b}{c}-USD" for a in "ABCDEFGHIJ" for b in "KLMNOPQRST" for c in "UVWXYZABCD"]
        wish = '421["subscribe",{"products":[' + ",".join(f'"{name}"' for name in names) + "]}]"
        again = "\x1e".join(['421["subscribe",{}]'] * 16)
        with target.attack():
            end = time.monotonic() + 8
            while time.monotonic() < end:
                sid = wire.session("40", wish)
                for _ in range(3):
                    wire.ask("POST", f"{PATH}&sid={sid}", again)
        seen = counters(target)  # which comes first depends on the pace: the budget, or what waits unread
        assert seen["cut_not_reading"] + seen["cut_too_many_events"] > 0
        wire.close()


def test_namespaces_that_are_refused_hold_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory, API_TOKENS=TOKEN) as target:
        wire = Wire(target.hub.port)
        body = "\x1e".join(f"40/{'x' * 500}{number}," for number in range(16))
        with target.attack():
            taken = 0
            for _ in range(800):
                sid = wire.session(body)
                taken += wire.ask("POST", f"{PATH}&sid={sid}", body)[0] == 200
        assert taken == 0, "the first refusal ends a session"
        assert counters(target)["cut_not_joined"] >= 700
        wire.close()


def test_sessions_that_never_poll_are_cut_off(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory, MAX_CLIENTS_PER_IP="0", HANDSHAKES_PER_SECOND="0") as target:
        begun: list[str] = []

        def act(_: int, ending: threading.Event) -> None:
            wire = Wire(target.hub.port)
            while not ending.is_set() and len(begun) < 2_000:
                begun.append(wire.session("40"))
            wire.close()

        with target.attack():
            with going_on(4, act):
                end = time.monotonic() + 8  # then those that came first are cut off
                while len(begun) < 2_000 and time.monotonic() < end:
                    time.sleep(0.1)
            most = target.get("/health")["clients"]
            eventually(lambda: target.get("/health")["clients"] == 1, 15)
            print(f"{len(begun)} sessions, {most} at a time")
        assert all(begun)
        assert len(begun) > 200
        assert counters(target)["cut_not_reading"] == len(begun)


def test_coming_again_brings_no_new_budget_of_alerts(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory) as target:
        filling = "x" * 3_000
        alerts = "\x1e".join([f'421["spike_alert",{{"note":"{filling}"}}]'] * 15)
        with target.attack():

            def act(_: int, ending: threading.Event) -> None:
                wire = Wire(target.hub.port)
                while not ending.is_set():
                    wire.session('40{"subscribe":{"products":[]}}', alerts)
                    wire.ask("POST", "/alert", '{"crypto":"x"}', Content_Type="application/json")
                wire.close()

            with going_on(4, act):
                time.sleep(5)
        relayed = [entry for entry in target.get("/signals?limit=1000")["signals"] if entry["event"] == "spike_alert"]
        seen = counters(target)
        print(f"{len(relayed)} relayed, {seen['refused_relays']} refused")
        assert seen["refused_relays"] > 200
        assert 0 < len(relayed) <= 20 + 2 * 15
