"""The simulator as a process of its own, seen through plain clients over real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from hub.simulator.launch import SimulatorProcess, launch

Frame = dict[str, Any]


class Client:
    """A plain WebSocket client that remembers all frames."""

    def __init__(self, sim: SimulatorProcess) -> None:
        self.ws = websocket.create_connection(sim.ws_url, timeout=5)
        self.frames: list[Frame] = []

    def say(self, **message: Any) -> None:
        self.ws.send(json.dumps(message))

    def subscribe(self, *product_ids: str) -> Frame:
        self.say(type="subscribe", product_ids=product_ids, channels=["ticker", "heartbeat"])
        return self.until(lambda frame: frame["type"] in ("subscriptions", "error"))

    def until(self, wanted: Callable[[Frame], bool], timeout: float = 5.0) -> Frame:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            frame = json.loads(self.ws.recv())
            self.frames.append(frame)
            if wanted(frame):
                return frame
        raise AssertionError(f"did not come within {timeout} s; the last: {self.frames[-3:]}")

    def read_for(self, seconds: float) -> list[Frame]:
        """Return what comes within some time."""
        start, deadline = len(self.frames), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.ws.settimeout(left)
            try:
                self.frames.append(json.loads(self.ws.recv()))
            except websocket.WebSocketTimeoutException:
                break
        self.ws.settimeout(5)
        return self.frames[start:]

    def ended(self, timeout: float = 3.0) -> BaseException:
        """Read on and return the error that ends the connection."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                self.ws.recv()
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


@pytest.fixture
def connect(sim: SimulatorProcess) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(simulator: SimulatorProcess = sim) -> Client:
        clients.append(Client(simulator))
        return clients[-1]

    yield make
    for client in clients:
        client.ws.shutdown()


def index_of(sim: SimulatorProcess, product_id: str) -> int:
    return next(row["index"] for row in sim.control("connections")["open"] if product_id in row["products"])


