"""What actions leave in the journal; and a drill that the simulator does not play."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from hub.hub import PriceHub
from hub.settings import Settings
from hub.web import actions
from hub.web.app import create_app
from hub.web.drills import DrillError, Drills
from tests.conftest import eventually

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Journal:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, Any]]] = []

    def note(
        self, kind: str, text: str, *, tone: str = "info", connection_id: str | None = None,
        product: str | None = None, **data: Any,
    ) -> None:  # fmt: skip
        self.entries.append((kind, text, {"tone": tone, "connection": connection_id, "product": product, **data}))


def made(simulator: Any = None) -> tuple[PriceHub, Journal, FlaskClient]:
    hub = PriceHub(Settings(admin_token=TOKEN, simulate=True, bad_tokens_per_minute=0))
    journal = hub.journal = Journal()  # type: ignore[attr-defined]
    app: Flask = create_app(hub, simulator)[0]
    return hub, journal, app.test_client()


def test_an_action_is_an_entry_and_who_did_it_is_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hub.web.actions")
    _, journal, client = made()
    assert client.post("/connections/conn_000/rotate", headers=BEARER).status_code == 404
    ((kind, text, data),) = journal.entries
    assert (kind, text) == ("action", "rotate conn_000: there is no such connection")
    assert data == {
        "tone": "warn", "connection": None, "product": None, "what": "rotate conn_000",
        "outcome": "there is no such connection",
    }  # fmt: skip
    assert "action who=127.0.0.1 what='rotate conn_000'" in caplog.text
    assert TOKEN not in repr(journal.entries)


def test_wrong_tokens_are_one_entry_a_minute_that_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, journal, client = made()
    for _ in range(500):
        assert client.post("/api/price/BTC-USD/move", headers={"Authorization": "Bearer canary"}).status_code == 401
    assert [text for _, text, _ in journal.entries] == ["refused 1 action without the admin token"]
    monkeypatch.setattr(actions, "REFUSED_NOTE_SECONDS", 0.0)
    client.post("/price/BTC-USD/move")
    assert journal.entries[-1][1] == "refused 500 actions without the admin token"
    assert "127.0.0.1" not in repr(journal.entries)  # who reads the journal needs not know who acts
    assert hub.counters["actions_without_token"] == 501
    assert "canary" not in repr(journal.entries)


def test_a_drill_that_fails_says_so_and_makes_room_for_the_next() -> None:
    def broken(path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (path, body["kind"]) == ("fault", "burst")
        time.sleep(0.2)
        raise RuntimeError("only a made-up market can do this")

    _, journal, client = made(broken)
    begun = time.monotonic()
    assert client.post("/drills", json={"drill": "burst"}, headers=BEARER).status_code == 202
    assert time.monotonic() - begun < 0.2  # it waits for nobody
    assert client.post("/drills", json={"drill": "burst"}, headers=BEARER).status_code == 409
    eventually(lambda: journal.entries[-1][1] == "drill burst: failed: only a made-up market can do this", 5)
    assert journal.entries[-1][2]["tone"] == "bad"
    assert client.post("/drills", json={"drill": "burst"}, headers=BEARER).status_code == 202


def test_a_drill_that_fails_late_leaves_the_next_its_turn() -> None:
    over = threading.Event()
    calls: list[str] = []
    why: list[str] = []

    def control(path: str, _: dict[str, Any]) -> dict[str, Any]:
        calls.append(path)
        if len(calls) == 1:
            over.wait(5)
            raise OSError
        return {"hit": 1}

    drills = Drills(made()[0], control)
    burst = drills.known["burst"]
    drills.play(burst._replace(seconds=0.05), why.append)
    time.sleep(0.1)
    drills.play(burst._replace(seconds=60.0), why.append)
    over.set()
    eventually(lambda: why, 5)
    assert len(calls) == 2
    with pytest.raises(DrillError, match="is on for another"):
        drills.play(burst, why.append)


@pytest.mark.parametrize("body", [b"[" * 30_000, b'{"drill":' * 5_000, b'{"drill": NaN}', b"", b"[]", b'{"drill": 1}'])
def test_what_is_no_drill_is_a_400(body: bytes) -> None:
    _, _, client = made(lambda *_: {"hit": 1})
    assert client.post("/drills", data=body, headers=BEARER).status_code == 400


def test_a_drill_of_a_megabyte_is_a_413() -> None:
    _, _, client = made(lambda *_: {"hit": 1})
    assert client.post("/drills", data=b" " * 1_000_000, headers=BEARER).status_code == 413


@pytest.mark.parametrize("token", ["0123456789abc=def", "0123=4567,89ab=cdef", "0123456789abcdef=="])
def test_a_token_may_have_any_sign(token: str) -> None:
    hub = PriceHub(Settings(admin_token=token, api_tokens=(token,), simulate=True))
    client = create_app(hub, None)[0].test_client()
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert client.post("/connections/conn_000/rotate", headers=headers).status_code == 404
        assert client.get("/plan", headers=headers).status_code == 200
    basic = "Basic " + base64.b64encode(f"any:{token}".encode()).decode()
    assert client.get("/plan", headers={"Authorization": basic}).status_code == 200
    for given in (basic, f"Bearer {token}=", f"Bearer x={token}", token, f"Token {token}", "Bearer", "Bearer \xe4"):
        assert client.post("/connections/conn_000/rotate", headers={"Authorization": given}).status_code == 401
        if given != basic:
            assert client.get("/plan", headers={"Authorization": given}).status_code == 401


def test_a_drill_without_anything_to_hit_is_refused() -> None:
    _, _, client = made(lambda *_: {"hit": 1})
    for name, why in (("kill", "no connection is up"), ("stuck", "no product has a price yet")):
        answer = client.post("/drills", json={"drill": name}, headers=BEARER)
        assert (answer.status_code, answer.json) == (409, {"error": why})


def test_a_recording_can_not_be_made_busier() -> None:
    hub = PriceHub(Settings(admin_token=TOKEN, simulate=True, simulate_replay=("a.jsonl",)))
    client = create_app(hub, lambda *_: {"hit": 1})[0].test_client()
    names = [drill["name"] for drill in client.get("/actions").json["drills"]]
    assert "kill" in names
    assert "burst" not in names
    assert client.post("/drills", json={"drill": "burst"}, headers=BEARER).status_code == 404
