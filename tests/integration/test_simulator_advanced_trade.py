"""The simulator's Advanced Trade path, seen through plain clients; every frame also goes through the hub's codec."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from hub.feed.dialects.advanced_trade import AdvancedTradeDialect
from hub.feed.dialects.aliases import parse_market_products, parse_market_trades
from hub.feed.sequence import Sequence, Step
from hub.model import Envelope, Market, Subscriptions, Ticker
from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import eventually

Frame = dict[str, Any]
DIALECT = AdvancedTradeDialect()
PRODUCTS = "/api/v3/brokerage/market/products"


class Client:
    """A plain WebSocket client that remembers all frames, their events, and what their numbers say."""

    def __init__(self, sim: SimulatorProcess) -> None:
        self.ws = websocket.create_connection(sim.advanced_trade_ws_url, timeout=5)
        self.frames: list[Frame] = []
        self.events: list[Any] = []
        self.sequence = Sequence()
        self.steps: list[Step] = []

    def say(self, **message: Any) -> None:
        self.ws.send(json.dumps(message))

    def recv(self) -> Frame:
        text = self.ws.recv()
        frame = json.loads(text)
        self.frames.append(frame)
        for event in DIALECT.decode(text.encode()):
            if isinstance(event, Envelope):
                self.steps.append(self.sequence.observe(event.sequence_num))
            else:
                self.events.append(event)
        return frame

    def until(self, wanted: Callable[[Frame], bool], timeout: float = 5.0) -> Frame:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if wanted(frame := self.recv()):
                return frame
        raise AssertionError(f"did not come within {timeout} s; the last: {self.frames[-3:]}")

    def subscribe(self, *product_ids: str) -> None:
        """Subscribe as the hub does, and wait for the last ack."""
        acks = sum(isinstance(event, Subscriptions) for event in self.events)
        for frame in DIALECT.subscribe(product_ids):
            self.ws.send(frame)
        while sum(isinstance(event, Subscriptions) for event in self.events) < acks + 3:
            self.recv()

    def read_for(self, seconds: float) -> list[Frame]:
        """Return what comes within some time."""
        start, deadline = len(self.frames), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.ws.settimeout(left)
            try:
                self.recv()
            except websocket.WebSocketTimeoutException:
                break
        self.ws.settimeout(5)
        return self.frames[start:]

    def ids(self, product_id: str) -> list[int]:
        """Return the trade ids of a product, as they came."""
        return [one.trade_id for one in self.events if isinstance(one, Ticker) and one.product_id == product_id]


def ended(ws: websocket.WebSocket, timeout: float = 3.0) -> BaseException:
    """Read on and return the error that ends a connection."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            ws.recv()
        except (OSError, websocket.WebSocketException) as error:
            return error
    raise AssertionError("the connection is still open")


@pytest.fixture(scope="module")
def shared() -> Iterator[SimulatorProcess]:
    with launch(["--products", "12", "--rate", "300"]) as process:
        yield process
        assert process.stderr_text() == ""
        assert process.alive()


