"""The name of the exchange: unknown, unanswered, with a dead address, with another one; each heals by itself."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.simulator.launch import launch
from tests.conftest import ROOT, HubProcess, eventually
from tests.names import NameServer

SECONDS = 1.0  # CONNECT_TIMEOUT_SECONDS


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def named_hub(names: NameServer, tmp_path: Path) -> Iterator[HubProcess]:
    """A hub on two connections, which finds the exchange by a name; it starts with a name that nobody knows."""
    with launch(["--products", "20"]) as simulator:
        port = simulator.ws_url.rsplit(":", 1)[1]
        environment = {
            "WS_URL": f"ws://exchange.test:{port}", "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(tmp_path), "CONNECT_TIMEOUT_SECONDS": f"{SECONDS:g}", "BACKOFF_CAP_SECONDS": "1",
        }  # fmt: skip
        program = (str(ROOT / "tests" / "names.py"), str(names.port))
        hub = HubProcess(simulator, environment, [], program)
        yield hub
        hub.stop()


def slots(hub: HubProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hub.get("/connections").json()["connections"]
    return found


def causes(hub: HubProcess) -> set[str]:
    return {slot["last_cause"] for slot in slots(hub)}


def test_every_trouble_with_a_name_ends_in_time_and_heals(named_hub: HubProcess, names: NameServer) -> None:
    hub, simulator = named_hub, named_hub.simulator
    assert simulator is not None
    port = int(simulator.ws_url.rsplit(":", 1)[1])
    all_up = lambda: (body := hub.health())["connected_connections"] == body["total_connections"] > 1  # noqa: E731
    lost = lambda: all(slot["status"] != "connected" for slot in slots(hub))  # noqa: E731

    eventually(lambda: causes(hub) == {"dns"}, 5)  # nobody knows the name
    assert "cause=dns detail=dns: exchange.test:" in hub.log()
    names.addresses = ["127.0.0.1"]
    eventually(all_up, 6)

    names.addresses = None  # no answer
    eventually(lambda: hub.get("/tickers/BTC-USD").ok)
    victim = hub.get("/tickers/BTC-USD").json()["connection_id"]
    (other,) = [slot for slot in slots(hub) if slot["connection_id"] != victim]
    simulator.control("fault", {"kind": "kill", "connections": {"product": "BTC-USD"}})
    eventually(lambda: "no name server answered in time" in hub.log(), 6)
    begun = time.monotonic()
    (now,) = [slot for slot in slots(hub) if slot["connection_id"] == other["connection_id"]]
    assert time.monotonic() - begun < 0.5, "everybody waits for the name"
    assert now["status"] == "connected"
    assert now["uptime_seconds"] > other["uptime_seconds"]
    assert now["total_messages"] > other["total_messages"]
    names.addresses = ["127.0.0.2", "127.0.0.1"]  # the first is dead: it refuses
    eventually(all_up, 8)

    with contextlib.ExitStack() as stack:  # it is dead: it does not answer; its queue is full
        listener = stack.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        simulator.control("fault", {"kind": "kill", "connections": "all"})
        eventually(lost, 5, 0.01)
        eventually(all_up, 8)
        assert listener.fileno() >= 0

    names.addresses = ["127.0.0.2"]  # it has moved to where nobody is, and comes back
    simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: causes(hub) == {"refused"}, 6)
    names.addresses = ["127.0.0.1"]
    eventually(all_up, 6)
    assert "bug" not in hub.log()