def eventually(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def of(frames: list[Frame], kind: str, product_id: str) -> list[Frame]:
    return [frame for frame in frames if frame["type"] == kind and frame.get("product_id") == product_id]


def test_ack_then_the_last_ticker_again_then_dense_trades(connect: Callable[..., Client]) -> None:
    client = connect()
    ack = client.subscribe("BTC-USD", "ETH-USD")
    assert {row["name"]: set(row["product_ids"]) for row in ack["channels"]} == {
        "ticker": {"BTC-USD", "ETH-USD"},
        "heartbeat": {"BTC-USD", "ETH-USD"},
    }
    client.read_for(0.5)
    assert [frame["product_id"] for frame in client.frames[1:3]] == ["BTC-USD", "ETH-USD"]
    ids = [frame["trade_id"] for frame in of(client.frames, "ticker", "BTC-USD")]
    assert len(ids) > 5
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_resubscribe_repeats_a_trade_id_already_seen(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    client.read_for(0.2)
    sim.control("pause", {})
    client.read_for(0.2)
    last = of(client.frames, "ticker", "BTC-USD")[-1]
    client.subscribe("BTC-USD")
    assert client.until(lambda frame: frame["type"] == "ticker") == last


def test_heartbeats_once_a_second_name_the_last_trade(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD", "SOL-USD")
    client.read_for(1.0)
    sim.control("pause", {})
    frames = client.read_for(2.5)
    for product_id in ("BTC-USD", "ETH-USD", "SOL-USD"):
        beats = of(frames, "heartbeat", product_id)
        assert 2 <= len(beats) <= 3
        assert beats[-1]["last_trade_id"] == of(client.frames, "ticker", product_id)[-1]["trade_id"]
    assert all(frame["simulated"] is True for frame in client.frames if frame["type"] in ("ticker", "heartbeat"))


def test_unsubscribing_all_leaves_no_channels(connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    client.say(type="unsubscribe", product_ids=["BTC-USD"], channels=["ticker", "heartbeat"])
    assert client.until(lambda frame: frame["type"] == "subscriptions") == {"type": "subscriptions", "channels": []}
    assert client.read_for(0.3) == []


def test_one_bad_product_rejects_the_whole_request(connect: Callable[..., Client]) -> None:
    client = connect()
    error = client.subscribe("BTC-USD", "NOPE-USD")
    assert error == {"type": "error", "message": "Failed to subscribe", "reason": "NOPE-USD is not a valid product"}
    assert client.read_for(0.3) == []


def test_kill_is_a_reset_of_the_chosen_one_only(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    victim, bystander = connect(), connect()
    victim.subscribe("ADA-USD")
    bystander.subscribe("BTC-USD")
    assert sim.control("fault", {"kind": "kill", "connections": {"product": "ADA-USD"}}) == {"hit": 1}
    assert isinstance(victim.ended(), ConnectionResetError)
    assert of(bystander.read_for(0.3), "ticker", "BTC-USD")
    assert [row["products"] for row in sim.control("connections")["open"]] == [["BTC-USD"]]


def test_kill_reaches_a_client_that_does_not_read(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    victim = connect()
    victim.subscribe("BTC-USD")
    sim.control("fault", {"kind": "garbage", "connections": "all", "text": "x" * 900_000})
    sim.control("fault", {"kind": "garbage", "connections": "all", "text": "x" * 900_000})
    sim.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: sim.control("connections")["open"] == [])


def test_mute_keeps_the_socket_open_and_silent(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    victim, bystander = connect(), connect()
    victim.subscribe("ADA-USD", "BTC-USD")
    bystander.subscribe("BTC-USD")
    index = index_of(sim, "ADA-USD")
    assert sim.control("fault", {"kind": "mute", "connections": [index], "seconds": None}) == {"hit": 1}
    victim.read_for(0.1)
    victim.ws.ping("still there?")
    victim.say(type="unsubscribe", channels=["heartbeat"])
    assert victim.read_for(1.2) == []
    assert of(bystander.read_for(0.2), "ticker", "BTC-USD")
    sim.control("clear", {})
    assert victim.until(lambda frame: frame["type"] == "subscriptions")["channels"][0]["name"] == "ticker"
    assert victim.until(lambda frame: frame["type"] == "ticker")


def test_mute_ends_by_itself(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    sim.control("fault", {"kind": "mute", "connections": "all", "seconds": 0.4})
    client.read_for(0.2)
    assert sim.control("connections")["open"][0]["muted"] is True
    before = of(client.frames, "ticker", "BTC-USD")[-1]
    after = client.until(lambda frame: frame["type"] == "ticker")
    assert after["trade_id"] > before["trade_id"] + 5  # what happened meanwhile is lost
    assert sim.control("connections")["open"][0]["muted"] is False


def test_a_muted_connection_that_the_client_closes_leaves_nothing(
    sim: SimulatorProcess, connect: Callable[..., Client]
) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    sim.control("fault", {"kind": "mute", "connections": "all", "seconds": None})
    client.ws.shutdown()
    eventually(lambda: sim.control("connections")["open"] == [])


def test_dropped_trades_happened_but_were_not_sent(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    already = len(sim.control("sent")["products"]["BTC-USD"]["dropped"])
    assert sim.control("fault", {"kind": "drop", "product": "BTC-USD", "count": 3}) == {"hit": 1}
    eventually(lambda: len(sim.control("sent")["products"]["BTC-USD"]["dropped"]) == already + 3)
    client.read_for(0.3)
    ids = [frame["trade_id"] for frame in of(client.frames, "ticker", "BTC-USD")]
    sent = sim.control("sent")["products"]["BTC-USD"]
    dropped = sent["dropped"][already:]
    assert sorted(set(range(ids[0], ids[-1] + 1)) - set(ids)) == dropped
    assert len(sent["ranges"]) == 1
    assert sent["first_id"] <= ids[0]
    assert sent["last_id"] >= ids[-1]
    rows = requests.get(f"{sim.rest_url}/products/BTC-USD/trades", params={"before": dropped[0] - 1}, timeout=5).json()
    assert set(dropped) <= {row["trade_id"] for row in rows}


def test_garbage_is_what_was_asked_for(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    sim.control("fault", {"kind": "garbage", "connections": "all", "text": "<html>"})
    assert client.ws.recv() == "<html>"
    sim.control("fault", {"kind": "garbage", "connections": "all", "base64": "//8="})
    with pytest.raises(websocket.WebSocketPayloadException):
        client.ws.recv()
    sim.control("fault", {"kind": "garbage", "connections": "all", "base64": "gQJoaQ==", "raw": True})
    assert client.ws.recv() == "hi"  # 81 02 68 69: a finished frame


def test_refuse_answers_the_upgrade_with_a_status(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    before = sim.control("connections")
    sim.control("fault", {"kind": "refuse", "seconds": 30, "status": 503, "retry_after": 7})
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Client(sim)
    assert caught.value.status_code == 503
    assert caught.value.resp_headers["retry-after"] == "7"
    after = sim.control("connections")
    assert after["refused_total"] == before["refused_total"] + 1
    assert len(after["connects"]) == len(before["connects"]) + 1
    sim.control("clear", {})
    assert connect().subscribe("BTC-USD")["type"] == "subscriptions"


def test_what_rest_answered_is_counted_by_status(sim: SimulatorProcess) -> None:
    before = sim.control("rest")["answers"]
    requests.get(f"{sim.rest_url}/products/BTC-USD/ticker", timeout=5)
    requests.get(f"{sim.rest_url}/products/NONE-USD/ticker", timeout=5)
    after = sim.control("rest")["answers"]
    assert {one: after[one] - before.get(one, 0) for one in ("200", "404")} == {"200": 1, "404": 1}


def test_refuse_can_hang(sim: SimulatorProcess) -> None:
    sim.control("fault", {"kind": "refuse", "seconds": 30, "hang": True})
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(sim.ws_url, timeout=0.4)


def test_rest_faults(sim: SimulatorProcess) -> None:
    def ask() -> requests.Response:
        return requests.get(f"{sim.rest_url}/products/BTC-USD/stats", timeout=5)

    sim.control("fault", {"kind": "rest", "seconds": 30, "status": 500})
    assert ask().status_code == 500
    sim.control("fault", {"kind": "rest", "seconds": 30, "html": True})
    assert "<html>" in ask().text
    sim.control("fault", {"kind": "rest", "seconds": 30, "empty": True})
    assert ask().content == b""
    sim.control("fault", {"kind": "rest", "seconds": 30, "truncate": True})
    with pytest.raises(requests.exceptions.RequestException):
        ask()
    sim.control("fault", {"kind": "rest", "seconds": 30, "delay_seconds": 0.3})
    started = time.monotonic()
    assert "open" in ask().json()
    assert time.monotonic() - started >= 0.3


def open_row(sim: SimulatorProcess, product_id: str) -> Frame:
    return next(row for row in sim.control("connections")["open"] if product_id in row["products"])


def fault(sim: SimulatorProcess, kind: str, **fields: Any) -> int:
    return sim.control("fault", {"kind": kind, **fields})["hit"]


def test_heartbeats_can_stop_while_tickers_go_on(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    assert fault(sim, "no_heartbeats", product="BTC-USD", seconds=30) == 1
    client.read_for(0.1)
    frames = client.read_for(1.2)
    assert of(frames, "heartbeat", "BTC-USD") == []
    assert of(frames, "heartbeat", "ETH-USD")
    assert of(frames, "ticker", "BTC-USD")
    assert fault(sim, "no_heartbeats", connections="all", seconds=30) == 1
    client.read_for(0.1)
    frames = client.read_for(1.2)
    assert {frame["type"] for frame in frames} == {"ticker"}


def test_tickers_can_stop_while_heartbeats_name_newer_trades(
    sim: SimulatorProcess, connect: Callable[..., Client]
) -> None:
    client, bystander = connect(), connect()
    client.subscribe("BTC-USD")
    bystander.subscribe("ETH-USD")
    index = index_of(sim, "BTC-USD")
    assert fault(sim, "no_data", connections=[index], seconds=None) == 1
    client.read_for(0.2)
    last = of(client.frames, "ticker", "BTC-USD")[-1]["trade_id"]
    frames = client.read_for(2.2)
    assert {frame["type"] for frame in frames} == {"heartbeat"}
    first, second = (frame["last_trade_id"] for frame in frames[-2:])
    assert last < first < second
    assert of(bystander.read_for(0.3), "ticker", "ETH-USD")
    evidence = sim.control("evidence?product=BTC-USD")
    assert evidence["products"]["BTC-USD"] > evidence["proof"]["BTC-USD"] + 1.5
    assert evidence["now"] == pytest.approx(time.monotonic(), abs=1)


@pytest.mark.parametrize(("until", "heals_here"), [("until_resubscribed", True), ("until_moved", False)])
def test_one_product_stuck_until_it_is_subscribed_again(
    sim: SimulatorProcess, connect: Callable[..., Client], until: str, heals_here: bool
) -> None:
    client, other = connect(), connect()
    client.subscribe("BTC-USD", "ETH-USD")
    assert fault(sim, "stuck", product="BTC-USD", seconds=None, **{until: True}) == 1
    client.read_for(0.1)
    frames = client.read_for(0.4)
    assert of(frames, "ticker", "BTC-USD") == []
    assert of(frames, "ticker", "ETH-USD")
    client.say(type="unsubscribe", product_ids=["BTC-USD"], channels=["ticker", "heartbeat"])
    client.subscribe("BTC-USD")
    assert bool(of(client.read_for(0.3), "ticker", "BTC-USD")) is heals_here
    other.subscribe("BTC-USD")
    assert of(other.read_for(0.3), "ticker", "BTC-USD")


def listed(sim: SimulatorProcess, product_id: str) -> tuple[str, bool] | None:
    """Return (status, trading_disabled) of a product in the list, None where it is not in it."""
    rows = {row["id"]: row for row in requests.get(f"{sim.rest_url}/products", timeout=5).json()}
    assert len(rows) >= 23
    row = rows.get(product_id)
    one = requests.get(f"{sim.rest_url}/products/{product_id}", timeout=5)
    assert one.json() == row if row else one.status_code == 404
    return (row["status"], row["trading_disabled"]) if row else None


@pytest.mark.parametrize(
    ("fields", "shown", "beats"),
    [
        ({"status": "offline"}, ("offline", False), True),
        ({"status": "online", "trading_disabled": True}, ("online", True), True),
        ({"status": "delisted"}, ("delisted", True), False),
        ({"status": None}, None, False),
    ],
)
def test_a_product_is_listed_otherwise_and_does_not_trade(
    sim: SimulatorProcess, connect: Callable[..., Client], fields: Frame, shown: tuple[str, bool] | None, beats: bool
) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    assert fault(sim, "status", product="BTC-USD", **fields) == 1
    assert listed(sim, "BTC-USD") == shown
    client.read_for(0.1)
    frames = client.read_for(1.2)
    assert of(frames, "ticker", "BTC-USD") == []
    assert of(frames, "ticker", "ETH-USD")
    assert bool(of(frames, "heartbeat", "BTC-USD")) is beats
    if shown is None:
        sim.control("clear", {})
    else:
        fault(sim, "status", product="BTC-USD", status="online")
    assert listed(sim, "BTC-USD") == ("online", False)
    client.until(lambda frame: frame["type"] == "ticker" and frame["product_id"] == "BTC-USD")
    client.until(lambda frame: frame["type"] == "heartbeat" and frame["product_id"] == "BTC-USD")


def test_a_halt_ends_by_itself(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    fault(sim, "status", product="BTC-USD", status="internal", seconds=1)
    assert listed(sim, "BTC-USD") == ("internal", False)
    client.read_for(0.1)  # what was on its way
    client.until(lambda frame: frame["type"] == "ticker")
    assert listed(sim, "BTC-USD") == ("online", False)


def test_quiet_products_make_no_trades(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD", "ETH-USD")
    assert fault(sim, "quiet", products=["BTC-USD"], seconds=None) == 1
    client.read_for(0.1)
    frames = client.read_for(2.2)
    assert of(frames, "ticker", "BTC-USD") == []
    assert of(frames, "ticker", "ETH-USD")
    beats = {frame["last_trade_id"] for frame in of(frames, "heartbeat", "BTC-USD")}
    assert beats == {sim.control("sent")["products"]["BTC-USD"]["last_id"]}


def test_a_dripping_frame_never_completes_until_it_heals(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    assert fault(sim, "drip", connections="all", seconds=None) == 1
    client.read_for(0.1)
    assert client.read_for(0.7) == []
    sim.control("clear", {})
    assert client.until(lambda frame: frame["type"] == "status")
    assert client.until(lambda frame: frame["type"] == "ticker")


def test_giant_frames(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    assert fault(sim, "giant", connections="all", bytes=6_000_000) == 1
    assert len(client.ws.recv()) == 6_000_000
    assert fault(sim, "giant", connections="all", bytes=2**40, announce=True) == 1
    client.ws.frame_buffer.recv_header()
    client.ws.frame_buffer.recv_length()
    assert client.ws.frame_buffer.length == 2**40


def test_bad_tickers_come_in_front_of_the_right_ones(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    fault(sim, "bad_ticker", product="BTC-USD", fields={"price": "NaN", "side": None}, remove=["time"], count=2)

    def bads() -> list[Frame]:
        return [frame for frame in of(client.frames, "ticker", "BTC-USD") if frame["price"] == "NaN"]

    eventually(lambda: bool(client.read_for(0.05)) and len(bads()) == 2)
    client.read_for(0.1)
    ids = [frame["trade_id"] for frame in of(client.frames, "ticker", "BTC-USD") if frame["price"] != "NaN"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    for bad in bads():
        assert bad["trade_id"] in ids
        assert bad["side"] is None
        assert "time" not in bad


def test_duplicate_and_reordered_tickers(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    client.read_for(0.1)
    fault(sim, "duplicate", product="BTC-USD", count=2)
    client.read_for(0.3)
    fault(sim, "reorder", product="BTC-USD", count=2)
    client.read_for(0.3)
    ids = [frame["trade_id"] for frame in of(client.frames, "ticker", "BTC-USD")[1:]]
    assert set(ids) == set(range(min(ids), max(ids) + 1))
    steps = [after - before for before, after in pairwise(ids)]
    assert steps.count(0) == 2
    assert steps.count(-1) == 2


def test_trades_are_late_in_rest(sim: SimulatorProcess) -> None:
    def newest() -> int:
        return requests.get(f"{sim.rest_url}/products/BTC-USD/trades?limit=1", timeout=5).json()[0]["trade_id"]

    before = newest()
    fault(sim, "rest_lag", seconds=30, lag_seconds=3_600)
    assert requests.get(f"{sim.rest_url}/products/BTC-USD/trades", timeout=5).json() == []
    fault(sim, "rest_lag", seconds=30, lag_seconds=0.5)
    # half a second's trades, once the simulator is that old
    eventually(lambda: newest() < sim.control("sent")["products"]["BTC-USD"]["last_id"] - 10)
    lagging = newest()
    sim.control("clear", {})
    latest = newest()
    assert latest >= before
    assert latest > lagging


@pytest.mark.parametrize("code", [1000, 1012, 4999])
def test_close_with_a_code(sim: SimulatorProcess, connect: Callable[..., Client], code: int) -> None:
    client = connect()
    assert fault(sim, "close", connections="all", code=code) == 1
    opcode, data = client.ws.recv_data()
    assert (opcode, int.from_bytes(data[:2])) == (websocket.ABNF.OPCODE_CLOSE, code)


def test_close_without_a_code_and_without_a_word(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    fault(sim, "close", connections="all", code=None)
    assert client.ws.recv_data() == (websocket.ABNF.OPCODE_CLOSE, b"")
    eventually(lambda: sim.control("connections")["open"] == [])
    client = connect()
    fault(sim, "close", connections="all")
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        client.ws.recv_data()


def test_refuse_with_a_redirect_and_with_html(sim: SimulatorProcess) -> None:
    def ask() -> requests.Response:
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
        return requests.get(sim.rest_url, headers=upgrade, timeout=5, allow_redirects=False)

    fault(sim, "refuse", seconds=30, status=301)
    assert (ask().status_code, ask().headers["Location"]) == (301, sim.ws_url + "/elsewhere")
    fault(sim, "refuse", seconds=30, status=302, location="ws://127.0.0.1:1/")
    assert ask().headers["Location"] == "ws://127.0.0.1:1/"
    fault(sim, "refuse", seconds=30, status=200)
    assert (ask().status_code, ask().headers["Content-Type"]) == (200, "text/html")


def test_a_rejected_product_refuses_the_whole_request(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    fault(sim, "reject_product", product="ETH-USD", seconds=30)
    assert client.subscribe("BTC-USD", "ETH-USD")["reason"] == "ETH-USD is not a valid product"
    assert client.subscribe("BTC-USD")["type"] == "subscriptions"
    assert open_row(sim, "BTC-USD")["products"] == ["BTC-USD"]
    listed = requests.get(f"{sim.rest_url}/products", timeout=5).json()
    assert "ETH-USD" in {row["id"] for row in listed}


def test_a_partial_ack_leaves_products_silently_out(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    fault(sim, "partial_ack", products=["ETH-USD"], times=1)
    assert client.subscribe("BTC-USD", "ETH-USD")["channels"][0]["product_ids"] == ["BTC-USD"]
    assert of(client.read_for(0.3), "ticker", "ETH-USD") == []
    assert len(client.subscribe("ETH-USD")["channels"][0]["product_ids"]) == 2
    assert of(client.read_for(0.3), "ticker", "ETH-USD")


def test_a_product_list_of_another_length(sim: SimulatorProcess) -> None:
    def listed() -> list[str]:
        return [row["id"] for row in requests.get(f"{sim.rest_url}/products", timeout=5).json()]

    right = listed()
    fault(sim, "rest", seconds=30, half=True)
    assert listed() == right[: len(right) // 2]
    fault(sim, "rest", seconds=30, tenfold=True)
    assert len(set(listed())) == 10 * len(right)
    assert listed()[: len(right)] == right


def test_restart_and_flap(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    clients = [connect(), connect()]
    assert fault(sim, "restart", seconds_down=0.5) == 2
    for client in clients:
        assert isinstance(client.ended(), ConnectionResetError)
    with pytest.raises(websocket.WebSocketBadStatusException):
        Client(sim)
    time.sleep(0.6)
    older = connect()
    older.subscribe("BTC-USD")
    fault(sim, "flap", seconds=30, after_seconds=0.3)
    begun = time.monotonic()
    younger = connect()
    assert younger.ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    assert 0.2 < time.monotonic() - begun < 1
    assert older.read_for(0.2)


def test_early_data(sim: SimulatorProcess, connect: Callable[..., Client]) -> None:
    client = connect()
    fault(sim, "early_data", seconds=30)
    client.subscribe("BTC-USD")
    assert [frame["type"] for frame in client.frames] == ["ticker", "subscriptions"]
    client.say(type="unsubscribe", channels=["ticker", "heartbeat"])
    client.until(lambda frame: frame["type"] == "subscriptions" and not frame["channels"])
    assert of(client.read_for(0.2), "ticker", "BTC-USD")


@pytest.mark.parametrize("offset", [-3600, 300])
def test_the_exchanges_clock_can_be_off(sim: SimulatorProcess, connect: Callable[..., Client], offset: int) -> None:
    client = connect()
    client.subscribe("BTC-USD")
    fault(sim, "clock", offset_seconds=offset, seconds=30)
    client.read_for(0.1)
    frames = client.read_for(1.1)
    for kind in ("ticker", "heartbeat"):
        stamp = datetime.fromisoformat(of(frames, kind, "BTC-USD")[-1]["time"]).timestamp()
        assert stamp == pytest.approx(time.time() + offset, abs=1.5)
    newest = requests.get(f"{sim.rest_url}/products/BTC-USD/trades?limit=1", timeout=5).json()[0]["time"]
    assert datetime.fromisoformat(newest).timestamp() == pytest.approx(time.time() + offset, abs=1.5)
    sim.control("clear", {})
    client.read_for(0.2)
    stamp = datetime.fromisoformat(of(client.frames, "ticker", "BTC-USD")[-1]["time"]).timestamp()
    assert stamp == pytest.approx(time.time(), abs=1.5)


def test_a_burst(sim: SimulatorProcess) -> None:
    assert fault(sim, "burst", factor=20, seconds=0.5) == 1
    before = sim.control("sent")["ticks_total"]
    time.sleep(0.5)
    assert sim.control("sent")["ticks_total"] - before > 300 * 20 * 0.5 * 0.6


def test_when_trades_happened(sim: SimulatorProcess) -> None:
    trades = sim.control("trades?product=BTC-USD")["trades"]
    assert trades[0][0] > trades[-1][0]
    assert trades[0][1].endswith("Z")
    with pytest.raises(RuntimeError, match="product"):
        sim.control("trades")
    with pytest.raises(RuntimeError, match="product"):
        sim.control("evidence?product=NO-USD")


def test_half_of_the_products_quiet_from_the_start() -> None:
    with launch(["--products", "10", "--rate", "500", "--quiet-half"]) as sim:
        eventually(lambda: sim.control("sent")["ticks_total"] > 200)
        sim.control("clear", {})
        time.sleep(0.2)
        products = sim.control("sent")["products"]
        counts = {one: row["last_id"] - row["first_id"] for one, row in products.items()}
        assert [count == 0 for count in list(counts.values())[1:10:2]] == [True] * 5
        assert counts["BTC-USD"] > 20


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "kill"}, "connections"),
        ({"kind": "kill", "connections": ["BTC-USD"]}, "connections"),
        ({"kind": "mute", "connections": "all"}, "seconds"),
        ({"kind": "mute", "connections": "all", "seconds": -1}, "seconds"),
        ({"kind": "drop", "product": "NO-USD", "count": 1}, "product"),
        ({"kind": "drop", "product": "BTC-USD"}, "count"),
        ({"kind": "refuse", "seconds": 1, "statsu": 500}, "statsu"),
        ({"kind": "garbage", "connections": "all"}, "text"),
        ({"kind": "rest", "seconds": 1}, "status"),
        ({"kind": "rest", "seconds": 1, "half": True, "tenfold": True}, "tenfold"),
        ({"kind": "no_heartbeats", "seconds": 1}, "product"),
        ({"kind": "no_heartbeats", "seconds": 1, "product": "BTC-USD", "connections": "all"}, "either"),
        ({"kind": "no_data", "connections": "all"}, "seconds"),
        ({"kind": "stuck", "seconds": 1}, "product"),
        ({"kind": "stuck", "seconds": 1, "product": "BTC-USD", "until_moved": 1}, "until_moved"),
        ({"kind": "quiet", "seconds": 1, "products": "all"}, "products"),
        ({"kind": "quiet", "seconds": 1, "products": ["NO-USD"]}, "product"),
        ({"kind": "drip", "connections": "all"}, "seconds"),
        ({"kind": "giant", "connections": "all", "bytes": 10**12}, "bytes"),
        ({"kind": "bad_ticker", "product": "BTC-USD"}, "fields"),
        ({"kind": "bad_ticker", "product": "BTC-USD", "fields": []}, "fields"),
        ({"kind": "bad_ticker", "product": "BTC-USD", "remove": "time"}, "remove"),
        ({"kind": "duplicate", "product": "BTC-USD", "count": 0}, "count"),
        ({"kind": "reorder", "product": "BTC-USD", "count": True}, "count"),
        ({"kind": "rest_lag", "seconds": 1}, "lag_seconds"),
        ({"kind": "close", "connections": "all", "code": 999}, "code"),
        ({"kind": "reject_product", "product": "NO-USD", "seconds": 1}, "product"),
        ({"kind": "partial_ack", "products": []}, "products"),
        ({"kind": "status", "product": "BTC-USD"}, "status"),
        ({"kind": "status", "product": "BTC-USD", "status": "gone"}, "online, offline, internal, delisted, or null"),
        ({"kind": "status", "product": "NO-USD", "status": "offline"}, "product"),
        ({"kind": "status", "product": "BTC-USD", "status": "offline", "seconds": -1}, "seconds"),
        ({"kind": "status", "product": "BTC-USD", "status": "online", "trading_disabled": 1}, "trading_disabled"),
        ({"kind": "restart"}, "seconds_down"),
        ({"kind": "flap", "seconds": 1, "after_seconds": -1}, "after_seconds"),
        ({"kind": "burst", "seconds": 1}, "factor"),
        ({"kind": "clock", "seconds": 1, "offset_seconds": "1"}, "offset_seconds"),
    ],
)
def test_a_senseless_fault_is_refused(sim: SimulatorProcess, body: Frame, word: str) -> None:
    with pytest.raises(RuntimeError, match=word):
        sim.control("fault", body)


def test_control_needs_a_json_object(sim: SimulatorProcess) -> None:
    for data in (b"[]", b"{"):
        answer = requests.post(f"{sim.control_url}/fault", data=data, timeout=5)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert requests.get(f"{sim.control_url}/nothing", timeout=5).status_code == 404
    assert requests.get(f"{sim.control_url}/replay", timeout=5).status_code == 400


def test_rest_speaks_as_the_exchange() -> None:
    with launch(["--products", "5", "--rate", "200"]) as sim, requests.Session() as session:

        def get(path: str, **parameters: Any) -> requests.Response:
            return session.get(sim.rest_url + path, params=parameters, timeout=5)

        listing = get("/products")
        assert listing.headers["X-Simulated"] == "true"
        ids = [row["id"] for row in listing.json() if row["status"] == "online" and row["quote_currency"] == "USD"]
        assert len(ids) == 5
        stats = get("/products/stats").json()
        assert set(stats["BTC-USD"]["stats_24hour"]) == {"open", "high", "low", "last", "volume"}
        assert set(stats["BTC-USD"]["stats_30day"]) == {"volume"}
        assert set(ids) <= set(stats)
        ticker = get("/products/BTC-USD/ticker").json()
        assert set(ticker) == {"ask", "bid", "volume", "trade_id", "price", "size", "time"}
        eventually(lambda: sim.control("sent")["ticks_total"] > 50)
        page = get("/products/BTC-USD/trades", limit=2)
        newest, older = (row["trade_id"] for row in page.json())
        assert newest == older + 1
        assert (page.headers["cb-before"], page.headers["cb-after"]) == (str(newest), str(older))
        below = get("/products/BTC-USD/trades", after=newest, limit=1).json()
        assert below[0]["trade_id"] == older
        assert get("/products/BTC-USD/trades", limit="x").status_code == 400
        missing = get("/products/NOPE-USD/ticker")
        assert (missing.status_code, missing.json()) == (404, {"message": "NotFound"})
        limited = [get("/products/BTC-USD/stats") for _ in range(25)]
        assert limited[-1].status_code == 429
        assert limited[-1].json() == {"message": "Public rate limit exceeded"}


def test_connects_beyond_the_burst_are_refused() -> None:
    with launch(["--products", "3", "--rate", "50"]) as sim:
        clients, refused = [], 0
        started = time.monotonic()
        for _ in range(40):
            try:
                clients.append(Client(sim))
            except websocket.WebSocketBadStatusException as error:
                refused += error.status_code == 429
        assert len(clients) + refused == 40
        assert 20 <= len(clients) <= 21 + 8 * (time.monotonic() - started)
        report = sim.control("connections")
        assert report["violations"]["connect_rate"] == report["refused_total"] == refused > 0
        assert len(report["connects"]) == 40
        with contextlib.suppress(OSError):  # it may be cut off before it has said everything
            for _ in range(400):
                clients[0].say(type="subscribe", product_ids=["BTC-USD"], channels=["heartbeat"])
        clients[0].ended()
        assert sim.control("connections")["violations"]["message_rate"] == 1
        # the others have not subscribed
        eventually(lambda: sim.control("connections")["open"] == [], timeout=7)
        assert sim.control("connections")["violations"]["late_subscribe"] == len(clients) - 1
        for client in clients:
            client.ws.shutdown()


def test_a_client_that_does_not_read_is_cut_and_blocks_nobody() -> None:
    with launch(["--products", "2", "--rate", "30000"]) as sim:
        idle, bystander = Client(sim), Client(sim)
        idle.subscribe("BTC-USD")
        bystander.subscribe("ETH-USD")
        gone_by = time.monotonic() + 10
        while len(sim.control("connections")["open"]) == 2:
            frames = bystander.read_for(0.1)
            assert of(frames, "ticker", "ETH-USD"), "the bystander got nothing"
            assert time.monotonic() < gone_by
        ids = [frame["trade_id"] for frame in of(bystander.frames, "ticker", "ETH-USD")]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert sim.control("connections")["open"][0]["products"] == ["ETH-USD"]
        for client in (idle, bystander):
            client.ws.shutdown()


def recorded(product_id: str, trade_id: int) -> str:
    return (
        f'{{"type":"ticker","sequence":{trade_id * 2},"product_id":"{product_id}","price":"133.630","open_24h":"131.3",'
        f'"volume_24h":"1.5","low_24h":"128.35","high_24h":"134.4","volume_30d":"4.5","best_bid":"133.6",'
        f'"best_bid_size":"1","best_ask":"133.7","best_ask_size":"1","side":"buy",'
        f'"time":"2025-11-24T17:14:48.{trade_id:06d}Z","trade_id":{trade_id},"last_size":"2.9"}}'
    )


def test_replay_at_full_speed_sends_every_recorded_byte_behind_the_mark(tmp_path: Path) -> None:
    lines = [recorded(("SOL-USD", "BTC-USD")[number % 2], 100 + number // 2) for number in range(14_000)]
    path = tmp_path / "small.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with launch(["--replay", str(path), "--speed", "max", "--hold"]) as sim:
        assert sim.control("replay") == {"state": "waiting", "sent": 0, "total": 14_000}
        client = Client(sim)
        client.ws.frame_buffer.skip_utf8_validation = True
        ack = client.subscribe("SOL-USD", "BTC-USD")
        assert ack["type"] == "subscriptions"
        beat = client.until(bool)
        assert (beat["type"], beat["last_trade_id"]) == ("heartbeat", 0)
        assert sim.control("replay")["sent"] == 0
        sim.control("start", {})
        time.sleep(0.5)  # more than a client may lag behind: the replay has to wait
        texts = []
        while len(texts) < len(lines):
            text = client.ws.recv()
            if '"ticker"' in text:
                texts.append(text)
        assert texts == ['{"simulated":true,' + line[1:] for line in lines]
        assert sim.control("replay") == {"state": "done", "sent": 14_000, "total": 14_000}
        assert sim.control("sent")["products"]["SOL-USD"]["ranges"] == [[100, 7_099]]
        last = client.until(lambda frame: frame["type"] == "heartbeat" and frame["product_id"] == "SOL-USD", 3)
        assert last["last_trade_id"] == 7_099
        listing = requests.get(f"{sim.rest_url}/products", timeout=5).json()
        assert [row["id"] for row in listing] == ["SOL-USD", "BTC-USD"]
        client.ws.shutdown()


def test_it_ends_when_standard_input_ends() -> None:
    process = launch(["--products", "2"])
    try:
        assert process._process.stdin is not None
        process._process.stdin.close()
        deadline = time.monotonic() + 3
        while process.alive():
            assert time.monotonic() < deadline, "it outlived its standard input"
            time.sleep(0.02)
        assert process._process.returncode == 0
    finally:
        process.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_at_once_with_0(number: signal.Signals) -> None:
    process = launch(["--products", "2"])
    try:
        started = time.monotonic()
        os.kill(process.pid, number)
        assert process._process.wait(timeout=3) == 0
        assert time.monotonic() - started < 1
        assert process.stderr_text() == ""
    finally:
        process.stop()


def test_stop_is_idempotent_and_leaves_no_process() -> None:
    process = launch(["--products", "2"])
    process.stop()
    process.stop()
    assert not process.alive()


def test_a_failure_to_start_tells_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not between"):
        launch(["--exponent", "3"])
    with pytest.raises(RuntimeError, match=r"missing\.jsonl"):
        launch(["--replay", str(tmp_path / "missing.jsonl")])


def test_launch_works_on_green_threads() -> None:
    code = (
        "from hub import green; green.patch()\n"
        "from hub.simulator.launch import launch\n"
        "with launch(['--products', '2']) as sim:\n"
        "    print(sim.control('sent')['products'].keys() >= {'BTC-USD'})\n"
        "print(sim.alive())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert run.stdout.split() == ["True", "False"]