@pytest.fixture
def sim(shared: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield shared
    shared.control("clear", {})
    shared.control("resume", {})
    time.sleep(1.01)  # the limits of connects and messages are for all connections of an address


@pytest.fixture
def connect(sim: SimulatorProcess) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make() -> Client:
        clients.append(Client(sim))
        return clients[-1]

    yield make
    for client in clients:
        client.ws.shutdown()


def fault(sim: SimulatorProcess, kind: str, **fields: Any) -> int:
    hit: int = sim.control("fault", {"kind": kind, "endpoint": "advanced_trade", **fields})["hit"]
    return hit


def channels(frame: Frame) -> Frame:
    assert frame["channel"] == "subscriptions"
    (event,) = frame["events"]
    found: Frame = event["subscriptions"]
    return found


def told(sim: SimulatorProcess, what: str) -> Frame:
    return sim.control(f"{what}?endpoint=advanced_trade")


def covered(ranges: list[list[int]]) -> set[int]:
    return {one for first, last in ranges for one in range(first, last + 1)}


# -- the protocol --------------------------------------------------------------------------------------


def test_snapshot_first_then_the_ack_then_updates(connect: Callable[..., Client]) -> None:
    client = connect()
    client.say(type="subscribe", channel="ticker", product_ids=["BTC-USD", "ETH-USD"])
    snapshot, ack = client.recv(), client.recv()
    (event,) = snapshot["events"]
    assert event["type"] == "snapshot"
    assert [row["product_id"] for row in event["tickers"]] == ["BTC-USD", "ETH-USD"]
    assert channels(ack) == {"ticker": ["BTC-USD", "ETH-USD"]}
    update = client.recv()
    assert (update["channel"], update["events"][0]["type"]) == ("ticker", "update")
    assert not {"trade_id", "time", "last_size"} & set(update["events"][0]["tickers"][0])
    assert [frame["sequence_num"] for frame in client.frames] == [0, 1, 2]


def test_one_number_over_all_channels_of_a_connection(connect: Callable[..., Client]) -> None:
    client, other = connect(), connect()
    client.subscribe("BTC-USD", "ETH-USD")
    other.subscribe("BTC-USD")
    for one in (client, other):
        one.read_for(1.3)
        assert set(one.steps) == {Step.NEXT}
        assert {frame["channel"] for frame in one.frames} == {"ticker", "market_trades", "heartbeats", "subscriptions"}
    assert all(event.simulated for event in client.events if isinstance(event, Ticker | Market))


def test_trades_are_gathered_and_complete(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    client.read_for(2.0)
    frames = [frame for frame in client.frames if frame["channel"] == "market_trades"][1:]
    rows = [[row for event in frame["events"] for row in event["trades"]] for frame in frames]
    assert max(map(len, rows)) > 5
    assert len(frames) <= 2 * 10  # two products, four times a second, some more for a slow machine
    for row in rows:
        ids = [int(trade["trade_id"]) for trade in row]
        assert ids == sorted(ids, reverse=True)
    for product_id in ("BTC-USD", "ETH-USD"):
        ids = sorted(client.ids(product_id))  # none twice: the batches begin where the snapshot ended
        assert ids == list(range(ids[0], ids[-1] + 1))
    row = told(sim, "sent")["products"]["BTC-USD"]
    assert set(client.ids("BTC-USD")) <= covered(row["sent"]) <= covered(row["ranges"])
    assert row["dropped"] == []


def test_the_same_trades_as_on_the_exchanges_path(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    client.read_for(0.6)
    rows = requests.get(f"{sim.rest_url}/products/BTC-USD/trades", timeout=5).json()
    theirs = {row["trade_id"]: (row["price"], row["size"], row["time"]) for row in rows}
    ours = [event for event in client.events if isinstance(event, Ticker)]
    assert len(ours) > 10
    assert {one.trade_id: (one.price, one.last_size, one.time) for one in ours}.items() <= theirs.items()


def test_unknown_products_are_missing_from_the_ack_and_no_error(connect: Callable[..., Client]) -> None:
    client = connect()
    client.say(type="subscribe", channel="market_trades", product_ids=["NOPE-USD", "BTC-USD"])
    assert channels(client.until(lambda frame: frame["channel"] == "subscriptions")) == {"market_trades": ["BTC-USD"]}
    client.say(type="subscribe", channel="ticker", product_ids=["NOPE-USD"])
    ack = client.until(lambda frame: frame["channel"] == "subscriptions")
    assert "ticker" not in channels(ack)
    assert "type" not in ack


def test_heartbeats_alone_know_of_nothing_else(connect: Callable[..., Client]) -> None:
    client = connect()
    client.say(type="subscribe", channel="heartbeats")
    assert channels(client.recv()) == {"heartbeats": ["heartbeats"]}
    counters = [frame["events"][0]["heartbeat_counter"] for frame in client.read_for(3.4)]
    assert 2 <= len(counters) <= 4
    assert counters == sorted(set(counters))
    assert counters[-1] - counters[0] <= 4


def test_an_alias_is_told_of_under_its_books_name(connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("XLM-USDC")
    assert channels(client.frames[-1])["ticker"] == ["XLM-USD"]
    client.read_for(1.0)
    names = {event.product_id for event in client.events if isinstance(event, Ticker | Market)}
    assert names == {"XLM-USD"}
    client.say(type="unsubscribe", channel="ticker", product_ids=["XLM-USDC"])
    assert "ticker" not in channels(client.until(lambda frame: frame["channel"] == "subscriptions"))


def test_unsubscribing_leaves_the_rest(connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    for frame in DIALECT.unsubscribe(["BTC-USD"]):
        client.ws.send(frame)
    client.until(lambda frame: frame["channel"] == "subscriptions")
    last = client.until(lambda frame: frame["channel"] == "subscriptions")
    assert channels(last) == {"ticker": ["ETH-USD"], "market_trades": ["ETH-USD"], "heartbeats": ["heartbeats"]}
    seen = len(client.events)
    client.read_for(0.6)
    names = {event.product_id for event in client.events[seen:] if isinstance(event, Ticker | Market)}
    assert names == {"ETH-USD"}


@pytest.mark.parametrize("message", [{"type": "subscribe", "channel": "tickers"}, {"type": "subscribe"}])
def test_an_error_names_nothing(connect: Callable[..., Client], message: Frame) -> None:
    client = connect()
    client.say(**message)
    error = client.recv()
    assert (error["type"], error["message"]) == ("error", "authentication failure")
    assert not {"channel", "sequence_num"} & set(error)
    client.say(type="subscribe", channel="heartbeats")
    assert client.recv()["sequence_num"] == 0


def test_messages_are_limited_over_all_connections(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    clients = [connect(), connect()]
    before = told(sim, "connections")["violations"]["message_rate"]
    started = time.monotonic()
    for number in range(12):
        clients[number % 2].say(type="subscribe", channel="heartbeats")
    for client in clients:
        client.read_for(0.3)
    answers = [frame for client in clients for frame in client.frames if frame.get("channel") != "heartbeats"]
    errors = [frame for frame in answers if frame.get("type") == "error"]
    assert {frame["message"] for frame in errors} == {"rate limit exceeded"}
    assert len(answers) == 12
    if time.monotonic() - started < 1:
        assert len(errors) == 4
    assert told(sim, "connections")["violations"]["message_rate"] == before + len(errors)


def test_connects_are_limited_without_a_burst_and_not_by_the_other_path() -> None:
    with launch(["--products", "2", "--rate", "10"]) as sim:
        clients, refused = [], 0
        started = time.monotonic()
        for _ in range(12):
            try:
                clients.append(Client(sim))
            except websocket.WebSocketBadStatusException as error:
                refused += error.status_code == 429
        assert len(clients) + refused == 12
        assert 8 <= len(clients) <= 8 * (1 + int(time.monotonic() - started))
        assert told(sim, "connections")["violations"]["connect_rate"] == refused > 0
        websocket.create_connection(sim.ws_url, timeout=5).shutdown()
        assert sim.control("connections")["violations"]["connect_rate"] == 0
        eventually(lambda: told(sim, "connections")["open"] == [], timeout=8)  # none of them subscribed
        assert told(sim, "connections")["violations"]["late_subscribe"] == len(clients)
        for client in clients:
            client.ws.shutdown()


def test_idle_channels_end_without_a_word_unless_there_are_heartbeats() -> None:
    with launch(["--products", "2", "--rate", "100", "--idle-seconds", "0.8", "1.0"]) as sim:
        idle, kept = Client(sim), Client(sim)
        idle.say(type="subscribe", channel="ticker", product_ids=["BTC-USD"])
        idle.say(type="subscribe", channel="market_trades", product_ids=["ETH-USD"])
        kept.subscribe("BTC-USD")
        sim.control("fault", {"kind": "quiet", "products": ["ETH-USD"], "seconds": None})
        idle.read_for(2.0)
        rows = {row["index"]: row for row in told(sim, "connections")["open"]}
        assert (rows[0]["channels"], rows[0]["products"]) == (["ticker"], ["BTC-USD"])
        acks = [frame for frame in idle.frames if frame["channel"] == "subscriptions"]
        assert len(acks) == 2
        sim.control("pause", {})
        opcode, data = idle.ws.recv_data()
        while opcode == websocket.ABNF.OPCODE_TEXT:
            opcode, data = idle.ws.recv_data()
        assert (opcode, int.from_bytes(data[:2])) == (websocket.ABNF.OPCODE_CLOSE, 1000)
        kept.read_for(1.5)
        assert kept.frames[-1]["channel"] == "heartbeats"
        sim.control("resume", {})
        kept.until(lambda frame: frame["channel"] == "ticker")
        for client in (idle, kept):
            client.ws.shutdown()


def test_a_replay_can_be_followed_here_alone(tmp_path: Path) -> None:
    lines = [
        f'{{"type":"ticker","sequence":{number},"product_id":"SOL-USD","price":"133.630","open_24h":"131.3",'
        f'"volume_24h":"1.5","low_24h":"128.35","high_24h":"134.4","volume_30d":"4.5","best_bid":"133.6",'
        f'"best_bid_size":"1","best_ask":"133.7","best_ask_size":"1","side":"buy",'
        f'"time":"2025-11-24T17:14:48.{number:06d}Z","trade_id":{number},"last_size":"2.9"}}'
        for number in range(100, 600)
    ]
    path = tmp_path / "small.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with launch(["--replay", str(path), "--speed", "max"]) as sim:
        client = Client(sim)
        client.subscribe("SOL-USD")
        eventually(lambda: client.read_for(0.1) and sorted(set(client.ids("SOL-USD"))) == list(range(100, 600)))
        assert told(sim, "sent")["products"]["SOL-USD"]["sent"] == [[100, 599]]
        client.ws.shutdown()


# -- REST ----------------------------------------------------------------------------------------------


def test_rest_lists_products_and_their_aliases(sim: SimulatorProcess) -> None:
    body = requests.get(sim.advanced_trade_rest_url + PRODUCTS, timeout=5)
    assert body.headers["X-Simulated"] == "true"
    rows = {row.product.id: row for row in parse_market_products(body.json()).products}
    assert rows["XLM-USDC"].alias == "XLM-USD"
    assert rows["XLM-USD"].alias_to == ("XLM-USDC",)
    assert rows["ADA-USD"].alias_to == ()
    trades = requests.get(f"{sim.advanced_trade_rest_url}{PRODUCTS}/XLM-USDC/ticker?limit=3", timeout=5).json()
    assert 1 <= len(parse_market_trades("XLM-USDC", trades)) <= 3


def test_each_rest_interface_is_refused_for_itself(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    def statuses() -> tuple[int, int]:
        paths = (sim.rest_url + "/products", sim.advanced_trade_rest_url + PRODUCTS)
        first, second = (requests.get(path, timeout=5).status_code for path in paths)
        return first, second

    sim.control("fault", {"kind": "rest", "seconds": 30, "status": 503})
    assert statuses() == (503, 200)
    sim.control("fault", {"kind": "rest", "seconds": 30, "status": 502, "endpoint": "both"})
    assert statuses() == (502, 502)
    connect().subscribe("BTC-USD")
    sim.control("clear", {})
    assert fault(sim, "rest", seconds=30, status=500) == 1
    assert statuses() == (200, 500)


def test_a_halted_product_is_listed_so_here_too(sim: SimulatorProcess) -> None:
    sim.control("fault", {"kind": "status", "product": "BTC-USD", "status": "offline"})
    body = requests.get(sim.advanced_trade_rest_url + PRODUCTS, timeout=5).json()
    rows = {row.product.id: row.product for row in parse_market_products(body).products}
    assert rows["BTC-USD"].status == "offline"
    assert not rows["BTC-USDC"].online
    assert rows["ETH-USD"].online


# -- faults --------------------------------------------------------------------------------------------


def other_path(sim: SimulatorProcess) -> websocket.WebSocket:
    ws = websocket.create_connection(sim.ws_url, timeout=5)
    ws.send(json.dumps({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]}))
    ws.recv()
    return ws


def test_a_lost_frame_is_a_gap_in_the_numbers(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    client.read_for(0.5)
    assert fault(sim, "drop", product="BTC-USD", count=2) == 1
    eventually(lambda: client.read_for(0.1) and client.sequence.lost_total == 2)
    client.read_for(0.5)
    assert client.steps.count(Step.GAP) == 2
    dropped = told(sim, "sent")["products"]["BTC-USD"]["dropped"]
    ids = sorted(set(client.ids("BTC-USD")))
    assert sorted(set(range(ids[0], ids[-1] + 1)) - set(ids)) == dropped
    others = sorted(set(client.ids("ETH-USD")))
    assert others == list(range(others[0], others[-1] + 1))
    assert sim.control("sent")["products"]["BTC-USD"]["dropped"] == []  # the other path has lost nothing


def test_kill_and_refuse_hit_this_path_alone(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client, bystander = connect(), other_path(sim)
    client.subscribe("BTC-USD")
    assert fault(sim, "refuse", seconds=30, status=503) == 1
    assert fault(sim, "kill", connections={"product": "BTC-USD"}) == 1
    assert isinstance(ended(client.ws), ConnectionResetError)
    with pytest.raises(websocket.WebSocketBadStatusException):
        Client(sim)
    assert json.loads(bystander.recv())["product_id"] == "BTC-USD"
    other_path(sim).shutdown()
    sim.control("clear", {})
    connect().subscribe("BTC-USD")
    bystander.shutdown()


def test_faults_without_an_endpoint_leave_this_path_alone(
    sim: SimulatorProcess, connect: Callable[..., Client]
) -> None:
    client, victim = connect(), other_path(sim)
    client.subscribe("BTC-USD")
    sim.control("fault", {"kind": "refuse", "seconds": 30})
    assert sim.control("fault", {"kind": "kill", "connections": "all"}) == {"hit": 1}
    assert isinstance(ended(victim), ConnectionResetError)
    with pytest.raises(websocket.WebSocketBadStatusException):
        other_path(sim)
    client.read_for(0.5)
    connect().subscribe("ETH-USD")
    assert set(client.steps) == {Step.NEXT}


def test_both_can_be_gone_at_once(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client, other = connect(), other_path(sim)
    client.subscribe("BTC-USD")
    assert fault(sim, "refuse", endpoint="both", seconds=30) == 2
    assert fault(sim, "kill", endpoint="both", connections="all") == 2
    assert isinstance(ended(client.ws), ConnectionResetError)
    for open_one in (Client, other_path):
        with pytest.raises(websocket.WebSocketBadStatusException):
            open_one(sim)
    other.shutdown()


def test_restart_lets_nobody_in_for_a_while(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    assert fault(sim, "restart", seconds_down=0.5) == 1
    assert isinstance(ended(client.ws), ConnectionResetError)
    with pytest.raises(websocket.WebSocketBadStatusException):
        Client(sim)
    time.sleep(0.6)
    connect().subscribe("BTC-USD")


def test_mute_loses_what_was_due_and_leaves_a_gap(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    assert fault(sim, "mute", connections="all", seconds=1.0) == 1
    client.read_for(0.2)
    assert client.read_for(0.4) == []
    client.until(lambda frame: frame["channel"] == "ticker")
    assert client.steps.count(Step.GAP) == 1


def test_garbage_silence_and_stopped_heartbeats(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    fault(sim, "no_data", connections="all", seconds=None)
    client.read_for(0.2)
    frames = client.read_for(1.3)
    assert {frame["channel"] for frame in frames} == {"heartbeats"}
    fault(sim, "no_heartbeats", connections="all", seconds=None)
    client.read_for(0.2)
    assert client.read_for(1.3) == []
    fault(sim, "garbage", connections="all", text="<html>")
    assert client.ws.recv() == "<html>"
    sim.control("clear", {})
    client.until(lambda frame: frame["channel"] == "heartbeats")
    assert set(client.steps) == {Step.NEXT}  # what was withheld was never numbered


def test_products_can_be_left_out_of_an_ack_and_be_stuck(
    sim: SimulatorProcess, connect: Callable[..., Client]
) -> None:
    client = connect()
    fault(sim, "partial_ack", products=["ETH-USD"], times=1)
    client.say(type="subscribe", channel="ticker", product_ids=["BTC-USD", "ETH-USD"])
    assert channels(client.until(lambda frame: frame["channel"] == "subscriptions")) == {"ticker": ["BTC-USD"]}
    client.say(type="subscribe", channel="ticker", product_ids=["ETH-USD"])
    client.until(lambda frame: frame["channel"] == "subscriptions")
    assert fault(sim, "stuck", product="BTC-USD", seconds=None) == 1
    client.read_for(0.2)
    seen = len(client.events)
    client.read_for(0.5)
    assert {event.product_id for event in client.events[seen:] if isinstance(event, Market)} == {"ETH-USD"}


def test_the_clock_is_off_on_both_paths(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    sim.control("fault", {"kind": "clock", "offset_seconds": -3600, "seconds": 30})
    client.read_for(0.2)
    before = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - 3600))
    trade = client.until(lambda frame: frame["channel"] == "market_trades")
    after = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - 3600))
    for text in (trade["timestamp"], trade["events"][0]["trades"][0]["time"]):
        assert text[:13] in (before, after)


def test_when_the_last_frame_was_written(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    client.read_for(0.6)
    report = told(sim, "evidence")
    assert set(report["products"]) >= {"BTC-USD"}
    assert report["now"] - report["proof"]["BTC-USD"] < 2.0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"kind": "kill", "connections": "all", "endpoint": "coinbase"}, "endpoint"),
        ({"kind": "kill", "connections": "all", "endpoint": None}, "endpoint"),
        ({"kind": "burst", "factor": 2, "seconds": 1, "endpoint": "advanced_trade"}, "endpoint"),
        ({"kind": "no_heartbeats", "product": "BTC-USD", "seconds": 1, "endpoint": "advanced_trade"}, "heartbeats"),
    ],
)
def test_a_senseless_endpoint_is_refused(shared: SimulatorProcess, body: Frame, word: str) -> None:
    with pytest.raises(RuntimeError, match=word):
        shared.control("fault", body)
    with pytest.raises(RuntimeError, match="endpoint"):
        shared.control("sent?endpoint=both")
