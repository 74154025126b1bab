"""Clients that mean harm, or are broken: they end, alone, and leave nothing behind."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hub import green
from tests.conftest import ROOT, HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.support.gunicorn_hub import GunicornHub, gunicorn_hubs

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
    ids: defaultdict[str, list[int]] = defaultdict(list)
    for tick in bystander.events["ticker_update"]:
        ids[tick["crypto"]].append(tick["trade_id"])
    # what came late, or was fetched, is told by another event
    late = {(tick["crypto"], tick["trade_id"]) for tick in bystander.events["trade_backfill"]}
    for product, seen in ids.items():
        assert seen == sorted(set(seen)), product
        missing = set(range(seen[0], seen[-1])) - set(seen)
        assert not [trade_id for trade_id in missing if (product, trade_id) not in late], product
    assert "Traceback" not in hub.log()


@pytest.fixture(scope="module", params=["app", "gunicorn"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HubProcess | GunicornHub]:
    """The hub under each of the two servers."""
    if request.param == "app":
        yield request.getfixturevalue("target")[0]
        return
    with gunicorn_hubs(tmp_path_factory.mktemp("gunicorn")) as start:
        hub = start(["--products", "5", "--rate", "20"])
        yield hub
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


def answers(hub: HubProcess, data: bytes, wait: float = 5.0) -> bytes:
    """Send bytes; return all that comes until the server ends the connection, or for so long."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=wait) as sock:
        sock.sendall(data)
        received = b""
        with contextlib.suppress(OSError):
            while data := sock.recv(65_536):
                received += data
        return received


POST = b"POST /alert HTTP/1.1\r\nHost: x\r\n"
SIZES = (b"0x2", b"+2", b"0_2", b" 2", b"2 ", b"-2", b"", b"2\r;x")  # of a chunk
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
INNER = b"GET /dashboard HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"  # what is smuggled in


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        b"Content-Length: 2, 40\r\n\r\n{}",
        b"Content-Length: +2\r\n\r\n{}",
        b"Content-Length: 1_0\r\n\r\n{}",
        b"Content-Length: -2\r\n\r\n",
        b"Content-Length: 0x2\r\n\r\n{}",
        b"Content-Length : 2\r\n\r\n{}",
        b" Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"X: y\r\n Content-Length: 2\r\n\r\n{}",
        b"no header\r\nContent-Length: 2\r\n\r\n{}",
        b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: y\r\rY: z\r\nContent-Length: 2\r\n\r\n{}",
        b"X: y\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: 2\r\n\n{}",
        b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
        *(CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n" for size in SIZES),
        CHUNKED + b"2\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
        CHUNKED + b"3\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_a_body_can_not_be_made_a_request(server: HubProcess, head: bytes) -> None:
    unknown_to_gunicorn = b"xchunked" in head and not isinstance(server, HubProcess)
    refused_alone(answers(server, POST + head + INNER), b"501" if unknown_to_gunicorn else b"400")


def refused_alone(received: bytes, status: bytes = b"400") -> None:
    assert received.startswith(b"HTTP/1.")
    assert received.split(b" ")[1] == status
    assert received.count(b"HTTP/1.") == 1, "the inner request was not answered"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health\r\n",
        b"GET /health\r\nHost: x\r\n\r\n",
        b"get /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.10\r\nHost: x\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /alert HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"0\r\n\r\n",
    ],
)
def test_what_is_no_request_of_today_is_refused(server: HubProcess, head: bytes) -> None:
    refused_alone(answers(server, head + INNER))


def test_a_polling_message_that_was_cut_off_is_none(server: HubProcess) -> None:
    url = server.url + "/socket.io/?EIO=4&transport=polling"
    sid = json.loads(requests.get(url, timeout=5).text[1:])["sid"]
    assert requests.post(f"{url}&sid={sid}", data="40", timeout=5).status_code == 200
    body = b'42["spike_alert",{"cut":"off"}]'
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        head = f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
        sock.sendall(head.encode() + body)
        sock.shutdown(socket.SHUT_WR)
        refused_alone(b"".join(iter(lambda: sock.recv(4_096), b"")))
    requests.post(f"{url}&sid={sid}", data='42["spike_alert",{"whole":1}]', timeout=5)
    seen = ""
    while "whole" not in seen:
        seen += requests.get(f"{url}&sid={sid}", timeout=5).text
    assert "off" not in seen


@pytest.mark.parametrize("depth", [33, 255, 2_000])
def test_json_that_is_deep_is_refused(server: HubProcess, depth: int) -> None:
    body = '{"a":' * depth + "1" + "}" * depth
    assert requests.post(server.url + "/alert", data=body, timeout=5).status_code == 400
    assert requests.post(server.url + "/priority-pairs", data=body, timeout=5).status_code == 400
    assert requests.post(server.url + "/alert", data='{"a":' * 7 + "1" + "}" * 7, timeout=5).status_code == 200


@pytest.mark.parametrize("path", ["/price/%zz%00%ff", "/price/\x00x", "/static/../app.py", "/static/%2e%2e/app.py",
                                  "/static//etc/passwd", "//evil.example/", "/%F0%9F%92%A9", "/a?b=%&c=%00", "/;/",
                                  "/price/" + "%41" * 2_000])  # fmt: skip
