"""Who floods the dear routes, and a page whose name resolves to the hub: they get little, and others notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HubProcess
from tests.support import flood
from tests.support.attack import Target, under_attack

SECONDS, CONNECTIONS = 4, 8
DEAR = ["/health", "/tickers", "/prices", "/prices?limit=5000", "/metrics", "/plan", "/dashboard", "/connections",
        "/clients", "/gaps", "/history?range=24h", "/journal?limit=1000", "/signals?limit=200", "/status", "/board",
        "/services/status", "/websocket/status", "/performance/metrics", "/docs"]  # fmt: skip
NEVER_THE_SAME = ["/prices?limit=RANDOM", "/gaps?limit=RANDOM", "/history?since=RANDOM",
                  "/journal?limit=1000&after=RANDOM", "/signals?limit=200&x=RANDOM", "/metrics?x=RANDOM", "/price/BTC-USD/explain?x=RANDOM"]  # fmt: skip
SIZES = {
    326: (["--products", "326", "--rate", "1500"], {}),
    3_000: (["--products", "3000", "--rate", "1500"], {"PRODUCTS_PER_CONNECTION": "100"}),
}


def flooded(target: Target, paths: list[str], address: str = "127.0.0.1") -> dict[str, Any]:
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
            found = flooded(target, NEVER_THE_SAME, "127.0.0.3")
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
