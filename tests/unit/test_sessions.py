"""Who is let in and who has to go: places of sessions that join nothing, budgets of addresses, the sweep."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from engineio import exceptions, packet
from engineio.async_drivers import threading as _driver  # noqa: F401 - what "threading" below stands for

from hub.fanout import engine as engine_module
from hub.fanout import limits as limits_module
from hub.fanout.batch import TICK, Batch, Control, Message
from hub.fanout.client import STUCK_SECONDS, UPGRADE_SECONDS, ClientSocket
from hub.fanout.engine import HubEngine
from hub.fanout.limits import ADDRESS_PART, BURST_SECONDS, Budgets, Limits, who
from hub.fanout.pulse import FAIR_ANSWERS_BYTES, LATE_SECONDS, MAX_ANSWERS_BYTES
from hub.fanout.session import JOIN_SECONDS, LINGER_SECONDS, UNJOINED_BYTES

TICKS = Batch([Message(TICK, '{"n":1}', "A-USD")])


@pytest.fixture
def engine() -> HubEngine:
    engine = HubEngine(async_mode="threading", cors_allowed_origins=[])
    engine.start_service_task = False
    return engine


def connect(engine: HubEngine, address: str = "192.0.2.1", **environ: str) -> tuple[str, str]:
    """Ask for a polling session; return the status, and the session's id or the error."""
    seen: list[str] = []
    body = engine.handle_request(
        {
            "REQUEST_METHOD": "GET", "QUERY_STRING": "EIO=4&transport=polling", "REMOTE_ADDR": address,
            "HTTP_HOST": "h", "wsgi.url_scheme": "http", **environ,
        },
        lambda status, _: seen.append(status),
    )  # fmt: skip
    text = b"".join(body).decode()
    return seen[0][:3], json.loads(text[1:])["sid"] if seen[0] == "200 OK" else json.loads(text)["error"]


def session(engine: HubEngine, joined: bool = False, address: str = "192.0.2.1") -> ClientSocket:
    status, sid = connect(engine, address)
    assert status == "200"
    client = engine.sockets[sid]
    if joined:
        client.join()
    return client


# -- counted -------------------------------------------------------------------------------------------


def test_sessions_of_an_address_are_counted_however_they_end(engine: HubEngine) -> None:
    ends: list[Callable[[ClientSocket], Any]] = [
        lambda client: client.close(abort=True), lambda client: engine.disconnect(client.sid),
        lambda client: client.leave(), lambda client: client.cut_leaving(),
    ]  # fmt: skip
    for end in ends:
        client = session(engine)
        assert engine.sockets.of_address == {"192.0.2.1": 1}
        assert list(engine.sockets.newcomers) == [client.sid]
        end(client)
        assert (engine.sockets.of_address, engine.sockets.newcomers) == ({}, {})
    with pytest.raises(KeyError):
        del engine.sockets["nobody"]
    assert engine.sockets.pop("nobody", None) is None


