"""What must not reach the feed: a webhook that hangs, and a log that nobody reads."""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
from collections.abc import Iterator

import requests

from tests.conftest import HubProcess, full_pipe
from tests.receiver import Receiver, hang
from tests.soak.crowds import bystanders
from tests.soak.runs import Report, hub_of

RATE = 500
ROUNDS, ROUND_SECONDS = 5, 20.0
MORE_MS = 5.0
NOISE_SECONDS = 0.1
EAGER = {"WINDOW_MINUTES": "0.05", "VOLUME_THRESHOLD": "1.0", "VOLUME_COOLDOWN_SECONDS": "1"}  # alerts all the time


@contextlib.contextmanager
def noise(*hubs: HubProcess) -> Iterator[None]:
    """Send each hub what leaves a traceback in its log at DEBUG, some times a second."""
    stop = threading.Event()

    def make() -> None:
        while not stop.wait(NOISE_SECONDS):
            for hub in hubs:
                poll = hub.url + "/socket.io/?EIO=4&transport=polling"
                sid = json.loads(requests.get(poll, timeout=10).text[1:])["sid"]
                for data in ("40", "4{"):
                    requests.post(f"{poll}&sid={sid}", data=data, timeout=10)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(10)


def a_hanging_webhook_and_a_blocked_log() -> Report:
    """Two hubs side by side, with the same alerts: one has a webhook that never answers and a log that nobody reads."""
    report = Report(
        f"A webhook that never answers and a log pipe that is blocked, at LOG_LEVEL=DEBUG and {RATE} ticks/s; "
        f"beside a hub without either"
    )
    rate = ("--rate", str(RATE))
    hooked = {"ALERTS": "volume,connections", "WEBHOOK_ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "DEBUG"}
    with (
        Receiver(hang) as webhook, full_pipe() as pipe,
        hub_of(*rate, **EAGER) as plain,
        hub_of(*rate, stderr=pipe, WEBHOOK_URL=webhook.url, **hooked, **EAGER) as hindered,
        noise(plain, hindered),
        bystanders(plain, RATE) as plain_saw, bystanders(hindered, RATE) as hindered_saw,
    ):  # fmt: skip
        rounds = [(plain_saw(ROUND_SECONDS), hindered_saw(ROUND_SECONDS)) for _ in range(ROUNDS)]
        counts = hindered.get("/alerts").json()["channels"][0]["counts"]
        dropped = hindered.health()["counters"]["log_lines_dropped"]
    free, held = (
        {key: statistics.median(one[which]["ms"][key] for one in rounds) for key in ("p50", "p99")} for which in (0, 1)
    )
    out_of_order = sum(one["out_of_order"] for pair in rounds for one in pair)
    more = held["p99"] - free["p99"]
    report.row("p50, exchange to client, without and with", "", f"{free['p50']:.1f} and {held['p50']:.1f} ms", True)
    report.row("p99, exchange to client, without and with", "", f"{free['p99']:.1f} and {held['p99']:.1f} ms", True)
    report.row("p99 more with both", f"≤ {MORE_MS:g} ms", f"{more:.1f} ms", more <= MORE_MS)
    report.row("ticks missed or out of order at the clients", "0", str(out_of_order), out_of_order == 0)
    report.row("posts that hung, none was taken", "≥ 1", str(len(webhook.posts)), len(webhook.posts) > 0)
    report.row("notices sent", "0", str(counts["sent"]), counts["sent"] == 0)
    report.row("lines of the log that found no room", "", f"{dropped:,}", True)
    return report


RUNS = (a_hanging_webhook_and_a_blocked_log,)
