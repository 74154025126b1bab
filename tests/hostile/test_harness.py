"""The harness itself: a quiet hub keeps its bounds, and one that stands still does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from tests.conftest import HubProcess
from tests.support.attack import under_attack


def stand_still(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    timer.join()


def test_the_harness_tells_a_quiet_hub_from_one_that_stands_still(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory, API_TOKENS="a-token-for-the-tests") as target:
        with target.attack():
            assert target.get("/health")["status"] == "healthy"
        with pytest.raises(AssertionError, match="live_ms"), target.attack():
            stand_still(target.hub.process.pid, 0.6)
