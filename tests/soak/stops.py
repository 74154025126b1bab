"""Stops of the hub with many clients: who is told, who comes back, how long it takes."""

from __future__ import annotations

import contextlib
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from benchmarks.common import CORES, Process, module
from hub.simulator.launch import launch
from tests import nginx
from tests.conftest import eventually
from tests.drills.stage import Resources
from tests.gunicorn_process import Gunicorn
from tests.returners import Returners, Site, came_back, most_within_a_second, stop
from tests.soak.runs import Report

PYTHON, JAVASCRIPT = (50, 50, 25), 75  # clients: 200 altogether
ALL = sum(PYTHON) + JAVASCRIPT
BOUND_SECONDS, UNREADY_SECONDS, HEALTH_MS = 8.0, 0.5, 100.0
CROWD, CROWD_RATE, CROWD_SECONDS = 1_000, 150, 20


def drain() -> Report:
    """Stop the hub with official clients of every way, start the next one, and see who comes back; three times."""
    report = Report(f"SIGTERM with {ALL} official clients ({sum(PYTHON)} Python, {JAVASCRIPT} JavaScript)")
    with tempfile.TemporaryDirectory() as folder:
        for name, play in (("`app.py`", _app), ("gunicorn", _gunicorn), ("`app.py` behind nginx", _behind_nginx)):
            place = Path(folder) / str(len(report.rows))
            place.mkdir()
            play(report, name, place)
    return report


def _app(report: Report, name: str, folder: Path) -> None:
    with contextlib.closing(Site(folder)) as site:
        hub = site.start()
        _stop(report, name, hub.process, hub.url, hub.url, site.start)


def _behind_nginx(report: Report, name: str, folder: Path) -> None:
    with contextlib.closing(Site(folder)) as site, nginx.running(folder, site.port) as front:
        hub = site.start()
        _stop(report, name, hub.process, hub.url, front, site.start)


def _gunicorn(report: Report, name: str, folder: Path) -> None:
    with launch(["--products", "5", "--rate", "20"]) as simulator:
        server = Gunicorn(simulator, folder)
        try:
            server.start_and_wait()
            assert server.process is not None
            _stop(report, name, server.process, server.url, server.url, server.start_and_wait)
        finally:
            server.kill()


def _stop(
    report: Report, name: str, process: subprocess.Popen[Any], url: str, front: str, start_next: Callable[[], object]
) -> None:
    crowd = Returners(front, PYTHON, JAVASCRIPT)
    try:
        seen = stop(process, url)
        ended_at = time.time()
        told = sum(len(client.told) == 1 for client in crowd.all)
        lost = crowd.lost()
        back = came_back(crowd, ended_at, start_next)
    finally:
        crowd.close()
    report.row(f"{name}: exit status", "0", str(seen.status), seen.status == 0)
    report.row(f"{name}: from the signal to the exit", f"≤ {BOUND_SECONDS:g} s", f"{seen.took_seconds:.1f} s",
               seen.took_seconds <= BOUND_SECONDS)  # fmt: skip
    report.row(f"{name}: `/health/ready` says 503 after", f"≤ {UNREADY_SECONDS:g} s",
               f"{seen.unready_after_seconds:.2f} s", seen.unready_after_seconds <= UNREADY_SECONDS)  # fmt: skip
    good = sum(status == 200 for status in seen.was_answered)
    report.row(f"{name}: `/health` answered until the port was closed", "all", f"{good} of {len(seen.was_answered)}",
               good == len(seen.was_answered) > 0)  # fmt: skip
    report.row(f"{name}: clients that were told", str(ALL), str(told), told == ALL)
    report.row(f"{name}: they were sent away within, at most in a second", "",
               f"{lost[-1] - lost[0]:.1f} s, {most_within_a_second(lost)}", True)  # fmt: skip
    report.row(f"{name}: clients that came back by themselves", str(ALL), str(len(back)), len(back) == ALL)
    report.row(f"{name}: first, median, last of them after the exit", "≥ 2 s apart",
               f"{back[0]:.1f}, {statistics.median(back):.1f}, {back[-1]:.1f} s", back[-1] - back[0] >= 2)  # fmt: skip
    report.row(f"{name}: of them in the busiest second", "", str(most_within_a_second(back)), True)


