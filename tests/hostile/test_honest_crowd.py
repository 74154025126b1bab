"""What holds attackers off must not hold honest clients off: a thousand of one address, all at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import HubProcess
from tests.support import honest_crowd
from tests.support.attack import under_attack

TOKEN = "a-token-for-the-tests"
CROWD, SERVED_SECONDS = 1_000, 3.0


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_thousand_clients_of_one_address_are_served_within_three_seconds(
    hub_factory: Callable[..., HubProcess], transport: str
) -> None:
    with under_attack(hub_factory, API_TOKENS=TOKEN) as target:
        command = [sys.executable, str(Path(honest_crowd.__file__)), str(target.hub.port), str(CROWD)]
        ended = subprocess.run(
            [*command, transport, TOKEN, "127.0.0.1"], capture_output=True, text=True, timeout=60, check=True
        )
        seen = json.loads(ended.stdout)
        print(seen)
        assert seen["served"] == CROWD, seen
        assert seen["seconds"] <= SERVED_SECONDS, seen
        assert target.ask("report")["alive"]
