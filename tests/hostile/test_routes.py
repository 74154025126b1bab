"""Who floods the dear routes, and a page whose name resolves to the hub: they get little, and others notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.web.admission import LINES_A_MINUTE
from tests.conftest import HubProcess
from tests.support import flood
from tests.support.attack import Target, under_attack

SECONDS, CONNECTIONS = 4, 8
DEAR = ["/health", "/tickers", "/prices", "/prices?limit=5000", "/metrics", "/plan", "/dashboard", "/connections",
        "/clients", "/gaps", "/history?range=24h", "/journal?limit=1000", "/signals?limit=200", "/status", "/board",
        "/services/status", "/websocket/status", "/performance/metrics", "/docs"]  # fmt: skip
NEVER_THE_SAME = ["/prices?limit=RANDOM", "/gaps?limit=RANDOM", "/history?since=RANDOM",
                  "/journal?limit=1000&after=RANDOM", "/signals?limit=RANDOM", "/metrics?x=RANDOM",
                  "/price/BTC-USD/explain?x=RANDOM"]  # fmt: skip
SIZES = {
    326: (["--products", "326", "--rate", "1500"], {}),
    3_000: (["--products", "3000", "--rate", "1500"], {"PRODUCTS_PER_CONNECTION": "100"}),
}


def flooded(target: Target, paths: list[str], address: str = "127.0.0.3") -> dict[str, Any]:
    """Flood the hub; return what came of it, with how much of a core the hub used."""
    command = [sys.executable, str(Path(flood.__file__)), str(target.hub.port), str(SECONDS), str(CONNECTIONS), address]
    before = target.cpu_seconds()
    done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["cores"] = round((target.cpu_seconds() - before) / SECONDS, 2)
    print(paths[:1], found, flush=True)
    return found


@pytest.mark.parametrize("products", SIZES)
def test_dear_routes_that_are_asked_for_without_an_end(hub_factory: Callable[..., HubProcess], products: int) -> None:
    simulator, settings = SIZES[products]
    with under_attack(hub_factory, simulator=simulator, **settings) as target:
        with target.attack():
            found = flooded(target, DEAR)
        assert set(found["statuses"]) <= {"200", "429"}
        with target.attack():
            found = flooded(target, NEVER_THE_SAME, "127.0.0.4")
        assert set(found["statuses"]) <= {"200", "429"}
        assert found["statuses"].get("429", 0) > 0, "what nobody can share is paid for by who asks"


@pytest.mark.parametrize("products", SIZES)
def test_health_is_refused_to_nobody_and_made_for_few(hub_factory: Callable[..., HubProcess], products: int) -> None:
    simulator, settings = SIZES[products]
    with under_attack(hub_factory, simulator=simulator, **settings) as target:
        with target.attack():
            found = flooded(target, ["/health"])
        assert set(found["statuses"]) == {"200"}
        # a tenth of the time, and four a second
        assert found["bodies"] <= SECONDS * 100, "it is made anew for each"
        assert found["bodies"] >= SECONDS * 2, "it is old"
        assert target.get("/health")["counters"].get("refused_rate_limit", 0) == 0


def test_a_page_whose_name_resolves_to_the_hub_reads_and_writes_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory) as target:
        host, told = f"evil.example:{target.hub.port}", 0
        before = target.get("/priority-pairs")["priorityPairs"]
        with requests.Session() as page, target.attack():
            page.headers.update({"Host": host, "Origin": f"http://{host}", "X-Forwarded-Host": "localhost"})
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                for path in (*DEAR, "/config", "/socket.io/?EIO=4&transport=polling", "/static/dashboard.js"):
                    assert page.get(target.hub.url + path, timeout=5).status_code == 421
                    told += 1
                for method, path in (("POST", "/alert"), ("PUT", "/priority-pairs"), ("POST", "/priority-pairs")):
                    body = {"product_ids": ["BTC-USD"], "product_id": "BTC-USD", "action": "add"}
                    assert page.request(method, target.hub.url + path, json=body, timeout=5).status_code == 421
                    told += 1
                page.headers["Host"] = f"x{told}.{host}"  # the log names few of them
        assert target.get("/priority-pairs")["priorityPairs"] == before
        assert target.get("/signals")["count"] == 0
        assert target.get("/health")["counters"]["refused_hosts"] == told
        assert 1 <= target.hub.log().count("refused a request host=") <= 2 * LINES_A_MINUTE