def gunicorn() -> Report:
    """Let a crowd of WebSocket clients, each of which reads every tick, sit on gunicorn as it is shipped; stop it."""
    report = Report(f"{CROWD} WebSocket clients on gunicorn, at {CROWD_RATE} ticks/s")
    with tempfile.TemporaryDirectory() as folder, launch(["--rate", str(CROWD_RATE)]) as simulator:
        server = Gunicorn(simulator, Path(folder))
        try:
            server.start_and_wait()
            _crowd(report, server)
        finally:
            server.kill()
    return report


def _crowd(report: Report, server: Gunicorn) -> None:
    assert server.process is not None
    ready = lambda: requests.get(f"{server.url}/health/ready", timeout=5).status_code == 200  # noqa: E731
    eventually(ready, 30)
    (worker,) = server.workers()
    before_mb = Resources.least(worker).rss_mb
    begun = time.monotonic()
    with Process(module("benchmarks.clients", server.port, CROWD, "sample"), CORES[-1]) as crowd:
        crowd.answer(120)
        joined_seconds = time.monotonic() - begun
        crowd.ask(f"expect {CROWD_RATE * 5}")
        waits, done = [], threading.Event()

        def ask() -> None:
            with requests.Session() as session:
                while not done.is_set():
                    asked_at = time.monotonic()
                    assert session.get(f"{server.url}/health", timeout=10).status_code == 200
                    waits.append((time.monotonic() - asked_at) * 1000)
                    done.wait(0.02)

        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        seen = crowd.ask(f"expect {CROWD_RATE * CROWD_SECONDS}", 4 * CROWD_SECONDS)
        done.set()
        asker.join(10)
        clients = requests.get(f"{server.url}/health", timeout=5).json()["clients"]
        more_mb = Resources.least(worker).rss_mb - before_mb
        crowd.tell("ends")
        signalled_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        ended = crowd.answer(20)
        status = server.process.wait(20)
        took = time.monotonic() - signalled_at
    fewest, p99 = min(map(int, seen["ticks"])), statistics.quantiles(waits, n=100)[98]
    wanted = CROWD_RATE * CROWD_SECONDS
    report.row("clients that were served", str(CROWD), str(clients), clients == CROWD)
    report.row("until the last of them had joined", "", f"{joined_seconds:.1f} s", True)
    report.row("ticks that each got, at least", f"{wanted:,}", f"{fewest:,}", fewest >= wanted)
    report.row("of all of theirs: missed, repeated or out of order", "0", str(seen["out_of_order"]),
               seen["out_of_order"] == 0)  # fmt: skip
    report.row("exchange → client, median and 99th percentile, of all", "",
               f"{seen['ms']['p50']:.0f}, {seen['ms']['p99']:.0f} ms", True)  # fmt: skip
    report.row(f"`/health` meanwhile, 99th percentile of {len(waits)}", f"≤ {HEALTH_MS:g} ms", f"{p99:.0f} ms",
               p99 <= HEALTH_MS)  # fmt: skip
    report.row("memory above that without clients; a client", "",
               f"{more_mb:.0f} MB; {more_mb * 1024 / CROWD:.0f} KB", True)  # fmt: skip
    report.row("SIGTERM: exit status", "0", str(status), status == 0)
    report.row("SIGTERM: from the signal to the exit", f"≤ {BOUND_SECONDS:g} s", f"{took:.1f} s",
               took <= BOUND_SECONDS)  # fmt: skip
    report.row("SIGTERM: clients that were told, and closed with 1012", f"{CROWD}, {CROWD}",
               f"{ended['told']}, {ended['restarts']}", ended["told"] == ended["restarts"] == CROWD)  # fmt: skip
    report.row("SIGTERM: from the first to the last close", "", f"{ended['seconds']:.1f} s", True)


RUNS: tuple[Callable[[], Report], ...] = (drain, gunicorn)
