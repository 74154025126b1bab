"""What clients choose, what slow ones get, what is refused: real clients and raw sockets on a busy hub."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.conftest import HubProcess, eventually, running_hub
from tests.integration.test_hostile import connected, descriptors, ends, frame
from tests.integration.test_socketio import Listener

PRODUCTS, RATE = 40, 2000
SIMULATOR = ["--products", str(PRODUCTS), "--rate", str(RATE), "--exponent", "0"]
POLL = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub with 40 products that trade 50 times a second each; whatever happens to clients, it logs no traceback."""
    with running_hub(tmp_path_factory.mktemp("busy"), SIMULATOR, []) as process:
        process.wait_until_covered()
        yield process
        assert "Traceback" not in process.log()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    with contextlib.ExitStack() as stack:

        def start(url: str, transports: list[str] | None = None, **options: Any) -> Listener:
            listener = Listener(url, transports, **options)
            stack.callback(listener.close)
            return listener

        yield start


def counter(hub: HubProcess, name: str) -> int:
    return hub.health()["counters"].get(name, 0)


class Account:
    """Holds a stream of events, in the order of the wire, against what was sent: trade ids of a product are dense."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.received = self.conflated = self.lags = self.since_lag = 0
        self.sent_at = 0

    def take(self, event: str, body: Any) -> None:
        if event == "lag":
            self.check()  # all that was sent before has come, or was told as conflated
            assert set(body) == {"conflated", "dropped", "behind_ms"}
            assert body["behind_ms"] >= 0
            self.conflated += body["conflated"]
            self.lags += 1
            self.since_lag = 0
        elif event == "ticker_update":
            product, number = body["crypto"], body["trade_id"]
            assert number > self.last.get(product, -1)  # never an older one, never one twice
            self.first.setdefault(product, number)
            self.last[product] = number
            self.received += 1
            self.since_lag += 1
            self.sent_at = body["sent_at"]

    def check(self) -> None:
        sent = sum(self.last[product] - self.first[product] + 1 for product in self.first)
        assert self.received + self.conflated == sent

    @property
    def caught_up(self) -> bool:
        """Whether it gets every tick as it comes, for a while."""
        return self.since_lag > 20 * PRODUCTS and time.time() * 1000 - self.sent_at < 1_000


class RawClient:
    """A WebSocket that reads when told to, from small buffers."""

    def __init__(self, hub: HubProcess, say: tuple[bytes, ...] = (b"40",)) -> None:
        self.texts: list[str] = []
        self.account = Account()
        self._data = b""
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.sock.connect(("127.0.0.1", hub.port))
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        self.sock.sendall(
            (
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self._data:
            self._data += self.sock.recv(4096)
        self._data = self._data.partition(b"\r\n\r\n")[2]
        for text in say:
            self.sock.sendall(frame(text))

    def read(self, count: int = 65_536) -> bool:
        """Take in what is there; False at the end."""
        self.sock.settimeout(2)
        found = self.sock.recv(count)
        self._data += found
        while len(self._data) >= 2:
            length, start = self._data[1], 2
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(self._data[2:start], "big")
            if len(self._data) < start + length:
                break
            opcode, data = self._data[0] & 15, self._data[start : start + length]
            self._data = self._data[start + length :]
            assert opcode in (1, 8)
            if opcode == 8:
                self.texts.append(f"close {struct.unpack('!H', data[:2])[0]} {data[2:].decode()}")
            else:
                self._take(data.decode())
        return bool(found)

    def _take(self, text: str) -> None:
        self.texts.append(text)
        if text.startswith("42"):
            self.account.take(*json.loads(text[2:]))

    def read_until(self, condition: Callable[[], Any], timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, self.texts[-3:]
            assert self.read(), self.texts[-3:]


class PollingClient:
    """Polls when told to, as the specification says."""

    def __init__(self, hub: HubProcess) -> None:
        self.account = Account()
        self.texts: list[str] = []
        self._session = requests.Session()
        answer = self._session.get(hub.url + POLL, timeout=5).text
        self.url = f"{hub.url}{POLL}&sid={json.loads(answer[1:])['sid']}"
        assert self.post("40").status_code == 200

    def post(self, text: str) -> requests.Response:
        return self._session.post(self.url, data=text, timeout=5)

    def poll(self) -> None:
        answer = self._session.get(self.url, timeout=5)
        assert answer.status_code == 200
        texts = answer.text.split("\x1e")
        assert len(texts) <= 16
        self.texts += texts
        for text in texts:
            if text.startswith("42"):
                self.account.take(*json.loads(text[2:]))
            elif text == "2":
                self.post("3")


# -- order ---------------------------------------------------------------------------------------------


def test_the_snapshot_comes_after_the_connect_answer_and_nothing_else_does_before(busy: HubProcess) -> None:
    for _ in range(5):
        raw = RawClient(busy)
        raw.read_until(lambda raw=raw: raw.account.received > 2 * PRODUCTS)
        raw.sock.close()
        assert [text[:3] for text in raw.texts[:3]] == ["0{\"", "40{", "42["]
        first = [json.loads(text[2:])[1]["crypto"] for text in raw.texts[2 : 2 + PRODUCTS]]
        assert len(set(first)) == PRODUCTS
    polling = PollingClient(busy)
    for _ in range(4):
        polling.poll()
    assert [text[:3] for text in polling.texts[:2]] == ["40{", "42["]


def test_an_upgrade_in_mid_stream_loses_nothing_and_repeats_nothing(busy: HubProcess) -> None:
    for _ in range(12):
        listener = Listener(busy.url)  # polling first, then WebSocket
        ticks = listener.events["ticker_update"]
        eventually(lambda ticks=ticks: len(ticks) > PRODUCTS + 600, 10, 0.02)
        assert listener.client.transport() == "websocket"
        listener.close()
        account = Account()
        for tick in list(ticks):
            account.take("ticker_update", tick)
        account.check()
        assert listener.events["lag"] == []


@pytest.mark.parametrize("mode", ["basic", "ultra_low_latency"])
def test_other_modes_send_the_same(hub_factory: Callable[..., HubProcess], listen: Any, mode: str) -> None:
    hub = hub_factory(simulator=["--products", "10", "--rate", "300"], FANOUT_MODE=mode)
    listeners = [listen(hub.url), listen(hub.url, ["websocket"]), listen(hub.url, ["polling"])]
    for listener in listeners:
        eventually(lambda listener=listener: len(listener.events["ticker_update"]) > 300)
        account = Account()
        for tick in list(listener.events["ticker_update"]):
            account.take("ticker_update", tick)
        account.check()


def test_a_herd_is_let_in_while_health_answers(busy: HubProcess) -> None:
    before = descriptors(busy)
    herd = [RawClient(busy) for _ in range(150)]
    slowest = 0.0
    for raw in herd:
        begun = time.monotonic()
        busy.health()
        slowest = max(slowest, time.monotonic() - begun)
        raw.read_until(lambda raw=raw: raw.account.received >= PRODUCTS)
    assert slowest < 1.0
    for raw in herd:
        raw.sock.close()
    eventually(lambda: descriptors(busy) <= before + 2)


# -- choice --------------------------------------------------------------------------------------------


def test_a_client_chooses_products_and_changes_its_mind(busy: HubProcess, listen: Callable[..., Listener]) -> None:
    listener, other = listen(busy.url, ["websocket"]), listen(busy.url, ["websocket"])
    ticks = listener.events["ticker_update"]
    eventually(lambda: len(ticks) > 2 * PRODUCTS)

    def seen_after(event: str, request: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
        answer = listener.client.call(event, request)
        ticks.clear()
        eventually(lambda: len(ticks) > 60)
        return answer, {tick["crypto"] for tick in ticks}

    answer, seen = seen_after("subscribe", {"products": ["btc-usd", "ETH-*", "NOT-THERE"]})
    assert answer == {
        "success": True, "products": ["BTC-USD", "ETH-*"], "products_count": 2, "max_hz": None, "batch": False,
        "unknown": ["NOT-THERE"], "unknown_count": 1,
    }  # fmt: skip
    assert seen == {"BTC-USD", "ETH-USD"}
    answer, seen = seen_after("subscribe", {"products": ["SOL-USD"]})
    assert (answer["products"], answer["products_count"]) == (["SOL-USD"], 3)
    assert seen == {"BTC-USD", "ETH-USD", "SOL-USD"}
    answer, seen = seen_after("unsubscribe", {"products": ["ETH-*", "BTC-USD"]})
    assert answer == {
        "success": True, "products": ["BTC-USD", "ETH-*"], "products_count": 1, "max_hz": None, "batch": False,
        "unknown": [], "unknown_count": 0,
    }  # fmt: skip
    assert seen == {"SOL-USD"}
    answer, seen = seen_after("subscribe", {"products": ["*-USD"]})
    assert len(seen) > 20
    answer = listener.client.call("unsubscribe", {})
    assert (answer["products"], answer["products_count"]) == (["*-USD", "SOL-USD"], 0)
    count = len(ticks)
    others = other.events["ticker_update"]
    count_of_others = len(others)
    eventually(lambda: len(others) > count_of_others + 500)
    assert len(ticks) == count
    assert len({tick["crypto"] for tick in others[-500:]}) > 30  # nobody else notices
    requests.post(busy.url + "/alert", json={"text": "to all"}, timeout=5)
    eventually(lambda: {"text": "to all"} in listener.events["trade_update"])


def test_who_chooses_at_once_gets_the_snapshot_of_what_it_chose(busy: HubProcess) -> None:
    request = b'420["subscribe",{"products":["ETH-USD"]}]'
    raw = RawClient(busy, (b"40", request))
    raw.read_until(lambda: raw.account.received > 20)
    raw.sock.close()
    assert set(raw.account.first) == {"ETH-USD"} or len(raw.account.first) == PRODUCTS  # it may have joined before
    raw.account.check()


def test_ticks_as_lists(busy: HubProcess, listen: Callable[..., Listener]) -> None:
    listener = listen(busy.url, ["websocket"])
    eventually(lambda: len(listener.events["ticker_update"]) > PRODUCTS)
    assert listener.client.call("subscribe", {"batch": True}) == {
        "success": True, "products": [], "products_count": None, "max_hz": None, "batch": True, "unknown": [],
        "unknown_count": 0,
    }  # fmt: skip
    single = len(listener.events["ticker_update"])
    batches = listener.events["ticker_batch"]
    eventually(lambda: len(batches) > 10)
    assert len(listener.events["ticker_update"]) == single
    assert all(isinstance(batch, list) and batch for batch in batches)
    assert max(map(len, batches)) > 1
    account = Account()
    for tick in listener.events["ticker_update"] + [tick for batch in list(batches) for tick in batch]:
        account.take("ticker_update", tick)
    account.check()


def test_a_pace(busy: HubProcess, listen: Callable[..., Listener]) -> None:
    listener = listen(busy.url, ["websocket"])
    request = {"products": ["BTC-USD", "ETH-USD"], "max_hz": 5, "batch": True}
    assert listener.client.call("subscribe", request)["max_hz"] == 5.0
    batches = listener.events["ticker_batch"]
    batches.clear()
    begun = time.monotonic()
    eventually(lambda: len(batches) >= 6)
    assert 0.9 < time.monotonic() - begun < 3
    for batch in batches:  # the latest of each
        assert len({tick["crypto"] for tick in batch}) == len(batch) <= 2
    assert listener.events["lag"] == []  # it was asked for
    listener.client.call("subscribe", {"max_hz": None})
    batches.clear()
    eventually(lambda: len(batches) >= 10, 2)


@pytest.mark.parametrize(
    ("event", "request_", "reason"),
    [
        ("subscribe", None, "one JSON object is needed"), ("subscribe", ["BTC-USD"], "one JSON object is needed"),
        ("subscribe", {"channels": []}, "unknown field 'channels'"),
        ("subscribe", {"products": ["x" * 50_000]}, "is no name such as BTC-USD or *-EUR"),
        ("subscribe", {"products": ["A-B"] * 10_000}, "at most 1000 names"),
        ("subscribe", {"max_hz": 0}, "max_hz must be a number"), ("subscribe", {"batch": "yes"}, "batch must be"),
        ("unsubscribe", {"products": ["BTC-USD"]}, "this client gets everything"),
        ("latency_sample", {}, "sent_at must be"), ("latency_sample", {"sent_at": 1}, "sent_at must be"),
        ("latency_sample", {"sent_at": "now"}, "sent_at must be"),
    ],
)  # fmt: skip
def test_a_bad_request_changes_nothing_says_why_and_is_counted(
    busy: HubProcess, listen: Callable[..., Listener], event: str, request_: Any, reason: str
) -> None:
    name = "bad_latency_sample" if event == "latency_sample" else "bad_subscribe"
    before = counter(busy, name)
    listener = listen(busy.url, ["websocket"])
    answer = listener.client.call(event, request_)
    assert (answer["success"], reason in answer["error"]) == (False, True), answer
    assert counter(busy, name) == before + 1
    ticks = listener.events["ticker_update"]
    eventually(lambda: len({tick["crypto"] for tick in ticks}) == PRODUCTS)


# -- clients that lag ----------------------------------------------------------------------------------


def test_who_stops_reading_for_a_while_gets_the_latest_and_is_told(busy: HubProcess) -> None:
    raw = RawClient(busy)
    raw.read_until(lambda: raw.account.received > 3 * PRODUCTS)
    time.sleep(4)  # the hub fills the buffers, then conflates
    before = raw.account.received
    raw.read_until(lambda: raw.account.lags and raw.account.caught_up)
    raw.sock.close()
    raw.account.check()
    assert raw.account.conflated > RATE
    assert raw.account.received - before < 4 * RATE


@pytest.mark.long
def test_who_reads_slowly_is_kept_and_never_far_behind(busy: HubProcess) -> None:
    raw = RawClient(busy)
    end = time.monotonic() + 11  # longer than it takes to cut those who do not read
    while time.monotonic() < end:
        assert raw.read(4_096)
        time.sleep(0.04)  # some 100 KB/s, of the 900 that come
    assert raw.account.lags > 1
    # what waits in the hub, in both kernels and here; without bounds on each it would be the whole 10 s
    assert time.time() * 1000 - raw.account.sent_at < 6_000
    raw.sock.close()


def test_who_stops_polling_for_a_while_gets_the_latest_and_is_told(busy: HubProcess) -> None:
    polling = PollingClient(busy)
    for _ in range(5):
        polling.poll()
    time.sleep(3)
    while not (polling.account.lags and polling.account.since_lag > PRODUCTS):
        polling.poll()
    assert polling.account.conflated > 100
    latest = requests.get(busy.url + "/tickers", timeout=5).json()
    behind = [latest[product]["trade_id"] - last for product, last in polling.account.last.items()]
    assert max(behind) < 4 * RATE / PRODUCTS


def test_who_never_reads_is_cut_with_its_socket_closed(busy: HubProcess, listen: Callable[..., Listener]) -> None:
    bystander = listen(busy.url, ["websocket"])
    before, open_before = counter(busy, "cut_not_reading"), descriptors(busy)
    raw = RawClient(busy)
    begun = time.monotonic()
    eventually(lambda: counter(busy, "cut_not_reading") == before + 1, 15)
    assert time.monotonic() - begun < 11  # a second fills the buffers, eight are waited for
    assert re.search(r"cut client=\S+ code=4001 reason=not_reading pending_bytes=\d+", busy.log())
    assert ends(raw.sock)
    raw.sock.close()
    eventually(lambda: descriptors(busy) <= open_before)
    account = Account()
    for tick in list(bystander.events["ticker_update"]):
        account.take("ticker_update", tick)
    account.check()
    assert bystander.events["lag"] == []


def test_who_asks_and_never_reads_is_cut_too(busy: HubProcess) -> None:
    """Answers are never dropped: their number is bounded by the end of who asks for them."""

    def cuts() -> int:
        return sum(counter(busy, f"cut_{reason}") for reason in ("not_reading", "too_many_events"))

    before = cuts()
    polling = PollingClient(busy)
    names = json.dumps([f"NAME{number:06}-USD" for number in range(900)])
    statuses: list[int] = []
    while 400 not in statuses:
        assert len(statuses) < 400
        statuses.append(polling.post(f'42{len(statuses)}["subscribe",{{"products":{names}}}]').status_code)
    assert cuts() == before + 1
    assert len(statuses) < 200  # each costs as ten events, and as its bytes


# -- limits --------------------------------------------------------------------------------------------


def status_of_connect(hub: HubProcess, source: str = "127.0.0.1", path: str = POLL, **headers: str) -> tuple[int, Any]:
    """Ask for a session from a source address; return the status and the answer's JSON, if it is any."""
    with socket.create_connection(("127.0.0.1", hub.port), 5, (source, 0)) as sock:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode())
        answer = sock.recv(65_536).decode()
    head, _, body = answer.partition("\r\n\r\n")
    with contextlib.suppress(ValueError):
        body = json.loads(body)
    return int(head.split()[1]), body


UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


def test_clients_are_limited_altogether_and_by_address(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], MAX_CLIENTS="3", MAX_CLIENTS_PER_IP="2")
    of_ip = (503, {"error": "too_many_clients_of_ip"})
    assert status_of_connect(hub)[0] == 200
    assert status_of_connect(hub, X_Forwarded_For="198.51.100.1")[0] == 200
    assert status_of_connect(hub) == of_ip
    assert status_of_connect(hub, X_Forwarded_For="198.51.100.2") == of_ip  # nobody asked us to believe that
    assert status_of_connect(hub, path=POLL.replace("polling", "websocket"), **UPGRADE) == of_ip
    assert status_of_connect(hub, "127.0.0.2")[0] == 200
    assert status_of_connect(hub, "127.0.0.3") == (503, {"error": "too_many_clients"})
    counters = hub.health()["counters"]
    assert (counters["refused_too_many_clients_of_ip"], counters["refused_too_many_clients"]) == (3, 1)
    assert "refused a client address=127.0.0.1 reason=too_many_clients_of_ip" in hub.log()


def test_a_trusted_proxy_speaks_for_its_clients(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], MAX_CLIENTS_PER_IP="1", TRUSTED_PROXIES="127.0.0.1")
    assert status_of_connect(hub, X_Forwarded_For="198.51.100.1")[0] == 200
    assert status_of_connect(hub, X_Forwarded_For="198.51.100.2")[0] == 200
    assert status_of_connect(hub, X_Forwarded_For="6.6.6.6, 198.51.100.1")[0] == 503
    assert status_of_connect(hub, "127.0.0.2", X_Forwarded_For="198.51.100.3")[0] == 200
    assert status_of_connect(hub, "127.0.0.2", X_Forwarded_For="198.51.100.4")[0] == 503


