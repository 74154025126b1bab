"""Clients that mean harm, or are broken: they end, alone, and leave nothing behind."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener

WS_PATH = "/socket.io/?EIO=4&transport=websocket"


def frame(data: bytes, opcode: int = 1, final: bool = True) -> bytes:
    """Return a client's (masked) WebSocket frame."""
    mask = os.urandom(4)
    head = (0x80 if final else 0) | opcode
    short = len(data) < 126
    length = struct.pack("!BB", head, 0x80 | len(data)) if short else struct.pack("!BBH", head, 0xFE, len(data))
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    masked = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")
    return length + mask + masked


def upgrade(hub: HubProcess, **headers: str) -> socket.socket:
    """Send an upgrade request with these headers over the usual ones (empty: left out); return the socket."""
    wanted = {
        "Host": f"127.0.0.1:{hub.port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **headers,
    }  # fmt: skip
    lines = [f"{name}: {value}" for name, value in wanted.items() if value]
    sock = socket.create_connection(("127.0.0.1", hub.port), timeout=5)
    sock.sendall("\r\n".join([f"GET {WS_PATH} HTTP/1.1", *lines, "", ""]).encode())
    return sock


def connected(hub: HubProcess) -> socket.socket:
    """Return a raw WebSocket that is connected to the default namespace."""
    sock = upgrade(hub)
    received = b""
    while b'"sid"' not in received:
        received += sock.recv(65_536)
    sock.sendall(frame(b"40"))
    return sock


def ends(sock: socket.socket, timeout: float = 5.0) -> bool:
    """Tell whether the server ends the connection in time."""
    sock.settimeout(0.5)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if not sock.recv(1 << 20):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def fragments_until_the_server_hangs_up(sock: socket.socket, data: bytes, most: int = 200_000) -> int:
    """Send one message in fragments without an end; return how many were taken."""
    with sock:
        for number in range(most):
            try:
                sock.sendall(frame(data, opcode=0 if number else 1, final=False))
            except OSError:
                return number
    return most


def descriptors(hub: HubProcess) -> int:
    return len(os.listdir(f"/proc/{hub.process.pid}/fd"))


def resident_mb(hub: HubProcess) -> float:
    text = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


@pytest.fixture(scope="module")
def target(hub: HubProcess) -> Iterator[tuple[HubProcess, Listener]]:
    """The hub with a healthy bystander, who must miss nothing and get nothing twice through all of this."""
    bystander = Listener(hub.url, ["websocket"])
    eventually(lambda: len(bystander.events["ticker_update"]) > 400)
    yield hub, bystander
    count = len(bystander.events["ticker_update"])
    eventually(lambda: len(bystander.events["ticker_update"]) > count + 500)
    bystander.close()
    assert bystander.connects == 1
    last: dict[str, int] = {}
    for tick in bystander.events["ticker_update"]:
        assert tick["trade_id"] == last.get(tick["crypto"], tick["trade_id"] - 1) + 1
        last[tick["crypto"]] = tick["trade_id"]
    assert "Traceback" not in hub.log()


def test_unknown_packets_by_polling_leave_nothing_behind(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    before = descriptors(hub)
    url = hub.url + "/socket.io/?EIO=4&transport=polling"
    for body in (b"9", b"\xff", b"x", b"4{", b"\x1e" * 40, b'42["spike_alert",NaN]') * 5:
        sid = json.loads(requests.get(url, timeout=5).text[1:])["sid"]
        requests.post(f"{url}&sid={sid}", data="40", timeout=5)
        begun = time.monotonic()
        requests.post(f"{url}&sid={sid}", data=body, timeout=5)
        assert time.monotonic() - begun < 2
    eventually(lambda: descriptors(hub) <= before + 1, 10)


@pytest.mark.parametrize("data", [b"x", b"", b"9", b"4", b"4{", b'42["spike_alert"'])
def test_a_bad_packet_ends_its_websocket(target: tuple[HubProcess, Listener], data: bytes) -> None:
    hub, _ = target
    before = descriptors(hub)
    sock = connected(hub)
    sock.sendall(frame(data))
    if data != b"9":  # Engine.IO passes unknown types over
        assert ends(sock)
    sock.close()
    eventually(lambda: descriptors(hub) <= before)


def test_fragments_that_add_up_are_refused(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    before = resident_mb(hub)
    sock = connected(hub)
    assert fragments_until_the_server_hangs_up(sock, b"x" * 65_000) < 640  # 40 MB
    assert resident_mb(hub) - before < 16
    assert fragments_until_the_server_hangs_up(connected(hub), b"") < 200_000


def test_a_large_frame_is_refused_before_it_is_read(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    sock = connected(hub)
    sock.sendall(struct.pack("!BBQ", 0x81, 0xFF, 200_000_000) + b"mask")
    assert ends(sock)


@pytest.mark.parametrize("version", ["", "8", "0", "banana"])
def test_older_websocket_drafts_are_refused(target: tuple[HubProcess, Listener], version: str) -> None:
    hub, _ = target
    origin = f"http://127.0.0.1:{hub.port}"
    sock = upgrade(hub, **{"Sec-WebSocket-Version": version, "Origin": origin})
    assert sock.recv(4096).startswith(b"HTTP/1.1 400")
    sock.close()


def test_an_upgrade_without_its_connection_header_is_a_400(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    sock = upgrade(hub, Connection="keep-alive")
    assert sock.recv(4096).startswith(b"HTTP/1.1 400")
    sock.close()


def test_compression_is_not_accepted(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    sock = upgrade(hub, **{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    head = sock.recv(4096).split(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 101")
    assert b"extensions" not in head.lower()
    sock.close()


def test_events_named_as_the_hubs_own_do_nothing(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    clients = hub.health()["clients"]
    listener = Listener(hub.url, ["websocket"])
    ticks = listener.events["ticker_update"]
    eventually(lambda: len(ticks) > 400)
    listener.client.emit("connect", {})
    listener.client.emit("disconnect", {})
    count = len(ticks)
    eventually(lambda: len(ticks) > count + 1000)
    listener.close()
    ids = [(tick["crypto"], tick["trade_id"]) for tick in ticks]
    assert len(ids) == len(set(ids))
    eventually(lambda: hub.health()["clients"] <= clients)


def test_a_chunked_body_is_read_and_capped(target: tuple[HubProcess, Listener]) -> None:
    hub, bystander = target

    def post(*chunks: bytes) -> requests.Response:
        return requests.post(hub.url + "/alert", data=iter(chunks), timeout=5)

    assert post(b'{"chunked":', b"true}").status_code == 200
    eventually(lambda: {"chunked": True} in bystander.events["trade_update"])
    assert post(b'{"a":"', *[b"x" * 1024] * 17, b'"}').status_code == 413
    assert post(b'{"a":1}', *[b" " * 1024] * 17).status_code == 413
    assert post(b"nonsense").status_code == 400


def test_a_snapshot_larger_than_the_buffer_still_arrives(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(
        simulator=["--products", "900", "--rate", "50"], CLIENT_BUFFER_BYTES="262144", PRODUCTS_PER_CONNECTION="100"
    )
    hub.wait_until_covered()
    listener = Listener(hub.url, ["websocket"])
    eventually(lambda: len({tick["crypto"] for tick in listener.events["ticker_update"]}) == 900)
    count = len(listener.events["ticker_update"])
    eventually(lambda: len(listener.events["ticker_update"]) > count + 50)
    assert listener.connects == 1
    listener.close()
