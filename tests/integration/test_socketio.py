"""The contract's Socket.IO side, with the clients that are out there."""

from __future__ import annotations

import itertools
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
JS = Path(__file__).parent / "js"
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


def javascript_client() -> str:
    """Return the path of node, with which the official client can be run in the folder ``JS``."""
    node = need("node", "the JavaScript client's test")
    if not (JS / "node_modules" / "socket.io-client").is_dir():
        need("socket.io-client (run `make test`, which installs it)", "the JavaScript client's test")
    return node


def test_the_official_javascript_client(hub: HubProcess) -> None:
    node = javascript_client()
    for transports in ("websocket,polling", "polling,websocket", "websocket", "polling"):
        command = [node, "client.js", hub.url, transports]
        result = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=40, check=False)
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
    answer = sender.client.call("spike_alert", {"symbol": "X", "old_price": "1e999999"})
    assert answer == {"success": False, "error": "old_price must be a finite number"}
    assert sender.client.call("spike_alert", {"spike_type": {}})["success"] is False
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
    hub = hub_factory(simulator=["--products", "3"], API_TOKENS="token-number-one,token-number-two")
    assert hub.get("/health").status_code == 401
    assert hub.get("/health", headers={"Authorization": "Bearer three"}).status_code == 401
    assert hub.get("/health", headers={"Authorization": "Bearer token-number-two"}).status_code in (200, 503)
    assert hub.get("/dashboard", auth=("anybody", "token-number-one")).status_code == 200
    with_token = listen(hub.url, auth={"token": "token-number-one"})
    eventually(lambda: len(with_token.events["ticker_update"]) > 10)
    for auth in (None, {}, {"token": "three"}, {"token": 1}):
        assert refusal(hub.url, auth) == {"message": "A token is needed"}
    assert "token-number" not in hub.log()


def refusal(url: str, auth: Any) -> Any:
    """Return what a client is told that is not let in."""
    told: list[Any] = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", told.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(url, auth=auth, transports=["websocket"])
    client.shutdown()
    return told[0]


@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_client_may_say_on_connecting_what_it_wants(
    hub: HubProcess, listen: Callable[..., Listener], transports: list[str] | None
) -> None:
    wanted = {"products": ["BTC-USD", "eth-usd", "NO-SUCH"], "max_hz": 5, "batch": True}
    listener = listen(hub.url, transports, auth={"subscribe": wanted})
    batches = eventually(lambda: len(found := listener.events["ticker_batch"]) >= 4 and list(found))
    assert {tick["crypto"] for tick in batches[0]} == {"BTC-USD", "ETH-USD"}  # the snapshot is of them alone
    assert {tick["crypto"] for batch in batches for tick in batch} == {"BTC-USD", "ETH-USD"}
    assert listener.events["ticker_update"] == []
    answer = listener.client.call("subscribe", {})
    assert answer == {
        "success": True, "products": [], "products_count": 2, "max_hz": 5.0, "batch": True, "unknown": [],
        "unknown_count": 0,
    }  # fmt: skip
    sent_at = [batch[-1]["sent_at"] for batch in batches[1:]]  # of the newest tick, sent right before its batch
    assert min(later - earlier for earlier, later in itertools.pairwise(sent_at)) >= 150


def test_a_wish_that_can_not_be_met_refuses_the_connection_in_words(hub: HubProcess) -> None:
    health = hub.health()
    before = health["counters"].get("bad_subscribe", 0)
    for wish, why in (
        ({"max_hz": 0}, "max_hz must be a number from 0.1 to 1000, or null"),
        ({"products": ["BTCUSD"]}, "products: 'BTCUSD' is no name such as BTC-USD or *-EUR"),
        ({"product": ["BTC-USD"]}, "unknown field 'product'; known are batch, max_hz, products"),
        (["BTC-USD"], "one JSON object is needed"),
    ):
        assert refusal(hub.url, {"subscribe": wish}) == {"message": f"subscribe: {why}"}
    assert hub.health()["counters"]["bad_subscribe"] == before + 4
    assert hub.health()["clients"] <= health["clients"]


def test_no_wish_is_everything(hub: HubProcess, listen: Callable[..., Listener]) -> None:
    for auth in ({"subscribe": None}, {"subscribe": {}}, {"other": 1}, "text"):
        listener = listen(hub.url, auth=auth)
        eventually(lambda listener=listener: len({tick["crypto"] for tick in listener.events["ticker_update"]}) == 326)


def test_the_javascript_client_says_on_connecting_what_it_wants(hub: HubProcess) -> None:
    def report(subscribe: Any) -> dict[str, Any]:
        command = [node, "subscribe.js", hub.url, json.dumps({"subscribe": subscribe})]
        result = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=40, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    node = javascript_client()
    told = report({"products": ["BTC-USD"], "batch": True})
    assert (told["connects"], told["refused"]) == (1, None)
    assert told["events"][0] == "ticker_batch"
    assert set(told["events"]) <= {"ticker_batch", "trust_update"}
    assert set(told["products"]) == {"BTC-USD"}
    told = report({"max_hz": "often"})
    assert (told["connects"], told["events"]) == (0, [])
    assert told["refused"] == "subscribe: max_hz must be a number from 0.1 to 1000, or null"


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
    eventually(lambda: "code=4001 reason=not_reading" in hub.log(), 40)
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


def test_threads_do_not_grow_with_clients(hub: HubProcess) -> None:
    threads = lambda: len(list(Path(f"/proc/{hub.process.pid}/task").iterdir()))  # noqa: E731
    before, clients_before = threads(), hub.health()["clients"]
    clients = [Listener(hub.url, ["websocket"]) for _ in range(5)]
    eventually(lambda: hub.health()["clients"] >= clients_before + 5)
    assert threads() == before
    for client in clients:
        client.close()
    eventually(lambda: hub.health()["clients"] <= clients_before)
