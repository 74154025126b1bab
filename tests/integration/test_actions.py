"""Actions by hand, and drills: who may, what they do to a running hub, and what is written down of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import HubProcess, eventually

TOKEN = "canary-of-the-admin-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = (
    "/connections/conn_000/reconnect", "/connections/conn_000/rotate", "/price/BTC-USD/move",
    "/price/BTC-USD/resubscribe",
)  # fmt: skip


def post(hub: HubProcess, path: str, headers: dict[str, str] | None = BEARER, **options: Any) -> requests.Response:
    return requests.post(hub.url + path, headers=headers, timeout=10, **options)


def act(hub: HubProcess, path: str, **options: Any) -> requests.Response:
    """Post with the token, and again where that was too soon after others."""
    return eventually(lambda: (answer := post(hub, path, **options)).status_code != 429 and [answer], 5)[0]


def slots(hub: HubProcess) -> list[dict[str, Any]]:
    return hub.get("/connections").json()["connections"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A simulated hub whose admin token was set."""
    state_dir = str(tmp_path_factory.mktemp("guarded"))
    settings = {"STATE_DIR": state_dir, "ADMIN_TOKEN": TOKEN, "BAD_TOKENS_PER_MINUTE": "0"}
    arguments = ["--simulate", "--simulate-products", "60", "--simulate-rate", "600", "--backoff-base-seconds", "0.2"]
    process = HubProcess(None, settings, arguments)
    process.wait_until_covered()
    eventually(lambda: all(slot["status"] == "connected" for slot in slots(process)))
    yield process
    process.stop()


