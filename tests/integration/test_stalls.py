"""The watch over the event loop, in a real process whose loop is held."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT, HubProcess, eventually, running_hub

LINE = "CRITICAL hub.loop_watch the event loop stands still seconds="


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Start a hub whose loop can be held, in a way, for so many seconds, by SIGUSR1."""
    with ExitStack() as stack:

        def start(how: str, seconds: float, exit_seconds: float) -> HubProcess:
            settings = {
                "HOLD_SECONDS": f"{seconds}", "LOOP_STALL_EXIT_SECONDS": f"{exit_seconds}", "PYTHONPATH": str(ROOT)
            }  # fmt: skip
            program = ("-m", "tests.drills.hub_program", how)
            hub = stack.enter_context(running_hub(tmp_path, ["--products", "5"], [], program, **settings))
            hub.wait_until_covered()
            return hub

        yield start


@pytest.mark.parametrize(("how", "culprit"), [("busy", "a_busy_handler"), ("blocked", "a_blocking_call")])
def test_who_holds_the_loop_is_named_while_it_does(
    held: Callable[..., HubProcess], how: str, culprit: str
) -> None:
    hub = held(how, 4.0, 0)
    begun = time.monotonic()
    hub.process.send_signal(signal.SIGUSR1)
    eventually(lambda: LINE in hub.log() and "hub_program.py" in hub.log().split(LINE)[1], 3.5)
    assert 1.7 < time.monotonic() - begun < 3.5
    assert re.match(rf"\d\.\d in={culprit} \(\S+hub_program.py:\d+\) < ", hub.log().split(LINE)[1])
    assert hub.get("/health/live").json() == {"status": "live"}, "0: it never ends for it"
    assert time.monotonic() - begun > 3.9, "nobody was answered meanwhile"
    assert hub.health()["counters"]["loop_stalls"] == 1
    assert hub.log().count(LINE) == 1


def test_a_loop_that_does_not_come_back_ends_the_process(held: Callable[..., HubProcess]) -> None:
    hub = held("blocked", 60.0, 3.0)
    begun = time.monotonic()
    hub.process.send_signal(signal.SIGUSR1)
    assert hub.process.wait(8) == 70
    assert 2.7 < time.monotonic() - begun < 6
    assert "does not come back, the process ends seconds=3." in hub.log()


def test_a_process_that_was_stopped_for_longer_does_not_end_for_it(held: Callable[..., HubProcess]) -> None:
    hub = held("busy", 1.0, 3.0)
    hub.process.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    hub.process.send_signal(signal.SIGCONT)
    hub.wait_until_covered()
    assert LINE not in hub.log()
    assert hub.health()["counters"]["loop_stalls"] == 0