@pytest.mark.parametrize(
    "data",
    [frame(b'42["nothing",{}]'), frame(b"3"), frame(b"5"), frame(b"", opcode=9), frame(b"x" * 100, opcode=10)],
    ids=["events", "pongs of Engine.IO", "upgrades", "pings", "pongs"],
)
def test_a_flood_of_whatever_kind_ends_its_sender_alone(busy: HubProcess, data: bytes) -> None:
    before, open_before = counter(busy, "cut_too_many_events"), descriptors(busy)
    sock = connected(busy)
    with contextlib.suppress(OSError):
        for _ in range(200):
            sock.sendall(data * 100)
    assert ends(sock)
    sock.close()
    assert counter(busy, "cut_too_many_events") == before + 1
    eventually(lambda: descriptors(busy) <= open_before)


def test_a_flood_by_polling_ends_its_sender_and_leaves_nothing(busy: HubProcess) -> None:
    before = counter(busy, "cut_too_many_events")
    polling = PollingClient(busy)
    text = "\x1e".join(['42["nothing",{}]'] * 16)
    statuses = [polling.post(text).status_code for _ in range(110)]  # more than the burst
    assert statuses[-1] == 400
    assert counter(busy, "cut_too_many_events") == before + 1


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        (struct.pack("!BBQ", 0x81, 0xFF, 200_000_000) + b"mask", "refused_too_large"),
        (frame(b"x" * 60_000, final=False) + frame(b"x" * 60_000, opcode=0), "refused_too_large"),
        (b"\x81\x01x", "refused_frames"),  # unmasked
        (frame(b'451-["spike_alert",{"_placeholder":true,"num":0}]'), "cut_bad_packet"),
        (frame(b"\x00" * 10, opcode=2), "cut_bad_packet"),
    ],
    ids=["large", "large in fragments", "unmasked", "an event with an attachment", "an attachment"],
)
def test_what_ends_a_client_is_counted(busy: HubProcess, data: bytes, counted: str) -> None:
    before = counter(busy, counted)
    sock = connected(busy)
    sock.sendall(data)
    assert ends(sock)
    sock.close()
    eventually(lambda: counter(busy, counted) == before + 1)


