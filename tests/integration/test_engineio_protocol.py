"""Engine.IO, protocol 4, as its public documents and test suite want it, on the hub's own engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import websocket

from tests.support.echo import (
    PING_INTERVAL_SECONDS,
    PING_TIMEOUT_SECONDS,
    Echo,
    is_closed,
    next_message,
    running,
)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with running("engineio", "/engine.io/") as echo:
        yield echo


# -- the handshake -------------------------------------------------------------------------------------


def check_hello(text: str, upgrades: list[str]) -> None:
    assert text[0] == "0"
    hello = json.loads(text[1:])
    assert set(hello) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert hello["sid"]
    assert (hello["upgrades"], hello["pingInterval"], hello["pingTimeout"]) == (upgrades, 300, 200)
    assert hello["maxPayload"] == 1_000_000


def test_a_handshake_by_polling(echo: Echo) -> None:
    response = echo.request("GET", "EIO=4&transport=polling")
    assert response.status_code == 200
    check_hello(response.text, ["websocket"])


def test_a_handshake_by_websocket(echo: Echo) -> None:
    ws = echo.websocket()
    check_hello(ws.recv(), [])
    ws.close()


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "transport=polling"), ("GET", "EIO=abc&transport=polling"), ("GET", "EIO=3&transport=polling"),
        ("GET", "EIO=4"), ("GET", "EIO=4&transport="), ("GET", "EIO=4&transport=abc"),
        ("GET", "EIO=4&transport=webtransport"),
        ("POST", "EIO=4&transport=polling"), ("PUT", "EIO=4&transport=polling"), ("DELETE", "EIO=4&transport=polling"),
        ("PATCH", "EIO=4&transport=polling"), ("HEAD", "EIO=4&transport=polling"),
        ("GET", "EIO=4&transport=polling&sid=nobody"), ("POST", "EIO=4&transport=polling&sid=nobody"),
        ("GET", "EIO=4&transport=websocket"),  # without an upgrade
        ("GET", "EIO=4&transport=polling&j=0"), ("GET", "EIO=4&transport=polling&j=abc"),  # JSONP
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_a_400(echo: Echo, method: str, query: str) -> None:
    assert echo.request(method, query).status_code == 400


@pytest.mark.parametrize(
    "query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]
)
def test_a_websocket_that_is_none_is_not_opened(echo: Echo, query: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="400"):
        websocket.create_connection(f"ws://{echo._at}?{query}", timeout=5)


def test_a_session_is_asked_for_by_its_own_transport_alone(echo: Echo) -> None:
    sid = echo.polling()
    for query in (f"EIO=4&sid={sid}", f"EIO=4&transport=abc&sid={sid}", f"EIO=4&transport=websocket&sid={sid}"):
        assert echo.request("GET", query).status_code == 400
    assert echo.post(sid, "4still here").status_code == 200


def test_a_browser_may_ask_what_is_allowed(echo: Echo) -> None:
    assert echo.request("OPTIONS", "EIO=4&transport=polling").status_code == 200


def test_every_answer_is_a_text_of_its_origin_alone_that_nobody_keeps(echo: Echo) -> None:
    sid = echo.polling()
    for response in (
        echo.request("GET", "EIO=4&transport=polling"), echo.post(sid, "4x"), echo.poll(sid), echo.poll("no"),
        echo.request("PUT", "EIO=4&transport=polling"),
    ):  # fmt: skip
        headers = response.headers
        assert (headers["X-Content-Type-Options"], headers["Vary"]) == ("nosniff", "Origin")
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Type"].startswith("text/plain")


# -- the heartbeat -------------------------------------------------------------------------------------


def test_pings_are_answered_by_polling(echo: Echo) -> None:
    sid = echo.polling()
    for _ in range(3):
        response = echo.poll(sid)
        assert (response.status_code, response.text) == (200, "2")
        assert echo.post(sid, "3").status_code == 200


def test_pings_are_answered_by_websocket(echo: Echo) -> None:
    ws = echo.websocket()
    ws.recv()
    for _ in range(3):
        assert ws.recv() == "2"
        ws.send("3")
    ws.close()


def test_who_answers_no_ping_by_polling_is_gone(echo: Echo) -> None:
    sid, begun = echo.polling(), time.monotonic()
    assert echo.poll(sid).text == "2"
    time.sleep(max(0.0, begun + PING_INTERVAL_SECONDS + PING_TIMEOUT_SECONDS + 0.05 - time.monotonic()))
    assert echo.poll(sid).status_code == 400
    assert echo.post(sid, "3").status_code == 400


def test_who_answers_no_ping_by_websocket_is_closed(echo: Echo) -> None:
    ws = echo.websocket()
    ws.recv()
    begun = time.monotonic()
    assert is_closed(ws)
    assert PING_INTERVAL_SECONDS < time.monotonic() - begun < 2


# -- the end -------------------------------------------------------------------------------------------


def test_a_poll_that_waits_while_the_client_closes_gets_a_noop(echo: Echo) -> None:
    sid = echo.polling()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(echo.poll, sid)
        time.sleep(0.05)  # as long as it waits, it has no sign
        assert echo.post(sid, "1").text == "ok"
        assert (waiting.result().status_code, waiting.result().text) == (200, "6")
    assert echo.poll(sid).status_code == 400


def test_who_closes_a_websocket_is_closed(echo: Echo) -> None:
    ws = echo.websocket()
    ws.recv()
    ws.send("1")
    assert is_closed(ws)


# -- messages ------------------------------------------------------------------------------------------


def test_messages_by_polling(echo: Echo) -> None:
    sid = echo.polling()
    response = echo.post(sid, "4hello")
    assert (response.status_code, response.text) == (200, "ok")
    assert echo.poll(sid).text == "4hello"


def test_several_packets_in_one_body(echo: Echo) -> None:
    sid = echo.polling()
    assert echo.post(sid, "\x1e".join(["4test1", "4test2", "4test3"])).text == "ok"
    assert echo.poll(sid).text == "4test1\x1e4test2\x1e4test3"


@pytest.mark.parametrize("body", ["abc", "9", "d=4hello", "\x1e".join(["4x"] * 17), "4x\x1e"])
def test_a_body_that_is_none_ends_its_session(echo: Echo, body: str) -> None:
    sid = echo.polling()
    assert echo.post(sid, body).status_code == 400
    assert echo.poll(sid).status_code == 400


def test_binary_by_polling_is_refused(echo: Echo) -> None:
    sid = echo.polling()
    echo.post(sid, "bAQIDBA==")
    assert echo.poll(sid).status_code == 400


def test_two_polls_at_a_time_end_the_session(echo: Echo) -> None:
    sid = echo.polling()
    with ThreadPoolExecutor(2) as pool:
        answers = [answer.result() for answer in [pool.submit(echo.poll, sid) for _ in range(2)]]
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert next(answer.text for answer in answers if answer.status_code == 200) == "1"
    assert echo.poll(sid).status_code == 400


def test_messages_by_websocket(echo: Echo) -> None:
    ws = echo.websocket()
    ws.recv()
    ws.send("4hello")
    assert next_message(ws) == "4hello"
    ws.close()


def test_binary_by_websocket_is_refused(echo: Echo) -> None:
    ws = echo.websocket()
    ws.recv()
    ws.send_binary(b"\x01\x02\x03\x04")
    assert is_closed(ws)


@pytest.mark.parametrize("text", ["abc", ""])
def test_a_packet_that_is_none_closes_its_websocket(echo: Echo, text: str) -> None:
    ws = echo.websocket()
    ws.recv()
    ws.send(text)
    assert is_closed(ws)


# -- the upgrade ---------------------------------------------------------------------------------------


def upgraded(echo: Echo) -> tuple[str, websocket.WebSocket]:
    sid = echo.polling()
    ws = echo.websocket(sid)
    ws.send("2probe")
    assert ws.recv() == "3probe"
    ws.send("5")
    return sid, ws


def test_a_session_goes_on_by_websocket(echo: Echo) -> None:
    _, ws = upgraded(echo)
    ws.send("4hello")
    assert next_message(ws) == "4hello"
    ws.close()


def test_after_the_upgrade_a_poll_is_refused_and_messages_go_to_the_socket(echo: Echo) -> None:
    sid, ws = upgraded(echo)
    ws.send("4through")
    assert next_message(ws) == "4through"
    assert echo.poll(sid).status_code == 400
    assert echo.post(sid, "4x").status_code == 400
    ws.send("4hello")
    assert next_message(ws) == "4hello"
    ws.close()


def test_a_poll_that_comes_right_behind_the_upgrade_is_refused(echo: Echo) -> None:
    for _ in range(5):
        sid = echo.polling()
        ws = echo.websocket(sid)
        ws.send("2probe")
        ws.send("5")
        assert echo.poll(sid).status_code == 400
        ws.send("4hello")
        assert next_message(ws) == "4hello"
        ws.close()


def test_a_second_websocket_of_a_session_is_closed_and_the_first_unharmed(echo: Echo) -> None:
    sid, ws = upgraded(echo)
    ws.send("4through")
    assert next_message(ws) == "4through"
    with pytest.raises(websocket.WebSocketBadStatusException, match="400"):
        echo.websocket(sid)
    ws.send("4hello")
    assert next_message(ws) == "4hello"
    ws.close()


def test_what_waited_by_polling_comes_by_websocket(echo: Echo) -> None:
    sid = echo.polling()
    assert echo.post(sid, "4first\x1e4second").text == "ok"
    ws = echo.websocket(sid)
    ws.send("2probe")
    assert ws.recv() == "3probe"
    ws.send("5")
    assert [next_message(ws), next_message(ws)] == ["4first", "4second"]
    ws.close()


def test_a_probe_that_is_none_leaves_the_session_polling(echo: Echo) -> None:
    sid = echo.polling()
    ws = echo.websocket(sid)
    ws.send("4hello")
    assert is_closed(ws)
    assert echo.post(sid, "4still here").text == "ok"
    assert isinstance(echo.poll(sid), requests.Response)