def test_odd_paths_are_not_found(target: tuple[HubProcess, Listener], path: str) -> None:
    hub, _ = target
    received = answers(hub, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert received.split(b" ")[1] in (b"404", b"400", b"308")
    assert b"import" not in received


def test_requests_in_a_row_are_answered_in_their_order(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    requests_sent = [b"GET /price/X%d-USD HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50)]
    received = answers(hub, b"".join(requests_sent) + INNER)
    assert [int(number) for number in re.findall(rb"Symbol X(\d+)-USD", received)] == list(range(50))
    assert received.count(b"HTTP/1.1 ") == 51


@pytest.mark.parametrize(
    "piece",
    [b"400\r\n" + b"x" * 1024 + b"\r\n", b"1\r\nx\r\n", b"f" * 1024, b"1;" + b"x" * 1024, b"-1\r\n"],
    ids=["chunks", "chunks of a byte", "a size without an end", "an extension without an end", "less than nothing"],
)
def test_a_body_without_an_end_is_given_up(target: tuple[HubProcess, Listener], piece: bytes) -> None:
    hub, _ = target
    before, sent = resident_mb(hub), 0
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as sock:
        sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while sent < 50_000_000:
                sock.sendall(piece * 100)
                sent += len(piece) * 100
    assert sent < 50_000_000
    assert resident_mb(hub) - before < 16


def test_a_websocket_without_a_key_is_refused(target: tuple[HubProcess, Listener]) -> None:
    hub, _ = target
    sock = upgrade(hub, **{"Sec-WebSocket-Key": ""})
    assert sock.recv(4096).startswith(b"HTTP/1.1 400")
    sock.close()


def test_a_thousand_half_open_connections_starve_nobody(target: tuple[HubProcess, Listener]) -> None:
    hub, bystander = target
    green.raise_descriptor_limit()
    before, count = descriptors(hub), len(bystander.events["ticker_update"])
    with contextlib.ExitStack() as stack:
        for number in range(1_000):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", hub.port), timeout=5))
            sock.sendall((b"", b"GET / HTTP/1.1\r\nHost:", POST + b"Content-Length: 9\r\n\r\n{")[number % 3])
        took = [hub.get("/health").elapsed.total_seconds() for _ in range(20)]
        assert sorted(took)[10] < 0.5
        eventually(lambda: len(bystander.events["ticker_update"]) > count + 500)
    eventually(lambda: descriptors(hub) <= before + 5, 10)


def test_nobody_filled_the_log(target: tuple[HubProcess, Listener]) -> None:
    """Of each reason one line a second at most: a line's text without what differs from client to client."""
    hub, _ = target
    seconds: Counter[str] = Counter()
    for line in hub.log().splitlines():
        if found := re.match(r"(\S+ \S+),\d+ (WARNING|ERROR) (\S+) (.*)", line):
            text = re.sub(r"\S*\d\S*|client=\S+", "", found[4].split(" (and ")[0])
            seconds[f"{found[1]} {found[3]} {text}"] += 1
    # by the clock's seconds, in which two of a second apart may fall
    assert all(count <= 2 for count in seconds.values()), seconds.most_common(3)


def test_out_of_descriptors_it_waits_and_serves_on(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "20"])
    hub.wait_until_covered()
    received = hub.health()["total_messages_received"]
    held = descriptors(hub)
    resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, (held + 20, held + 20))
    crowd = [socket.create_connection(("127.0.0.1", hub.port), timeout=5) for _ in range(60)]
    eventually(lambda: "descriptors or connections are short" in hub.log())
    assert hub.get("/health/live").status_code == 200
    for sock in crowd:
        sock.close()
    assert eventually(lambda: hub.health()["total_messages_received"] > received + 50, 15)
    assert hub.terminate() == 0


SERVER = """
from hub import green
green.patch()
from hub import green_http
green_http.KEEPALIVE_SECONDS = green_http.HEADER_TIMEOUT_SECONDS = green_http.BODY_TIMEOUT_SECONDS = 0.6
green_http.DISCARD_SECONDS = 0.6
def app(environ, start_response):
    try:
        body = environ["wsgi.input"].read()
    except OSError:
        body = b"too slow"
    start_response("200 OK", [])
    return [body]
sock = green.listen("127.0.0.1", 0)
print(sock.getsockname()[1], flush=True)
green.serve(sock, app)
"""


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"", b"G"), (b"GET / HTTP/1.1\r\n", b"X: y\r\n"), (POST + b"Content-Length: 99\r\n\r\n", b"x"),
     (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")],
    ids=["request line", "headers", "body", "chunks"],
)  # fmt: skip
def test_who_sends_a_byte_now_and_then_is_cut_off(head: bytes, drop: bytes) -> None:
    """The deadlines are over whole parts: here of 0.6 s, with a byte each 0.1 s."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port, begun = int(server.stdout.readline()), time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=0.1) as sock, contextlib.suppress(OSError):
            sock.sendall(head)
            while time.monotonic() - begun < 8:
                sock.sendall(drop)
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(4_096):
                        break
        assert 0.5 < time.monotonic() - begun < 5
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


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