# -- who may ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("path", [*PATHS, "/drills"])
def test_a_wrong_or_missing_token_is_a_401_and_does_nothing(guarded: HubProcess, prefix: str, path: str) -> None:
    before = [(slot["generation"], slot["products_count"]) for slot in slots(guarded)]
    basic = requests.auth._basic_auth_str("admin", TOKEN)  # a browser sends it along by itself, so it is no token here
    for text in (None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", basic):
        header = {"Authorization": text} if text else None
        answer = post(guarded, prefix + path, header, json={"drill": "kill"})
        assert answer.status_code == 401, header
        assert answer.json() == {"error": "The admin token is needed"}
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")  # Basic would open the browser's own dialog
    time.sleep(0.3)
    assert [(slot["generation"], slot["products_count"]) for slot in slots(guarded)] == before


def test_without_the_setting_the_actions_are_off(hub: HubProcess) -> None:
    for path in PATHS:
        for header in (BEARER, None, {"Authorization": "Bearer "}):
            answer = post(hub, path, header)
            assert answer.status_code == 403
            assert answer.json() == {"error": "actions are off: ADMIN_TOKEN is not set"}
    assert post(hub, "/drills", json={"drill": "kill"}).status_code == 404
    assert hub.get("/actions").json() == {"enabled": False, "drills": [], "simulated": True}


def test_a_foreign_page_can_not_act_even_with_the_token(guarded: HubProcess) -> None:
    for origin in ("https://evil.example", "null"):
        answer = post(guarded, PATHS[0], {**BEARER, "Origin": origin})
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert act(guarded, PATHS[3], headers={**BEARER, "Origin": guarded.url}).status_code == 202


def test_the_admin_token_suffices_where_api_tokens_are_set_and_for_nothing_else(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = hub_factory(simulator=["--products", "3"], API_TOKENS="a-token-of-a-reader", ADMIN_TOKEN=TOKEN)
    reader = {"Authorization": "Bearer a-token-of-a-reader"}
    eventually(lambda: hub.get("/price/BTC-USD", headers=reader).status_code == 200)
    assert act(hub, PATHS[3]).status_code == 202
    assert post(hub, PATHS[3], reader).status_code == 401
    assert hub.get("/health", headers=BEARER).status_code == 401
    assert hub.get("/actions").status_code == 401
    assert hub.get("/actions", headers=reader).json()["enabled"] is True


def test_a_short_token_is_a_setting_error_that_does_not_show_it(tmp_path: Path) -> None:
    from tests.integration.test_process import run

    done = run("--port", "0", cwd=tmp_path, ADMIN_TOKEN="canary-short")
    assert done.returncode == 2
    assert "ADMIN_TOKEN: must have 16 to 200" in done.stderr
    assert "canary" not in done.stdout + done.stderr


# -- what they do ----------------------------------------------------------------------------------------


def slot_of(hub: HubProcess, product: str) -> dict[str, Any]:
    return hub.get(f"/price/{product}/explain").json()["slot"]


def test_reconnect_gives_the_slot_another_socket(guarded: HubProcess) -> None:
    before = slots(guarded)[0]
    answer = act(guarded, PATHS[0])
    assert answer.status_code == 202
    assert answer.json()["success"] is True
    assert "conn_000" in answer.json()["message"]
    after = eventually(
        lambda: (slot := slots(guarded)[0])["generation"] > before["generation"]
        and slot["status"] == "connected" and slot, 5,
    )  # fmt: skip
    assert after["reconnects"] == before["reconnects"] + 1
    assert after["last_cause"] == "on_demand"
    assert after["error_count"] == before["error_count"]  # it was asked for: no failure, and no longer waits


def test_rotate_gives_the_slot_another_socket_without_a_loss(guarded: HubProcess) -> None:
    before = slots(guarded)[1]
    rotated = guarded.health()["counters"].get("rotated", 0)
    assert act(guarded, "/connections/conn_001/rotate").status_code == 202
    eventually(lambda: guarded.health()["counters"].get("rotated", 0) == rotated + 1, 15)
    assert slots(guarded)[1]["reconnects"] == before["reconnects"]


def test_move_takes_a_product_to_another_connection(guarded: HubProcess) -> None:
    before = slot_of(guarded, "ETH-USD")["connection_id"]
    assert act(guarded, "/price/eth-usd/move").status_code == 202
    assert eventually(lambda: (now := slot_of(guarded, "ETH-USD")["connection_id"]) != before and now, 5)
    eventually(lambda: guarded.get("/price/ETH-USD").json()["trust"] in ("live", "quiet"), 10)


def test_resubscribe_leaves_a_line(guarded: HubProcess) -> None:
    assert act(guarded, PATHS[3]).status_code == 202
    eventually(lambda: "resubscribe product=BTC-USD" in guarded.log())


def test_a_single_connection_has_nowhere_to_move_a_product(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], ADMIN_TOKEN=TOKEN)
    hub.wait_until_covered()
    assert post(hub, PATHS[2]).status_code == 409


def test_what_is_not_there_is_a_404(guarded: HubProcess) -> None:
    for path in ("/connections/conn_999/reconnect", "/connections/x%0Ay/rotate", "/price/NO-SUCH/move",
                 "/price/%3Cimg%3E/resubscribe"):  # fmt: skip
        answer = act(guarded, path)
        assert answer.status_code == 404
        assert "not found" in answer.json()["error"]
    answer = act(guarded, "/drills", json={"drill": "volcano"})
    assert answer.status_code == 404
    assert "kill" in answer.json()["error"]
    for body in (b"", b"[]", b'{"drill": 1}', b"{"):
        assert act(guarded, "/drills", data=body).status_code == 400


# -- what is written down --------------------------------------------------------------------------------


def test_who_did_what_is_in_the_log_and_the_token_is_not(guarded: HubProcess) -> None:
    act(guarded, PATHS[3])
    act(guarded, "/connections/x%0Aforged/rotate")
    post(guarded, PATHS[0], {"Authorization": "Bearer canary-that-is-wrong"})
    line = r"INFO hub\.web\.actions action who=127\.0\.0\.1 what='resubscribe BTC-USD' outcome='is subscribed to anew'"
    eventually(lambda: re.search(line, guarded.log()))
    assert "\nforged" not in guarded.log()
    assert "canary" not in guarded.log()
    for path in ("/health", "/actions", "/connections", "/"):
        assert "canary" not in guarded.get(path).text


def test_a_flood_of_wrong_tokens_floods_nothing_and_keeps_nobody_out(guarded: HubProcess) -> None:
    counters = lambda: guarded.health()["counters"]  # noqa: E731
    lines = lambda: guarded.log().count("no admin token, or a wrong one")  # noqa: E731
    before, logged, begun = counters().get("actions_without_token", 0), lines(), time.monotonic()
    with requests.Session() as session:
        for _ in range(300):
            session.post(guarded.url + PATHS[0], headers={"Authorization": "Bearer wrong"}, timeout=5)
    assert counters()["actions_without_token"] == before + 300
    assert act(guarded, PATHS[3]).status_code == 202
    assert lines() - logged <= time.monotonic() - begun + 1


def test_a_handful_of_actions_a_second(guarded: HubProcess) -> None:
    time.sleep(1.1)
    begun = time.monotonic()
    answers = [post(guarded, PATHS[3]) for _ in range(8)]
    assert time.monotonic() - begun < 1
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 3
    assert answers[-1].headers["Retry-After"] == "1"
    time.sleep(1.1)
    assert post(guarded, PATHS[3]).status_code == 202


# -- the demo and its drills -----------------------------------------------------------------------------


def test_a_demo_makes_up_a_token_and_shows_it_where_a_set_one_is_never_shown(
    guarded: HubProcess, tmp_path: Path
) -> None:
    demo = HubProcess(None, {"STATE_DIR": str(tmp_path)}, ["--simulate", "--simulate-products", "20"])
    try:
        found = eventually(lambda: re.search(r"^Token for actions and drills.*: (\S+)$", demo.log(), re.M))
        assert len(found[1]) >= 16
        demo.wait_until_covered()
        answer = post(demo, PATHS[3], {"Authorization": f"Bearer {found[1]}"})
        assert answer.status_code == 202
    finally:
        demo.stop()
    assert "Token for actions" not in guarded.log()


def drill(hub: HubProcess, name: str) -> requests.Response:
    """Play a drill, once the one before is over."""
    return eventually(
        lambda: (answer := act(hub, "/drills", json={"drill": name})).status_code != 409 and [answer], 30, 0.5
    )[0]


def test_the_list_of_drills(guarded: HubProcess) -> None:
    body = guarded.get("/actions").json()
    assert body["enabled"] is True
    assert 6 <= len(body["drills"]) <= 8
    for entry in body["drills"]:
        assert set(entry) == {"name", "title", "text"}
        assert all(entry.values())


def test_a_drill_is_under_way_at_once_and_one_at_a_time(guarded: HubProcess) -> None:
    reconnects = lambda: sum(slot["reconnects"] for slot in slots(guarded))  # noqa: E731
    before = reconnects()
    begun = time.monotonic()
    answer = drill(guarded, "kill")
    assert answer.status_code == 202
    assert re.search(r"conn_\d+", answer.json()["message"])
    second = act(guarded, "/drills", json={"drill": "gap"})
    assert second.status_code == 409
    assert int(second.headers["Retry-After"]) <= 4
    eventually(lambda: reconnects() > before, 2)
    eventually(lambda: all(slot["status"] == "connected" for slot in slots(guarded)), 10)
    assert time.monotonic() - begun < 10
    assert drill(guarded, "gap").status_code == 202


def healed(hub: HubProcess) -> bool:
    trust = hub.health()["trust"]
    return trust["stale"] == trust["behind"] == 0 and all(slot["status"] == "connected" for slot in slots(hub))


SEEN: dict[str, Callable[[HubProcess, dict[str, Any]], bool]] = {
    "kill": lambda hub, before: sum(slot["reconnects"] for slot in slots(hub)) > before["reconnects"],
    "half_open": lambda hub, _: "silent" in {slot["last_cause"] for slot in slots(hub)},
    "no_data": lambda hub, _: "no_data" in {slot["last_cause"] for slot in slots(hub)},
    "slow_feed": lambda hub, before: sum(slot["reconnects"] for slot in slots(hub)) > before["reconnects"],
    "stuck": lambda hub, _: hub.health()["trust"]["behind"] > 0,
    "gap": lambda hub, before: hub.get("/gaps?limit=10000").json()["count"] > before["gaps"],
    "outage": lambda hub, _: hub.health()["connected_connections"] == 0,
    "burst": lambda hub, before: hub.health()["total_messages_received"] - before["messages"] > 8_000,
}


@pytest.mark.parametrize("name", SEEN)
def test_a_drill_shows_and_heals_by_itself(guarded: HubProcess, name: str) -> None:
    assert set(SEEN) == {entry["name"] for entry in guarded.get("/actions").json()["drills"]}
    eventually(lambda: healed(guarded), 40)
    before = {
        "reconnects": sum(slot["reconnects"] for slot in slots(guarded)),
        "gaps": guarded.get("/gaps?limit=10000").json()["count"],
        "messages": guarded.health()["total_messages_received"],
    }
    assert drill(guarded, name).status_code == 202
    eventually(lambda: SEEN[name](guarded, before), 12, 0.1)
    eventually(lambda: healed(guarded), 40)
    assert f"what='drill {name}'" in guarded.log()
    assert "failed:" not in guarded.log()
