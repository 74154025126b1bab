"""One client of the Engine.IO server, without a server: who writes when, what ends it, what is refused."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from engineio import exceptions, packet
from engineio.async_drivers import threading as _driver  # noqa: F401 - what "threading" below stands for

from hub.fanout.batch import TICK, Batch, Control, Message
from hub.fanout.broadcast import CutReason, Fanout
from hub.fanout.client import ANSWERS_PART, MAX_POLLING_PACKETS, ClientSocket
from hub.fanout.engine import HubEngine
from hub.fanout.farewell import LAST_SECONDS, send_away
from hub.fanout.limits import BURST_SECONDS, Limits
from hub.wire import close_frame, text_frame
from tests.conftest import eventually

LIMIT = 10_000


def batch_of(*numbers: int, product: str = "A-USD", filling: int = 0) -> Batch:
    text = "x" * filling
    return Batch(Message(TICK, f'{{"n":{number},"text":"{text}"}}', product) for number in numbers)


def numbers(packets: list[packet.Packet]) -> list[int]:
    return [json.loads(pkt.data[1:])[1]["n"] for pkt in packets]


def joined(client: ClientSocket) -> Fanout:
    """Return a fan-out that has let the client in."""
    fanout = Fanout(0.0)
    fanout.add("sid", client)
    client._waiting = True  # as a poll does; one that never polls is kept nothing
    fanout._step()
    client._waiting = False
    assert fanout.client_count == 1
    return fanout


def publish(fanout: Fanout, number: int) -> None:
    fanout.publish(TICK, f'{{"n":{number}}}', "A-USD")
    fanout.flush()


@pytest.fixture
def engine() -> HubEngine:
    engine = HubEngine(async_mode="threading")
    engine.limits = Limits(buffer_bytes=LIMIT, events_per_second=10.0)
    return engine


@pytest.fixture
def client(engine: HubEngine) -> ClientSocket:
    engine.sockets["sid"] = ClientSocket(engine, "sid", "203.0.113.1")
    return engine.sockets["sid"]


class Peer:
    """The other end of a client's WebSocket: small buffers, and it reads when told to."""

    def __init__(self, client: ClientSocket) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        ours.setblocking(False)
        self.theirs.settimeout(0.2)
        self.ours = ours
        client._ws = SimpleNamespace(
            socket=SimpleNamespace(fd=ours, shutdown=ours.shutdown, setsockopt=ours.setsockopt)
        )
        client._send = ours.send
        client.connected = client.upgraded = client._writable = True

    def read(self) -> bytes:
        """Return what is there now, and the rest if the end is."""
        data = b""
        with contextlib.suppress(TimeoutError):
            while found := self.theirs.recv(65_536):
                data += found
        return data

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def peer(client: ClientSocket) -> Iterator[Peer]:
    peer = Peer(client)
    yield peer
    peer.close()


def in_thread(function: Callable[[], Any]) -> queue.Queue[Any]:
    """Call it on a thread; return where its result, or what it raised, will be."""
    result: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            result.put(function())
        except Exception as error:  # noqa: BLE001 - it is the result
            result.put(error)

    threading.Thread(target=run, daemon=True).start()
    return result


# -- a client that polls -------------------------------------------------------------------------------


def test_a_polling_answer_holds_at_most_16_packets_and_loses_none(client: ClientSocket) -> None:
    assert MAX_POLLING_PACKETS == 16
    for start in (0, 40):
        assert client.offer(batch_of(*range(start, start + 40)), 0.0)
    answers = [client.poll() for _ in range(5)]
    assert [len(answer) for answer in answers] == [16] * 5
    assert numbers([pkt for answer in answers for pkt in answer]) == list(range(80))
    assert client.outbox.pending_bytes == 0


@pytest.mark.parametrize("size", [10, 2 * LIMIT], ids=["small", "larger than the limit"])
def test_a_waiting_poll_is_answered_as_soon_as_there_is_something(client: ClientSocket, size: int) -> None:
    answer = in_thread(client.poll)
    eventually(lambda: client._waiting, 5, 0.001)
    assert client.offer(batch_of(7, filling=size), 0.0)
    assert numbers(answer.get(timeout=2)) == [7]


