"""What strangers may not do to a real hub: guess tokens, ask without an end, read what is secret."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import socketio
import websocket
from socketio.exceptions import ConnectionError as Refused

from hub.settings import Settings
from tests.conftest import HubProcess, eventually

SMALL = ["--products", "20"]


@pytest.fixture(scope="module")
def target(hub: HubProcess) -> Iterator[HubProcess]:
    yield hub
    assert "Traceback" not in hub.log()


# -- how often ---------------------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_to_wait_and_others_are_not(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(SMALL, RATE_LIMIT_PER_SECOND="2", TRUSTED_PROXIES="127.0.0.1")
    with requests.Session() as session:
        session.headers["X-Forwarded-For"] = "198.51.100.1"
        answers = [session.get(hub.url + "/nothing", timeout=5) for _ in range(60)]
        assert [answer.status_code for answer in answers[:20]] == [404] * 20
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json() == {"error": "Too many requests"}
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        for _ in range(30):
            assert session.get(hub.url + "/health", timeout=5).status_code in (200, 503), "never counted"
        session.headers["X-Forwarded-For"] = "198.51.100.2"
        assert session.get(hub.url + "/tickers", timeout=5).status_code == 200
    counted = hub.health()["counters"]["refused_rate_limit"]
    assert counted == sum(answer.status_code == 429 for answer in answers)
    assert "refused a request address=198.51.100.1 reason=rate_limit" in hub.log()


# -- tokens ------------------------------------------------------------------------------------------------


def test_tokens_can_not_be_guessed_at(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(
        SMALL, API_TOKENS="right-token-16-signs", ADMIN_TOKEN="right-admin-token", BAD_TOKENS_PER_MINUTE="3",
        TRUSTED_PROXIES="127.0.0.1",
    )  # fmt: skip

    def ask(path: str, token: str, address: str, method: str = "GET") -> int:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
        return requests.request(method, hub.url + path, headers=headers, timeout=5).status_code

    def join(token: str, address: str) -> str:
        client, why = socketio.Client(reconnection=False), []
        client.on("connect_error", lambda data: why.append(data.get("message") or data["error"]))
        try:
            client.connect(hub.url, auth={"token": token}, headers={"X-Forwarded-For": address}, wait_timeout=5)
        except Refused:
            return why[0]
        client.disconnect()
        return "in"

    rotate = "/connections/conn_000/rotate"
    assert [ask("/tickers", "wrong", "198.51.100.1") for _ in range(4)] == [401, 401, 401, 429]
    assert ask("/tickers", "right-token-16-signs", "198.51.100.1") == 429, "not even looked at"
    assert ask(rotate, "right-admin-token", "198.51.100.1", "POST") == 429
    # before there is a session: a transport that fails is tried again, a refused namespace ends a browser's client
    assert join("right-token-16-signs", "198.51.100.1") == "bad_tokens"
    assert [ask(rotate, "wrong", "198.51.100.2", "POST") for _ in range(4)] == [401, 401, 401, 429]
    assert all("A token is needed" in join("wrong", "198.51.100.3") for _ in range(3))
    poll, claimed = hub.url + "/socket.io/?EIO=4&transport=polling", {"X-Forwarded-For": "198.51.100.3"}
    refused = requests.get(poll, headers=claimed, timeout=5)
    assert (refused.status_code, refused.json()) == (503, {"error": "bad_tokens"})
    assert int(refused.headers["Retry-After"]) > 0
    assert ask("/tickers", "right-token-16-signs", "198.51.100.4") == 200
    assert join("right-token-16-signs", "198.51.100.4") == "in"
    for path in ("/tickers?token=", "/tickers?access_token=", "/socket.io/?token="):
        refused = requests.get(f"{hub.url}{path}right-token-16-signs", timeout=5)
        assert refused.status_code in (400, 401), "a token in a URL is none"
    right = {"Authorization": "Bearer right-token-16-signs"}
    counters = requests.get(hub.url + "/health", headers=right, timeout=5).json()["counters"]
    assert (counters["bad_tokens"], counters["refused_bad_tokens"]) == (9, 6)


# -- names -------------------------------------------------------------------------------------------------


def test_a_page_that_has_its_name_resolve_to_the_hub_gets_nothing(target: HubProcess) -> None:
    paths = [*target.get("/").json()["rest"], "/", "/nothing", "/static/dashboard.js", "/api/tickers", "/socket.io/",
             "/socket.io/?EIO=4&transport=polling"]  # fmt: skip
    host = f"evil.example:{target.port}"
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}", "X-Forwarded-Host": "localhost"}):
        for path in paths:
            refused = requests.get(target.url + path, headers=headers, timeout=5)
            assert refused.status_code == 421, path
            assert "ALLOWED_HOSTS" in refused.json()["error"]
            assert refused.headers["Cache-Control"] == "no-store"
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in refused.headers
        for method, path in (("POST", "/alert"), ("PUT", "/priority-pairs"), ("DELETE", "/priority-pairs"),
                             ("OPTIONS", "/alert"), ("POST", "/connections/conn_000/rotate")):  # fmt: skip
            answer = requests.request(method, target.url + path, json={"product_ids": []}, headers=headers, timeout=5)
            assert answer.status_code == 421, (method, path)
        url = target.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        more = {name: value for name, value in headers.items() if name != "Host"}  # a second one would be a 400
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            websocket.create_connection(
                url, header=more, host=host, timeout=5, suppress_origin="Origin" not in headers
            )
        assert refusal.value.status_code == 421
    assert f"refused a request host='{host}'" in target.log()
    assert requests.get(target.url + "/prices", headers={"Host": "backend:5000"}, timeout=5).status_code == 200


def test_each_refused_origin_is_named_in_the_log(hub_factory: Callable[..., HubProcess]) -> None:
    target = hub_factory(SMALL)
    for name in ("one.example", "two.example"):
        for path, status in (("/prices", 403), ("/socket.io/?EIO=4&transport=polling", 400)):
            origin = {"Origin": f"https://{name}"}
            assert requests.get(target.url + path, headers=origin, timeout=5).status_code == status
        assert target.log().count(f"refused a request origin='https://{name}'") == 1


# -- headers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/dashboard", "/docs", "/openapi.json",
     "/status", "/health", "/nothing", "/static/dashboard.css", "/static/js/../x", "/prices?limit=x",
     "/price/%00", "/api/dashboard", "/static/nothing.js"],
)  # fmt: skip
def test_every_answer_forbids_what_a_page_does_not_need(target: HubProcess, path: str) -> None:
    is_file = path == "/static/dashboard.css"
    for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
        answer = requests.request(method, target.url + path, headers={"Accept": "text/html"}, timeout=5)
        policy = dict(item.split(" ", 1) for item in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in answer.headers["Permissions-Policy"]
        assert "Origin" in answer.headers["Vary"]
        assert answer.headers["Cache-Control"] == ("no-cache" if is_file and method in ("GET", "HEAD") else "no-store")
        assert "Server" not in answer.headers


@pytest.mark.parametrize(
    ("name", "request_text"),
    [
        ("no HTTP", "NONSENSE\r\n\r\n"),
        ("another version", "GET / HTTP/9.9\r\n\r\n"),
        ("a long URL", f"GET /{'a' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a long header", f"GET / HTTP/1.1\r\nHost: x\r\nX: {'y' * 70_000}\r\n\r\n"),
        ("many headers", "GET / HTTP/1.1\r\n" + "X: y\r\n" * 5_000 + "\r\n"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_without_a_word_too_many(
    target: HubProcess, name: str, request_text: str
) -> None:
    with socket.create_connection(("127.0.0.1", target.port), timeout=5) as sock:
        sock.sendall(request_text.encode())
        answer = b"".join(iter(lambda: sock.recv(65_536), b"")).decode()
    assert answer.split(" ")[1] in ("400", "414", "431", "505"), name
    assert not any(word in answer for word in ("Python", "BaseHTTP", "eventlet", "<html", "Server:"))


# -- secrets -----------------------------------------------------------------------------------------------

# a valid value for every secret setting, with a mark that must be found nowhere
CANARIES = {
    "API_TOKENS": "canary-of-the-clients",
    "WRITE_TOKENS": "canary-of-the-writers",
    "ADMIN_TOKEN": "canary-of-the-admin-0",
    "WEBHOOK_URL": "http://127.0.0.1:9/canary-of-the-webhook",
    "TELEGRAM_BOT_TOKEN": "123456789:canary-of-the-telegram-bot-0123456789",
}

# what some of them are no use without
BESIDE = {"WEBHOOK_ALLOWED_HOSTS": "127.0.0.1", "TELEGRAM_CHAT_ID": "42", "TELEGRAM_API_URL": "http://127.0.0.1:9"}


def test_every_secret_setting_has_a_canary() -> None:
    secret = {item.name.upper() for item in dataclasses.fields(Settings) if item.metadata["secret"]}
    assert secret <= set(CANARIES), "give the new one a value here that holds the word canary"
    settings = Settings(**{name.lower(): CANARIES[name] for name in secret})
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_no_secret_is_ever_told(hub_factory: Callable[..., HubProcess], tmp_path: Path, line_format: str) -> None:
    secret = {item.name.upper() for item in dataclasses.fields(Settings) if item.metadata["secret"]}
    canaries = {name: CANARIES[name] for name in secret}
    hub = hub_factory(SMALL, LOG_LEVEL="DEBUG", LOG_FORMAT=line_format, **canaries, **BESIDE)
    api, admin = ({"Authorization": f"Bearer {CANARIES[name]}"} for name in ("API_TOKENS", "ADMIN_TOKEN"))
    eventually(lambda: hub.get("/health", headers=api).json()["coverage_percentage"] == 100, 20)
    told: list[str] = []

    def ask(method: str, path: str, **options: object) -> None:
        answer = requests.request(method, hub.url + path, timeout=10, **options)  # type: ignore[arg-type]
        told.append(f"{answer.status_code} {answer.headers} {answer.text}")

    shown = hub.get("/", headers=api).json()["rest"]
    for path in [*shown, "/openapi.json", "/asyncapi.json", "/docs", "/config", "/metrics", "/alerts", "/nothing"]:
        for headers in (api, admin, {}):
            ask("GET", path, headers=headers)
    for path in ("/priority-pairs", "/alert", "/alerts/test", "/connections/conn_000/rotate", "/price/BTC-USD/move"):
        for headers in (admin, api, {}):
            for body in (b"{", b'{"product_id":"X-Y","action":"add"}'):
                ask("POST", path, headers=headers, data=body)
    client = socketio.Client(reconnection=False)
    client.on("*", lambda event, *data: told.append(f"{event} {data}"))
    client.connect(hub.url, auth={"token": CANARIES["API_TOKENS"]})
    for event in ("subscribe", "spike_alert", "nothing"):
        client.emit(event, {"x": 1})
    time.sleep(0.5)
    client.disconnect()
    for token in ("wrong", CANARIES["ADMIN_TOKEN"]):
        with pytest.raises(Refused):
            socketio.Client(reconnection=False).connect(hub.url, auth={"token": token})
    assert hub.terminate() == 0
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(told) > 100
    assert kept
    assert {"webhook", "telegram"} <= set(re.findall("webhook|telegram", hub.log())), "they failed, and it was told"
    assert "canary" not in json.dumps(told)
    assert "canary" not in hub.log()
    assert b"canary" not in kept
