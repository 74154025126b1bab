"""Clients that lag, that choose, that choose anew all the time, and that let wait what they asked for."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import HubProcess, eventually
from tests.support import hungry_crowd
from tests.support.attack import Target, under_attack

SECONDS = 6.0


@contextlib.contextmanager
def crowd(target: Target, count: int, kind: str) -> Iterator[dict[str, Any]]:
    """Have a crowd that has joined, in a process of its own; the dictionary has its counts after the block."""
    products = json.dumps(list(target.get("/tickers")))
    process = subprocess.Popen(
        [sys.executable, str(Path(hungry_crowd.__file__)), str(target.hub.port), str(count), kind, products],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    counts: dict[str, Any] = json.loads(process.stdout.readline())
    try:
        yield counts
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        counts.update(json.loads(process.stdout.readline() or "{}"))
        process.wait(10)


def watch(target: Target, seconds: float = SECONDS) -> dict[str, float]:
    """Let it run; return what ``/health`` took, and the hub's share of a core."""
    took, begun, cpu = [], time.monotonic(), target.cpu_seconds()
    while time.monotonic() - begun < seconds:
        asked = time.monotonic()
        requests.get(target.hub.url + "/health", timeout=5)
        took.append(time.monotonic() - asked)
        time.sleep(0.05)
    took.sort()
    share = (target.cpu_seconds() - cpu) / (time.monotonic() - begun)
    seen = {"health_p99_ms": round(took[int(len(took) * 0.99)] * 1000), "cores": round(share, 2)}
    print(seen, flush=True)
    return seen


@pytest.fixture
def target(hub_factory: Callable[..., HubProcess]) -> Iterator[Target]:
    with under_attack(hub_factory, MAX_CLIENTS="5000") as found:
        yield found


def test_what_a_pace_holds_back_is_kept_once_and_within_bounds(target: Target) -> None:
    """Each of 20 clients had a copy of all alerts, without bound: 1.6 GB in 14 s."""
    body = {"text": "x" * 15_000}
    with crowd(target, 20, "paced"), target.attack():
        begun, sent = time.monotonic(), 0
        while time.monotonic() - begun < SECONDS:
            sent += requests.post(target.hub.url + "/alert", json=body, timeout=5).status_code == 200
        assert sent
        print(f"{sent} alerts")


def test_who_lags_costs_next_to_nothing(target: Target) -> None:
    quiet = watch(target, 3.0)
    with crowd(target, 1_000, "lagging"):
        eventually(lambda: target.get("/clients")["behind"] > 900, 20, 0.5)
        with target.attack():
            seen = watch(target)
            assert target.get("/clients")["behind"] > 900
    assert seen["health_p99_ms"] <= 100
    assert seen["cores"] <= quiet["cores"] + 0.25


def test_choices_of_their_own_cost_what_they_get(target: Target) -> None:
    with crowd(target, 2_000, "choosers") as counts, target.attack():
        seen = watch(target)
    assert counts["ended"] == 0
    assert counts["events"] > 2_000 * 5 + SECONDS * 20_000
    assert seen["health_p99_ms"] <= 100


def test_choosing_anew_all_the_time_is_no_way_to_the_core(target: Target) -> None:
    """34 bytes in were 93 KB out, as often as ten clients liked."""
    with crowd(target, 10, "choices") as counts, target.attack():
        seen = watch(target)
    assert counts["asked"] > 10
    assert seen["cores"] < 0.9
    print(counts)