def test_a_handshake_looks_at_no_other_client(engine: HubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.limits = Limits(clients=10_000, clients_per_ip=1)
    for number in range(3_000):
        session(engine, joined=True, address=f"2001:db8:0:{number:x}::1")
    looked: list[str] = []
    monkeypatch.setattr(engine_module, "who", lambda address: looked.append(address) or who(address))
    assert connect(engine, "2001:db8:0:5::2") == ("503", "too_many_clients_of_ip")
    assert looked == ["2001:db8:0:5::2"]


# -- joining -------------------------------------------------------------------------------------------


def test_those_that_join_nothing_take_no_place_of_clients(engine: HubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "MIN_NEWCOMERS", 2)
    engine.limits = Limits(clients=10)
    oldest, other = session(engine), session(engine)
    assert connect(engine) == ("503", "too_many_clients"), "both had no chance to join yet"
    oldest.newcomer_since -= 1
    third = session(engine)
    assert (oldest.closed, other.closed, third.closed) == (True, False, False)
    assert engine.counters["cut_not_joined"] == 1
    other.join()
    third.join()
    for _ in range(2):
        session(engine, joined=True)
    assert engine.sockets.joined_count == 4
    assert Limits(clients=50_000).newcomers == 5_000


def test_the_last_place_is_taken_once(engine: HubEngine) -> None:
    engine.limits = Limits(clients=2)
    first, second = session(engine), session(engine)
    first.join()
    first.join()
    third = session(engine)
    second.join()
    assert connect(engine) == ("503", "too_many_clients")
    third.join()
    assert third.closed
    assert engine.counters["cut_no_place"] == 1
    first.close(abort=True)
    assert connect(engine)[0] == "200"


def test_who_joins_nothing_is_ended_and_who_has_joined_stays(engine: HubEngine) -> None:
    newcomer, client = session(engine), session(engine, joined=True)
    now = time.monotonic()
    engine.pulse.step(now + 2)
    engine.pulse.step(now + JOIN_SECONDS - 1)
    assert not newcomer.closed
    engine.pulse.step(now + JOIN_SECONDS + 1)
    assert (newcomer.closed, client.closed) == (True, False)
    client.left()
    assert list(engine.sockets.newcomers) == [client.sid]
    engine.pulse.step(now + JOIN_SECONDS + 4)
    engine.pulse.step(now + JOIN_SECONDS + 6)
    assert client.closed
    assert engine.counters["cut_not_joined"] == 2


def test_who_was_refused_may_read_why_and_try_nothing_more(engine: HubEngine) -> None:
    reader, eager = session(engine), session(engine)
    for client in (reader, eager):
        client.send(packet.Packet(packet.MESSAGE, '4{"message":"no"}'))
        client.refuse()
    assert [pkt.encode() for pkt in reader.poll()] == ['44{"message":"no"}']
    engine.on("message", lambda *_: pytest.fail("it was handled"))
    eager.receive(packet.Packet(packet.MESSAGE, "0"))
    assert eager.closed
    reader.receive(packet.Packet(packet.PONG))
    assert not reader.closed
    engine.pulse.step(time.monotonic() + LINGER_SECONDS + 0.1)
    assert reader.closed


# -- budgets -------------------------------------------------------------------------------------------


def test_an_address_has_a_budget_of_handshakes(engine: HubEngine) -> None:
    engine.limits = Limits(handshakes_per_second=1.0)
    for _ in range(int(BURST_SECONDS)):
        session(engine).close(abort=True)
    assert connect(engine) == ("503", "too_many_handshakes")
    assert connect(engine, "192.0.2.2")[0] == "200"
    assert engine.counters["refused_too_many_handshakes"] == 1


def test_coming_again_brings_no_new_budget_of_events(engine: HubEngine) -> None:
    engine.limits = Limits(events_per_second=1.0)
    taken = 0
    for _ in range(3 * ADDRESS_PART):
        client = session(engine)
        while not client.closed:
            client.receive(packet.Packet(packet.PONG))
            taken += 1
    assert taken <= ADDRESS_PART * BURST_SECONDS + 3 * ADDRESS_PART + 5
    other = session(engine, address="192.0.2.2")
    other.receive(packet.Packet(packet.PONG))
    assert not other.closed


def test_budgets_are_bounded_and_the_one_used_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "MAX_ADDRESSES", 3)
    budgets = Budgets(1.0, 1.0)
    for name in "abc":
        assert budgets.of(name, 0.0).take(0.0, 1)
    assert not budgets.of("a", 0.0).take(0.0, 1)
    assert budgets.of("d", 0.0).take(0.0, 1)  # b is forgotten
    assert not budgets.of("a", 0.0).take(0.0, 1)
    assert budgets.of("b", 0.0).take(0.0, 1)
    assert budgets.of("b", 0.25).wait_seconds(1) == 1.0
    assert not budgets.of("b", 0.25).take(0.25, 1)
    assert budgets.of("b", 0.25).wait_seconds(1) == 0.75


# -- what is not read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("joined", "most"), [(False, UNJOINED_BYTES), (True, 262_144)])
def test_answers_are_counted_as_what_they_hold(engine: HubEngine, joined: bool, most: int) -> None:
    client, sent = session(engine, joined), 0
    while not client.closed:
        client.write(Control(packet.Packet(packet.MESSAGE, "31[]")))
        sent += 1
    assert most / 200 < sent < most / 100  # small ones take more than their bytes
    assert engine.counters["cut_not_reading"] == 1


def test_answers_that_were_read_count_no_more(engine: HubEngine) -> None:
    client = session(engine)
    for _ in range(100):
        for _ in range(16):
            client.write(Control(packet.Packet(packet.MESSAGE, "x" * 1_000)))
        client.offer(TICKS, 0.0)
        while not client.outbox.empty:
            client.poll()
        assert client.outbox.answers_bytes == client.outbox.pending_bytes == 0
    assert not client.closed