def test_a_foreign_origin_is_counted(busy: HubProcess) -> None:
    before = counter(busy, "refused_origins")
    assert requests.get(busy.url + POLL, headers={"Origin": "https://evil.example"}, timeout=5).status_code == 400
    assert counter(busy, "refused_origins") == before + 1


def test_two_polls_at_a_time_are_one_too_many(busy: HubProcess) -> None:
    polling = PollingClient(busy)
    polling.poll()  # the connect answer
    polling.post('42["unsubscribe",{}]')
    sockets = []
    path = polling.url.removeprefix(busy.url)
    deadline = time.monotonic() + 5
    while True:  # until nothing is left to fetch and a poll waits
        assert time.monotonic() < deadline
        sock = socket.create_connection(("127.0.0.1", busy.port), timeout=0.3)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        sockets.append(sock)
        try:
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
        except TimeoutError:
            break
    assert requests.get(polling.url, timeout=5).status_code == 400
    assert sockets[-1].recv(65_536).startswith(b"HTTP/1.1 200")  # the first one ends, empty
    for sock in sockets:
        sock.close()


def test_two_upgrades_of_one_session_are_one_too_many(busy: HubProcess) -> None:
    polling = PollingClient(busy)
    path = polling.url.removeprefix(busy.url).replace("transport=polling", "transport=websocket")
    sockets = []
    for _ in range(2):
        sock = socket.create_connection(("127.0.0.1", busy.port), timeout=5)
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in UPGRADE.items()]
        sock.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode())
        sockets.append((sock, sock.recv(4096).split()[1]))
    assert [status for _, status in sockets] == [b"101", b"400"]
    sockets[0][0].close()
    eventually(lambda: requests.get(polling.url, timeout=5).text != "6")  # the session itself goes on
    sockets[1][0].close()


# -- latency -------------------------------------------------------------------------------------------


def test_latency_is_measured_stage_by_stage(busy: HubProcess, listen: Callable[..., Listener]) -> None:
    listener = listen(busy.url, ["websocket"])
    ticks = listener.events["ticker_update"]
    for count in range(1, 6):
        eventually(lambda count=count: len(ticks) > count * 100)
        assert listener.client.call("latency_sample", {"sent_at": ticks[-1]["sent_at"]}) == {"success": True}
    for path in ("/latency", "/api/latency"):
        body = busy.get(path).json()
        assert set(body) == {"window_seconds", "stages", "simulated"}
        assert set(body["stages"]) == {"exchange_to_hub", "hub_to_written", "round_trip"}
        for stage in body["stages"].values():
            assert stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"] < 10_000
    assert body["stages"]["round_trip"]["count"] >= 5
    assert body["stages"]["round_trip"]["p50_ms"] > 0
    assert body["stages"]["hub_to_written"]["count"] > 100
