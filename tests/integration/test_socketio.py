"""The contract's Socket.IO side, with the clients that are out there."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import socketio

from tests.conftest import HubProcess, eventually, need

NUMBERS = (
    "price", "bid", "ask", "volume_24h", "price_24h", "low_24h", "high_24h", "price_change_24h",
    "price_change_percent_24h", "last_size", "sequence",
)  # fmt: skip
TRANSPORTS = {"default": None, "websocket": ["websocket"], "polling": ["polling"]}


class Listener:
    """A python-socketio client that keeps what it gets, by event."""

    def __init__(self, url: str, transports: list[str] | None = None, **options: Any) -> None:
        self.events: defaultdict[str, list[Any]] = defaultdict(list)
        self.connects = 0
        self.client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        # this client hands every message to a thread of its own, which shuffles them; we want the order of the wire
        trigger = self.client.eio._trigger_event
        self.client.eio._trigger_event = lambda *args, **options: trigger(*args, **{**options, "run_async": False})
        self.client.on("*", self._take)
        self.client.on("connect", self._connected)
        self.client.connect(url, transports=transports, **options)

    def _take(self, event: str, data: Any = None) -> None:
        self.events[event].append(data)

    def _connected(self) -> None:
        self.connects += 1

    def close(self) -> None:
        self.client.disconnect()
        self.client.shutdown()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    with_close: list[Listener] = []

    def start(url: str, transports: list[str] | None = None, **options: Any) -> Listener:
        listener = Listener(url, transports, **options)
        with_close.append(listener)
        return listener

    yield start
    for listener in with_close:
        listener.close()


def check_ticker(payload: dict[str, Any]) -> None:
    """Hold one payload against the contract."""
    assert isinstance(payload["crypto"], str)
    for name in NUMBERS:
        value = payload[name]
        assert type(value) in (int, float), (name, value)
        assert math.isfinite(value), (name, value)
    assert type(payload["price"]) is float
    assert payload["price"] > 0
    assert payload["time"][11:19] == payload["timestamp"]
    assert payload["price_change_24h"] == pytest.approx(payload["price"] - payload["price_24h"], abs=1e-9)
    assert payload["simulated"] is True


@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_transport_gets_the_snapshot_then_every_tick(
    hub: HubProcess, listen: Callable[..., Listener], transports: list[str] | None
) -> None:
    listener = listen(hub.url, transports)
    ticks = listener.events["ticker_update"]
    eventually(lambda: len(ticks) > 326 + 2000, 20)
    seen = list(ticks)
    assert listener.connects == 1
    assert len({tick["crypto"] for tick in seen[:326]}) == 326
    for tick in seen:
        check_ticker(tick)
    last: dict[str, int] = {}
    for tick in seen:  # the simulator loses nothing: after the snapshot each id is the next one
        if tick["crypto"] in last:
            assert tick["trade_id"] == last[tick["crypto"]] + 1
        last[tick["crypto"]] = tick["trade_id"]


def test_polling_answers_hold_at_most_16_packets(hub: HubProcess) -> None:
    url = hub.url + "/socket.io/?EIO=4&transport=polling"
    sid = json.loads(requests.get(url, timeout=5).text[1:])["sid"]
    requests.post(f"{url}&sid={sid}", data="40", timeout=5)
    sizes = [len(requests.get(f"{url}&sid={sid}", timeout=5).text.split("\x1e")) for _ in range(40)]
    assert max(sizes) == 16


def test_the_official_javascript_client(hub: HubProcess) -> None:
    node = need("node", "the JavaScript client's test")
    folder = Path(__file__).parent / "js"
    if not (folder / "node_modules" / "socket.io-client").is_dir():
        need("socket.io-client (run `make test`, which installs it)", "the JavaScript client's test")
    for transports in ("websocket,polling", "polling,websocket", "websocket", "polling"):
        command = [node, "client.js", hub.url, transports]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=40, check=False)
        assert result.returncode == 0, result.stderr
        report = json.loads(result.stdout)
        assert report["products"] == 326
        assert report["ticks"] >= 1326
        assert report["notNumbers"] == []
        assert report["outOfOrder"] == 0


def test_spike_alert_goes_to_everybody_unchanged(hub: HubProcess, listen: Callable[..., Listener]) -> None:
    sender, other = listen(hub.url), listen(hub.url, ["websocket"])
    alert = {
        "symbol": "BTC-USD", "spike_type": "pump", "event_type": "spike_start", "pct_change": 5.25,
        "old_price": 1.0, "new_price": 1.0525, "nested": {"a": [1, None, "é"]},
    }  # fmt: skip
    sender.client.emit("spike_alert", alert)
    for listener in (sender, other):
        eventually(lambda listener=listener: listener.events["spike_alert"])
        assert listener.events["spike_alert"] == [alert]


def test_a_spike_alert_that_is_no_object_is_refused_with_a_reason(
    hub: HubProcess, listen: Callable[..., Listener]
) -> None:
    sender, other = listen(hub.url), listen(hub.url)
    answer = sender.client.call("spike_alert", "pump!")
    assert answer == {"success": False, "error": "a spike_alert is one JSON object"}
    sender.client.call("spike_alert", {"symbol": "X"})
    eventually(lambda: other.events["spike_alert"])
    assert other.events["spike_alert"] == [{"symbol": "X"}]


def test_post_alert_is_relayed_as_trade_update(hub: HubProcess, listen: Callable[..., Listener]) -> None:
    listener = listen(hub.url)
    alert = {"crypto": "BTC-USD", "current_vol": 12.5, "avg_vol": 5.0, "threshold": 1.5}
    assert requests.post(hub.url + "/alert", json=alert, timeout=5).status_code == 200
    eventually(lambda: listener.events["trade_update"])
    assert listener.events["trade_update"] == [alert]


def test_priority_pairs_at_once_then_once_a_second_the_latest(
    hub_factory: Callable[..., HubProcess], listen: Callable[..., Listener]
) -> None:
    hub = hub_factory(simulator=["--products", "5", "--rate", "400"])
    hub.wait_until_covered()
    listener = listen(hub.url)
    before = time.monotonic()
    requests.post(hub.url + "/priority-pairs", json={"product_id": "btc-usd", "action": "add"}, timeout=5)
    updates = listener.events["priority_ticker_update"]
    eventually(lambda: updates, 1)
    assert time.monotonic() - before < 1
    eventually(lambda: len(updates) >= 4, 5)
    assert time.monotonic() - before > 2.8
    ids = [update["trade_id"] for update in updates]
    assert ids == sorted(set(ids))
    assert ids[1] - ids[0] > 10  # what came in between was replaced, not queued
    check_ticker(updates[-1])
    stats = hub.get("/priority-pairs").json()
    assert stats["priorityPairs"] == ["BTC-USD"]
    assert stats["lastUpdates"]["BTC-USD"].endswith("Z")


def test_volume_alert(hub_factory: Callable[..., HubProcess], listen: Callable[..., Listener]) -> None:
    hub = hub_factory(
        simulator=["--products", "3", "--rate", "200"], WINDOW_MINUTES="0.05", VOLUME_THRESHOLD="1.0",
    )  # fmt: skip
    listener = listen(hub.url)
    alert = eventually(lambda: listener.events["volume_alert"], 25)[0]
    assert set(alert) == {"crypto", "current_vol", "avg_vol", "threshold", "ratio", "ticker", "simulated"}
    assert alert["threshold"] == 1.0
    assert alert["ratio"] == pytest.approx(alert["current_vol"] / alert["avg_vol"])
    assert alert["ratio"] >= 1.0
    check_ticker(alert["ticker"])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_foreign_origins_are_refused(hub: HubProcess, origin: str) -> None:
    url = hub.url + "/socket.io/?EIO=4&transport=polling"
    assert requests.get(url, headers={"Origin": origin}, timeout=5).status_code == 400
    assert requests.get(hub.url + "/prices", headers={"Origin": origin}, timeout=5).status_code == 403


def test_the_sites_own_origin_and_the_configured_one_pass(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], FRONTEND_URL="https://front.example")
    url = hub.url + "/socket.io/?EIO=4&transport=polling"
    forwarded = {"Host": "backend:5000", "X-Forwarded-Host": "prices.example", "X-Forwarded-Proto": "https"}
    for headers in (
        {"Origin": "https://front.example"},
        {"Origin": hub.url},
        {"Origin": "https://prices.example", **forwarded},
    ):
        assert requests.get(url, headers=headers, timeout=5).status_code == 200
        answer = requests.get(hub.url + "/prices", headers=headers, timeout=5)
        assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]
    assert requests.get(url, headers={"Origin": "https://other.example", **forwarded}, timeout=5).status_code == 400


def test_a_token_is_needed_where_tokens_are_set(
    hub_factory: Callable[..., HubProcess], listen: Callable[..., Listener]
) -> None:
    hub = hub_factory(simulator=["--products", "3"], API_TOKENS="one,two")
    assert hub.get("/health").status_code == 401
    assert hub.get("/health", headers={"Authorization": "Bearer three"}).status_code == 401
    assert hub.get("/health", headers={"Authorization": "Bearer two"}).status_code in (200, 503)
    assert hub.get("/dashboard", auth=("anybody", "one")).status_code == 200
    with_token = listen(hub.url, auth={"token": "one"})
    eventually(lambda: len(with_token.events["ticker_update"]) > 10)
    without = listen(hub.url)
    time.sleep(1)
    assert without.events["ticker_update"] == []
    assert "one" not in hub.log()


def test_a_client_that_never_reads_is_cut_and_nobody_else_notices(
    hub_factory: Callable[..., HubProcess], listen: Callable[..., Listener]
) -> None:
    import websocket

    hub = hub_factory(simulator=["--products", "50", "--rate", "4000"], CLIENT_BUFFER_BYTES="262144")
    hub.wait_until_covered()
    mute = websocket.create_connection(hub.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket")
    mute.recv()
    mute.send("40")
    reader = listen(hub.url, ["websocket"])
    eventually(lambda: "4001 not_reading" in hub.log(), 40)
    count = len(reader.events["ticker_update"])
    eventually(lambda: len(reader.events["ticker_update"]) > count + 2000)
    assert hub.health()["clients"] == 1
    mute.close()


def test_malformed_packets_end_their_sender_only(
    hub: HubProcess, listen: Callable[..., Listener]
) -> None:
    import websocket

    reader = listen(hub.url, ["websocket"])
    for text in ("4{", '42["spike_alert",NaN]', "42[]", "9", "4", "451-[", "40/nowhere,", "\x00", '42["spike_alert"'):
        ws = websocket.create_connection(hub.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket")
        ws.send("40")
        ws.send(text)
        ws.close()
    count = len(reader.events["ticker_update"])
    eventually(lambda: len(reader.events["ticker_update"]) > count + 1000)
    assert "Traceback" not in hub.log()


def test_sigterm_tells_clients_and_they_come_back(
    hub_factory: Callable[..., HubProcess], listen: Callable[..., Listener], tmp_path: Path
) -> None:
    hub = hub_factory(simulator=["--products", "30", "--rate", "300"])
    hub.wait_until_covered()
    listeners = [listen(hub.url), listen(hub.url, ["websocket"]), listen(hub.url, ["polling"])]
    eventually(lambda: all(len(listener.events["ticker_update"]) > 60 for listener in listeners))
    begun = time.monotonic()
    assert hub.terminate() == 0
    assert time.monotonic() - begun < 8
    for listener in listeners[:2]:  # a client that polls may be between two polls at that moment
        assert listener.events["hub_stopping"] == [{"reconnect": True}]
    next_state = tmp_path / "next"
    next_state.mkdir()
    assert hub.simulator is not None
    successor = HubProcess(
        None,
        {
            "WS_URL": hub.simulator.ws_url, "REST_URL": hub.simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(next_state),
        },
        ["--port", str(hub.port)],
    )  # fmt: skip
    try:
        eventually(lambda: [listener.connects for listener in listeners] == [2, 2, 2], 20)
    finally:
        for listener in listeners:
            listener.close()
        successor.stop()


def test_threads_do_not_grow_with_clients(hub: HubProcess) -> None:
    threads = lambda: len(list(Path(f"/proc/{hub.process.pid}/task").iterdir()))  # noqa: E731
    before, clients_before = threads(), hub.health()["clients"]
    clients = [Listener(hub.url, ["websocket"]) for _ in range(5)]
    eventually(lambda: hub.health()["clients"] >= clients_before + 5)
    assert threads() == before
    for client in clients:
        client.close()
    eventually(lambda: hub.health()["clients"] <= clients_before)