def test_a_second_poll_at_the_same_time_is_refused(client: ClientSocket) -> None:
    answer = in_thread(client.poll)
    eventually(lambda: client._waiting, 5, 0.001)
    with pytest.raises(exceptions.EngineIOError, match="another poll"):
        client.poll()
    client.send(packet.Packet(packet.PING))
    assert [pkt.encode() for pkt in answer.get(timeout=2)] == ["2"]


def test_nothing_leaves_by_polling_while_it_upgrades(client: ClientSocket) -> None:
    answer = in_thread(client.poll)
    eventually(lambda: client._waiting, 5, 0.001)
    client.upgrading = True
    client.offer(batch_of(1), 0.0)
    assert [pkt.packet_type for pkt in answer.get(timeout=2)] == [packet.NOOP]
    assert [pkt.packet_type for pkt in client.poll()] == [packet.NOOP]
    client.upgrading = False
    assert numbers(client.poll()) == [1]


def test_a_poll_ends_with_its_session(client: ClientSocket) -> None:
    answer = in_thread(client.poll)
    eventually(lambda: client._waiting, 5, 0.001)
    client.close(wait=False, abort=True)
    assert [pkt.encode() for pkt in answer.get(timeout=2)] == ["6"]


def test_a_poll_that_nothing_answers_ends_with_the_error_that_the_base_class_knows(client: ClientSocket) -> None:
    client.server.ping_interval, client.server.ping_timeout = 0.01, 0.01
    with pytest.raises(exceptions.QueueEmpty):
        client.poll()


def test_who_polls_too_seldom_gets_the_latest_and_is_told(client: ClientSocket) -> None:
    fanout = joined(client)
    for number in range(1_000):
        publish(fanout, number)
    packets = []
    while client.outbox.pending_bytes or client.outbox.lagging or client.outbox._packets:
        packets += client.poll()
    bodies = [json.loads(pkt.data[1:]) for pkt in packets]
    got = [body["n"] for event, body in bodies if event == TICK]
    (lag,) = [body for event, body in bodies if event == "lag"]
    assert got == sorted(set(got))
    assert got[-1] == 999
    assert len(got) + lag["conflated"] == 1_000


# -- a WebSocket ---------------------------------------------------------------------------------------


def test_who_reads_is_written_to_at_once(client: ClientSocket, peer: Peer) -> None:
    batch = batch_of(1, 2)
    assert client.offer(batch, 0.0)
    assert client.outbox.pending_bytes == 0
    client.send(packet.Packet(packet.PING))
    assert peer.read() == batch.frames + text_frame(b"2")


def test_nothing_comes_between_the_parts_of_a_frame(client: ClientSocket, peer: Peer) -> None:
    first, second = batch_of(1, filling=LIMIT - 100), batch_of(2)
    assert client.offer(first, 0.0)
    assert 0 < client.outbox.pending_bytes < len(first.frames)
    client.send(packet.Packet(packet.PING))
    client.offer(second, 0.0)
    data = peer.read()
    while client.outbox.pending_bytes:
        client._write_some()
        data += peer.read()
    assert data in (
        first.frames + text_frame(b"2") + second.frames,
        first.frames + second.frames + text_frame(b"2"),
    )  # fmt: skip


def test_a_snapshot_fits_whatever_its_size(client: ClientSocket, peer: Peer) -> None:
    snapshot = batch_of(*range(100), filling=1_000)
    assert client.welcome(snapshot, 0.0)
    assert client.outbox.limit_bytes == 2 * len(snapshot.frames)
    assert not client.outbox.lagging
    assert peer.read()
    client._ws = None


def test_a_small_snapshot_leaves_the_limit_as_it_is(client: ClientSocket) -> None:
    assert client.welcome(batch_of(1), 0.0)
    assert client.welcome(Batch([]), 0.0)
    assert client.outbox.limit_bytes == LIMIT


def test_a_socket_that_is_gone_is_no_error_and_no_client_any_more(client: ClientSocket, peer: Peer) -> None:
    peer.theirs.close()
    assert not client.offer(batch_of(1), 0.0)
    client.send(packet.Packet(packet.PING))  # its reader ends it


