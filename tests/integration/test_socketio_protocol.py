"""Socket.IO, protocol 5, as its public documents and test suite want it, on the hub's own engine."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest
import websocket

from tests.support.echo import Echo, is_closed, next_message, packets, running


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with running("socketio", "/socket.io/") as echo:
        yield echo


def opened(echo: Echo) -> websocket.WebSocket:
    ws = echo.websocket()
    assert ws.recv().startswith("0")
    return ws


def joined(echo: Echo, auth: str = "") -> websocket.WebSocket:
    ws = opened(echo)
    ws.send("40" + auth)
    assert set(json.loads(next_message(ws, "40")[2:])) == {"sid"}
    assert next_message(ws) == f'42["auth",{auth or "{}"}]'
    return ws


def answer_pings_to_the_end(ws: websocket.WebSocket) -> None:
    with contextlib.suppress(websocket.WebSocketConnectionClosedException):
        while text := ws.recv():
            if text == "2":
                ws.send("3")


# -- joining -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
def test_the_main_namespace_is_joined(echo: Echo, auth: str) -> None:
    joined(echo, auth).close()


@pytest.mark.parametrize("auth", ["", '{"token":"abc"}'])
def test_a_namespace_of_its_own_is_joined(echo: Echo, auth: str) -> None:
    ws = opened(echo)
    ws.send("40/custom," + auth)
    assert set(json.loads(next_message(ws, "40/custom,")[10:])) == {"sid"}
    assert next_message(ws) == f'42/custom,["auth",{auth or "{}"}]'
    ws.close()


def test_an_unknown_namespace_is_refused_and_ends_a_session_that_has_joined_nothing(echo: Echo) -> None:
    ws = opened(echo)
    ws.send("40/random")
    assert next_message(ws) == '44/random,{"message":"Invalid namespace"}'
    ws.send("40/random")  # it has been told
    assert is_closed(ws)


def test_an_unknown_namespace_leaves_a_session_that_has_joined_another(echo: Echo) -> None:
    ws = joined(echo)
    ws.send("40/random,")
    assert next_message(ws) == '44/random,{"message":"Invalid namespace"}'
    ws.send('42["message"]')
    assert next_message(ws) == '42["message-back"]'
    ws.close()


def test_an_unknown_namespace_by_polling(echo: Echo) -> None:
    sid = echo.polling()
    assert echo.post(sid, "40/random,").text == "ok"
    assert packets(echo.poll(sid)) == ['44/random,{"message":"Invalid namespace"}']
    echo.post(sid, "40/random,")
    assert echo.poll(sid).status_code == 400


@pytest.mark.parametrize("text", ["4abc", "40{", "4", "44{}"])
def test_what_is_no_connect_closes(echo: Echo, text: str) -> None:
    ws = opened(echo)
    ws.send(text)
    assert is_closed(ws)


def test_who_joins_nothing_is_closed(echo: Echo) -> None:
    ws, begun = opened(echo), time.monotonic()
    answer_pings_to_the_end(ws)
    assert 0.9 < time.monotonic() - begun < 3


def test_what_is_sent_before_joining_is_not_answered(echo: Echo) -> None:
    ws = opened(echo)
    ws.send('42["message","x"]')
    ws.send("40")
    assert next_message(ws).startswith("40{")
    ws.close()


# -- leaving -------------------------------------------------------------------------------------------


def test_who_leaves_the_main_namespace_gets_nothing_of_it(echo: Echo) -> None:
    ws = joined(echo)
    ws.send("41")
    ws.send('42["message","x"]')
    assert ws.recv() == "2"
    ws.close()


def test_who_leaves_a_namespace_stays_in_the_other(echo: Echo) -> None:
    ws = joined(echo)
    ws.send("40/custom")
    assert next_message(ws).startswith("40/custom,{")
    assert next_message(ws) == '42/custom,["auth",{}]'
    ws.send("41/custom")
    ws.send('42["message","still here"]')
    assert next_message(ws) == '42["message-back","still here"]'
    ws.close()


def test_who_has_left_everything_has_as_much_time_as_at_first(echo: Echo) -> None:
    ws = joined(echo)
    ws.send("41")
    ws.send("40")
    assert next_message(ws).startswith("40{")
    assert next_message(ws) == '42["auth",{}]'
    ws.send("41")
    begun = time.monotonic()
    answer_pings_to_the_end(ws)
    assert 0.9 < time.monotonic() - begun < 3


# -- messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["", ',1,"2",{"3":[true]}', ',null', ',"é€😀"'])
def test_a_message_comes_back(echo: Echo, values: str) -> None:
    ws = joined(echo)
    ws.send(f'42["message"{values}]')
    assert json.loads(next_message(ws)[2:]) == json.loads(f'["message-back"{values}]')
    ws.close()


def test_a_message_is_acknowledged(echo: Echo) -> None:
    ws = joined(echo)
    ws.send('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert next_message(ws) == '43456[1,"2",{"3":[false]}]'
    ws.close()


def test_a_message_of_another_namespace_comes_back_in_it(echo: Echo) -> None:
    ws = opened(echo)
    ws.send("40/custom,")
    assert next_message(ws).startswith("40/custom,{")
    assert next_message(ws) == '42/custom,["auth",{}]'
    ws.send('42/custom,7["message-with-ack","x"]')
    assert next_message(ws) == '43/custom,7["x"]'
    ws.close()


def test_messages_by_polling(echo: Echo) -> None:
    sid = echo.polling()
    assert echo.post(sid, "40").text == "ok"
    assert echo.post(sid, '42["message","x"]\x1e421["message-with-ack"]').text == "ok"
    got: list[str] = []
    while len(got) < 4:
        got += [text for text in packets(echo.poll(sid)) if text != "2"]
    assert got[0].startswith("40{")
    assert sorted(got[1:]) == ['42["auth",{}]', '42["message-back","x"]', "431[]"]


@pytest.mark.parametrize(
    "text",
    ["4abc", "42{}", "42[]", '42abc["message-with-ack",1]', '451-["message",{"_placeholder":true,"num":0}]'],
)
def test_a_message_that_is_none_closes(echo: Echo, text: str) -> None:
    ws = joined(echo)
    ws.send(text)
    assert is_closed(ws)
