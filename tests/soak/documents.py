"""The OpenAPI document held against a running hub by schemathesis: requests that fit it, and requests that don't."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import HubProcess
from tests.integration.test_socketio import Listener
from tests.soak.runs import Report

TOKEN = "0123456789abcdef"  # of a hub that lives for a test
CASES, EXAMPLES = 5_000, 350
# a 503 is an answer like any other, where it is documented: no price is young enough, no connection is up
CHECKS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
"""
# at the pace that the hub allows, so that what is behind its 429 is reached as well
PACED = """
[[operations]]
include-tag = "Actions"
rate-limit = "4/s"
[operations.phases.fuzzing.generation]
max-examples = 40
"""


@contextlib.contextmanager
def hub_to_try(folder: Path) -> Iterator[HubProcess]:
    """A hub with drills and an admin token, and a client that listens."""
    settings = {"STATE_DIR": str(folder), "ADMIN_TOKEN": TOKEN}
    hub = HubProcess(None, settings, ["--simulate", "--simulate-products", "30", "--simulate-rate", "100"])
    try:
        hub.wait_until_covered()
        listener = Listener(hub.url)
        yield hub
        listener.close()
    finally:
        hub.stop()


def hold(url: str, folder: Path, examples: int, *more: str, config: str = CHECKS) -> dict[str, Any]:
    """Try every route in so many ways; return schemathesis' report."""
    (folder / "schemathesis.toml").write_text(config)
    report = folder / "report.json"
    arguments = [
        "--config-file", str(folder / "schemathesis.toml"), "run", f"{url}/openapi.json", "--no-color",
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--continue-on-failure",
        "--generation-database", "none", "--report", "json", "--report-json-path", str(report), *more,
    ]  # fmt: skip
    program = str(Path(sys.executable).with_name("st"))
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=1800, check=False
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-4000:]
    return {**json.loads(report.read_text()), "output": done.stdout}


def bugs(hub: HubProcess) -> list[str]:
    """Return the lines of the log that no request should bring about."""
    return [line for line in hub.log().splitlines() if "bug in" in line or "Traceback" in line]


def every_route_as_documented() -> Report:
    """5,000 requests made up from the document, half of them against it, while drills are played."""
    report = Report(f"{CASES:,} requests made up from `/openapi.json`, with drills and actions among them")
    with tempfile.TemporaryDirectory(prefix="soak") as name, hub_to_try(Path(name)) as hub:
        authorized = ("-H", f"Authorization: Bearer {TOKEN}")
        found = hold(hub.url, Path(name), EXAMPLES, *authorized, config=CHECKS + PACED)
        cases, routes = found["test_cases"], found["operations"]
        wrong = cases["unique_failures"] + cases["errored"]
        report.row("requests", f"≥ {CASES:,}", f"{cases['generated']:,}", cases["generated"] >= CASES)
        report.row("routes tried", "all", f"{routes['tested']} of {routes['total']}",
                   routes["tested"] == routes["total"])  # fmt: skip
        report.row("answers that the document does not allow", "0", str(wrong), wrong == 0)
        report.row("bugs in the log", "0", str(len(bugs(hub))), not bugs(hub))
        alive = hub.get("/status", headers={"Accept": "application/json"}).status_code
        report.row("`/status` afterwards", "200", str(alive), alive == 200)
        if wrong:
            report.problems.append(found["output"][-8000:])
    return report


RUNS = (every_route_as_documented,)