def test_all_answers_together_are_bounded(engine: HubEngine) -> None:
    greedy = [session(engine, joined=True) for _ in range(MAX_ANSWERS_BYTES // 200_000 + 1)]
    modest = session(engine, joined=True)
    answer = Control(packet.Packet(packet.MESSAGE, "x" * 1_000))
    for client in greedy:
        for _ in range(200):
            client.write(answer)
    modest.write(answer)
    assert modest.outbox.answers_bytes < FAIR_ANSWERS_BYTES
    engine.pulse.step(time.monotonic() + 2)
    assert all(client.closed for client in greedy)
    assert not modest.closed


def test_who_polls_and_does_not_fetch_is_cut_and_who_does_is_not(engine: HubEngine) -> None:
    never, honest, idle = (session(engine, joined=True) for _ in range(3))
    now = time.monotonic()
    for client in (never, honest):
        client.offer(TICKS, 0.0)
    honest._polled_at = now + STUCK_SECONDS
    for second in range(1, int(STUCK_SECONDS) + 3):
        engine.pulse.step(now + second)
    assert (never.closed, honest.closed, idle.closed) == (True, False, False)
    assert engine.counters["cut_not_reading"] == 1


def test_a_large_answer_may_take_its_time(engine: HubEngine) -> None:
    client = session(engine, joined=True)
    client.offer(Batch([Message(TICK, '"' + "x" * 81_920 + '"', "A-USD")]), 0.0)
    client.poll()
    client.offer(TICKS, 0.0)
    now = time.monotonic()
    assert not client.is_stuck(now + STUCK_SECONDS + 9)
    assert client.is_stuck(now + STUCK_SECONDS + 11)
    assert not client.offer(TICKS, 0.0), "its end is near"


def test_an_upgrade_gives_some_seconds_more_and_no_others(engine: HubEngine) -> None:
    client = session(engine, joined=True)
    client.offer(TICKS, 0.0)
    client.upgrading = True
    now = time.monotonic()
    assert not client.is_stuck(now + STUCK_SECONDS + UPGRADE_SECONDS - 1)
    assert client.is_stuck(now + STUCK_SECONDS + UPGRADE_SECONDS + 1)


# -- the pulse -----------------------------------------------------------------------------------------


def test_pings_are_sent_in_their_time_and_keep_no_ended_session(engine: HubEngine) -> None:
    client, ended = session(engine, joined=True), session(engine)
    ended.close(abort=True)
    now = time.monotonic()
    for second in range(1, int(engine.ping_interval)):
        engine.pulse.step(now + second)
    assert client.outbox.empty
    client._polled_at = now + engine.ping_interval
    engine.pulse.step(now + engine.ping_interval + 0.1)
    assert [pkt.encode() for pkt in client.poll()] == ["2"]
    assert not engine.pulse._pings
    client.receive(packet.Packet(packet.PONG))
    assert len(engine.pulse._pings) == 1


def test_silence_ends_a_session_but_not_after_a_pause_of_the_hub(engine: HubEngine) -> None:
    client = session(engine, joined=True)
    now = time.monotonic()
    client.ping()
    client.poll()
    client.last_ping = time.time() - engine.ping_timeout - 1
    assert engine.pulse.may_judge(now)
    late = now + 1 + LATE_SECONDS + 10
    assert not engine.pulse.may_judge(late)
    engine.pulse.step(late)
    assert not client.closed, "its pong may wait to be read"
    assert not engine.pulse.may_judge(late + 0.1)
    engine.pulse.step(late + 1)
    assert client.closed
    assert engine.counters["cut_ping_timeout"] == 1
    with pytest.raises(exceptions.SocketIsClosedError):
        client.check_ping_timeout()


def test_a_hub_that_is_always_late_judges_all_the_same(engine: HubEngine) -> None:
    client = session(engine)
    now = time.monotonic()
    for number in range(1, 3):
        engine.pulse.step(now + number * (LATE_SECONDS + 5))
    assert client.closed


def test_a_bug_of_the_pulse_is_counted_and_it_goes_on(
    engine: HubEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Over(BaseException):
        pass

    def sleep(_: float) -> None:
        if engine.counters["pulse_failures"] == 2:
            raise Over

    monkeypatch.setattr(engine, "sleep", sleep)
    monkeypatch.setattr(engine.pulse, "step", lambda _: 1 / 0)
    with pytest.raises(Over):
        engine.pulse.run()
    assert "bug in the pulse" in caplog.text


def test_what_is_kept_of_a_handshake_is_little(engine: HubEngine) -> None:
    kept: list[dict[str, Any]] = []
    engine.on("connect", lambda _, environ: kept.append(environ))
    engine.limits = Limits(trusted_proxies=())
    connect(engine, HTTP_AUTHORIZATION="Bearer " + "x" * 8_000, HTTP_COOKIE="y" * 8_000, HTTP_X="z" * 8_000)
    assert len(repr(kept[0])) < 2_500
    assert kept[0]["REMOTE_ADDR"] == "192.0.2.1"
    assert kept[0]["HTTP_AUTHORIZATION"].startswith("Bearer x")