def test_after_its_end_nothing_more_is_written(client: ClientSocket, peer: Peer) -> None:
    client._stop_writing()
    client.offer(batch_of(1), 0.0)
    assert peer.read() == b""
    client.close(abort=True)
    assert not client.offer(batch_of(1), 0.0)
    assert not client.welcome(Batch([]), 0.0)


def test_a_writer_that_starts_after_the_end_ends(client: ClientSocket) -> None:
    client.upgraded = True
    assert client.poll() == []


def test_a_restart_is_told_last(client: ClientSocket, peer: Peer) -> None:
    client.upgraded = True
    client.outbox.put(Control(packet.Packet(packet.MESSAGE, "x" * (LIMIT // 2))))
    fanout = joined(client)
    for number in range(1_000):
        publish(fanout, number)
    fanout.publish("hub_stopping", '{"n":0}')
    fanout.flush()
    assert client.outbox.lagging
    data = b""
    while not client.leave():
        client._write_some()
        data += peer.read()
        assert not client.offer(batch_of(1), 0.0), "nothing may follow the close frame"
    data += peer.read()
    assert data.endswith(close_frame(1012))
    assert text_frame(b'42["hub_stopping",{"n":0}]') in data
    assert peer.theirs.recv(1) == b""  # the end
    assert client.leave()


def test_who_does_not_read_is_given_up_at_a_restart(
    client: ClientSocket, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    client.upgraded = True
    client.offer(batch_of(1, filling=LIMIT - 100), 0.0)
    assert not client.leave()
    client.cut_leaving()
    assert "was not told of the stop" in caplog.text
    peer.read()
    assert peer.theirs.recv(1) == b""


def test_a_restart_ends_a_waiting_poll_and_the_session(engine: HubEngine, client: ClientSocket) -> None:
    answer = in_thread(client.poll)
    eventually(lambda: client._waiting, 5, 0.001)
    assert client.leave()
    assert [pkt.packet_type for pkt in answer.get(timeout=2)] == [packet.NOOP]
    assert engine.sockets == {}, "the next poll is refused, so that the client comes back"


def test_who_polls_gets_what_is_queued_before_its_session_ends(engine: HubEngine, client: ClientSocket) -> None:
    client.offer(batch_of(*range(MAX_POLLING_PACKETS + 1)), 0.0)
    assert not client.leave()
    assert len(client.poll()) == MAX_POLLING_PACKETS
    assert not client.leave()
    assert numbers(client.poll()) == [MAX_POLLING_PACKETS]
    assert client.leave()
    assert engine.sockets == {}


def test_who_upgrades_is_sent_away_as_a_websocket(client: ClientSocket, peer: Peer) -> None:
    client.upgrading, client._writable = True, False
    assert not client.leave()
    client.upgrading, client.upgraded, client._writable = False, True, True
    assert client.leave()
    assert peer.read() == close_frame(1012)


class Leaving:
    """A client that is gone once it was asked so often; never, if that is None."""

    def __init__(self, times: int | None = 1) -> None:
        self.times = times
        self.asked_at: list[float] = []
        self.was_cut = False

    def leave(self) -> bool:
        self.asked_at.append(time.monotonic())
        return self.times is not None and len(self.asked_at) >= self.times

    def cut_leaving(self) -> None:
        self.was_cut = True


def test_clients_are_sent_away_spread_over_the_time(engine: HubEngine) -> None:
    clients = [Leaving(1 + number % 2) for number in range(100)]
    engine.sockets.update({str(number): client for number, client in enumerate(clients)})  # type: ignore[misc]
    begun = time.monotonic()
    send_away(engine, 1.0, lambda: False)
    took = time.monotonic() - begun
    assert 1.0 <= took < 1.5
    moments = [client.asked_at[0] - begun for client in clients]
    assert all(sum(quarter <= 4 * moment < quarter + 1 for moment in moments) >= 10 for quarter in range(4))
    assert moments != sorted(moments), "in no order that they could have in common"
    assert not any(client.was_cut for client in clients)


@pytest.mark.parametrize("hurried_after", [0.0, 0.2])
def test_who_is_hurried_sends_all_away_at_once_and_waits_a_second_for_the_last(
    engine: HubEngine, hurried_after: float
) -> None:
    clients = [*(Leaving() for _ in range(20)), Leaving(None)]
    engine.sockets.update({str(number): client for number, client in enumerate(clients)})  # type: ignore[misc]
    begun = time.monotonic()
    send_away(engine, 30.0, lambda: time.monotonic() - begun >= hurried_after)
    assert time.monotonic() - begun < hurried_after + LAST_SECONDS + 0.5
    assert [client.was_cut for client in clients] == [False] * 20 + [True]


# -- the end -------------------------------------------------------------------------------------------


def test_a_cut_is_counted_once_and_tells_who_reads_why(
    client: ClientSocket, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = []
    client.server.on("disconnect", lambda sid, reason: reasons.append((sid, reason)))
    for _ in range(3):
        client.cut(CutReason.TOO_MANY_EVENTS)
    assert client.server.counters == {"cut_too_many_events": 1}
    assert "code=4002 reason=too_many_events" in caplog.text
    assert reasons == [("sid", "transport error")]
    assert client.server.sockets == {}
    assert peer.read() == close_frame(4002, "too_many_events")
    assert peer.theirs.recv(1) == b""


def test_who_asks_and_does_not_read_is_cut(client: ClientSocket) -> None:
    answer = packet.Packet(packet.MESSAGE, "x" * 1_000)
    sent = 0
    while not client.closed:
        client.write(Control(answer))
        sent += 1
    assert ANSWERS_PART * LIMIT < sent * 1_005 < ANSWERS_PART * LIMIT + 3_000
    assert client.server.counters == {"cut_not_reading": 1}


def test_too_many_packets_of_any_kind_end_their_sender(client: ClientSocket) -> None:
    handled = []
    client.server.on("message", lambda _, data: handled.append(data))
    burst = int(client.server.limits.events_per_second * BURST_SECONDS)
    for number in range(burst // 2):
        client.receive(packet.Packet(packet.MESSAGE, f"2{number}"))
    assert not client.closed
    for _ in range(burst):
        if not client.closed:
            client.receive(packet.Packet(packet.PONG))
    assert client.closed
    assert client.server.counters == {"cut_too_many_events": 1}
    with pytest.raises(exceptions.SocketIsClosedError):
        client.receive(packet.Packet(packet.MESSAGE, "2x"))
    assert handled == [f"2{number}" for number in range(burst // 2)]


@pytest.mark.parametrize("data", [b"\x01", '51-["spike_alert",{"_placeholder":true,"num":0}]', "61-1[]"])
def test_binary_events_end_their_sender(client: ClientSocket, data: str | bytes) -> None:
    client.server.on("message", lambda *_: pytest.fail("it was handled"))
    client.receive(packet.Packet(packet.MESSAGE, data))
    assert client.closed
    assert client.server.counters == {"bad_packets": 1, "cut_bad_packet": 1}


def test_a_ping_passes_what_waits(client: ClientSocket, peer: Peer) -> None:
    assert client.offer(batch_of(1, filling=LIMIT - 100), 0.0)  # more than the socket takes
    assert client.offer(batch_of(2), 0.0)
    client.send(packet.Packet(packet.PING))
    assert client.outbox.pending_bytes
    data = b""
    while client._write_some() or client.outbox.pending_bytes:
        data += peer.read()
    data += peer.read()
    ping, second = data.index(text_frame(b"2")), data.index(batch_of(2).frames)
    assert ping == len(batch_of(1, filling=LIMIT - 100).frames)
    assert ping < second


def test_a_ping_of_a_polling_client_passes_what_waits(client: ClientSocket) -> None:
    assert client.offer(batch_of(*range(40)), 0.0)
    client.poll()
    client.send(packet.Packet(packet.PING))
    assert client.poll()[0].packet_type == packet.PING


def test_who_goes_silent_is_counted(client: ClientSocket) -> None:
    client.last_ping = time.time() - client.server.ping_timeout - 1
    client.send(packet.Packet(packet.MESSAGE, "2[]"))
    assert client.closed
    assert client.server.counters == {"cut_ping_timeout": 1}


def test_a_session_that_is_over_has_its_socket_cut(
    client: ClientSocket, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.fanout.client.LINGER_SECONDS", 0.01)
    client.close()
    deadline = time.monotonic() + 5
    while peer.theirs.recv(4_096):  # the close packet, then the end
        assert time.monotonic() < deadline


def test_a_message_that_cannot_be_understood_ends_its_sender(client: ClientSocket) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no packet")

    client.server.on("message", fail)
    client.receive(packet.Packet(packet.MESSAGE, "?"))
    assert client.closed
    assert client.server.counters == {"bad_packets": 1, "cut_bad_packet": 1}


def test_a_fan_out_forgets_a_client_that_has_ended(client: ClientSocket) -> None:
    fanout = joined(client)
    client.close(abort=True)
    publish(fanout, 1)
    assert fanout.client_count == 0


# -- who is let in -------------------------------------------------------------------------------------


def connect(engine: HubEngine, address: str, **environ: str) -> tuple[str, str]:
    """Ask for a polling session; return the status and the answer."""
    seen: list[str] = []
    body = engine.handle_request(
        {
            "REQUEST_METHOD": "GET", "QUERY_STRING": "EIO=4&transport=polling", "REMOTE_ADDR": address,
            "HTTP_HOST": "h", "wsgi.url_scheme": "http", **environ,
        },
        lambda status, headers: seen.extend([status, *map(str, headers)]),
    )  # fmt: skip
    return seen[0], b"".join(body).decode()


@pytest.fixture
def open_engine(engine: HubEngine) -> HubEngine:
    engine.start_service_task = False
    engine.cors_allowed_origins = []
    return engine


def test_clients_are_limited_and_one_that_leaves_makes_room(open_engine: HubEngine) -> None:
    open_engine.limits = Limits(clients=2)
    sids = [json.loads(connect(open_engine, "a")[1][1:])["sid"] for _ in range(2)]
    for _ in range(2):
        assert connect(open_engine, "a") == ("503 SERVICE UNAVAILABLE", '{"error":"too_many_clients"}')
    assert open_engine.counters == {"refused_too_many_clients": 2}
    open_engine.sockets[sids[0]].close(abort=True)
    assert connect(open_engine, "a")[0] == "200 OK"


def test_clients_of_an_address_are_limited_and_proxies_speak_for_them(open_engine: HubEngine) -> None:
    open_engine.limits = Limits(clients_per_ip=1, trusted_proxies=[ipaddress.ip_network("10.0.0.0/8")])
    assert connect(open_engine, "10.0.0.1", HTTP_X_FORWARDED_FOR="1.1.1.1")[0] == "200 OK"
    assert connect(open_engine, "10.0.0.1", HTTP_X_FORWARDED_FOR="2.2.2.2")[0] == "200 OK"
    refused = connect(open_engine, "10.0.0.2", HTTP_X_FORWARDED_FOR="1.1.1.1")
    assert refused == ("503 SERVICE UNAVAILABLE", '{"error":"too_many_clients_of_ip"}')
    assert connect(open_engine, "9.9.9.9", HTTP_X_FORWARDED_FOR="3.3.3.3")[0] == "200 OK"
    assert connect(open_engine, "9.9.9.9", HTTP_X_FORWARDED_FOR="4.4.4.4")[0].startswith("503")
    assert open_engine.counters == {"refused_too_many_clients_of_ip": 2}


def test_a_network_of_ipv6_is_one_address(open_engine: HubEngine) -> None:
    open_engine.limits = Limits(clients_per_ip=1)
    assert connect(open_engine, "2001:db8::1")[0] == "200 OK"
    assert connect(open_engine, "2001:db8::2")[0].startswith("503")
    assert connect(open_engine, "2001:db8:0:1::1")[0] == "200 OK"


def test_a_request_for_an_ended_session_is_a_400(open_engine: HubEngine) -> None:
    sid = json.loads(connect(open_engine, "a")[1][1:])["sid"]
    open_engine.sockets[sid].cut(CutReason.TOO_MANY_EVENTS)
    for method in ("GET", "POST"):
        status, body = connect(
            open_engine, "a", REQUEST_METHOD=method, QUERY_STRING=f"EIO=4&transport=polling&sid={sid}"
        )
        assert (status, "Invalid session" in body) == ("400 BAD REQUEST", True)
