"""Trust, gaps, repair and explanations, against an exchange that loses things."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener

SMALL = ["--products", "20", "--rate", "200"]


def fault(hub: HubProcess, kind: str, **fields: Any) -> None:
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": kind, **fields})


def gaps(hub: HubProcess, **query: str) -> list[dict[str, Any]]:
    return hub.get("/gaps", params=query).json()["gaps"]


def trust(hub: HubProcess, product_id: str) -> str:
    return hub.get(f"/price/{product_id}").json()["trust"]


def test_missing_trades_are_noted_fetched_and_leave_as_backfill(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    listener = Listener(hub.url)
    eventually(lambda: len(listener.events["ticker_update"]) > 100)
    fault(hub, "drop", product="BTC-USD", count=7)
    gap = eventually(lambda: [item for item in gaps(hub, product="BTC-USD") if not item["open"]])[0]
    assert gap["cause"] == "sequence"
    assert gap["last_id"] - gap["first_id"] + 1 == 7
    assert (gap["missing"], gap["healed"], gap["connection_id"]) == (0, "backfill", "conn_000")
    eventually(lambda: len(listener.events["trade_backfill"]) >= 7)
    backfill = [tick for tick in listener.events["trade_backfill"] if tick["crypto"] == "BTC-USD"]
    assert [tick["trade_id"] for tick in backfill] == list(range(gap["first_id"], gap["last_id"] + 1))
    assert {tick["source"] for tick in backfill} == {"backfill"}
    assert all(tick["simulated"] for tick in backfill)
    updates = [tick["trade_id"] for tick in listener.events["ticker_update"] if tick["crypto"] == "BTC-USD"]
    assert set(updates).isdisjoint(tick["trade_id"] for tick in backfill)
    assert updates == sorted(set(updates))
    listener.close()


def test_gaps_stay_open_while_rest_is_down_and_heal_after(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    fault(hub, "rest", seconds=4, status=503)
    fault(hub, "drop", product="BTC-USD", count=3)
    eventually(lambda: gaps(hub, product="BTC-USD", open="true"), 3)
    assert hub.health()["open_gaps"] >= 1
    eventually(lambda: not gaps(hub, open="true"), 12)
    assert gaps(hub, product="BTC-USD")[0]["healed"] == "backfill"


def test_a_lost_connection_is_behind_then_live_and_in_the_ledger(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    listener = Listener(hub.url)
    fault(hub, "refuse", seconds=3, status=503)
    fault(hub, "kill", connections="all")
    eventually(lambda: trust(hub, "BTC-USD") == "behind", 3)
    assert hub.get("/price/BTC-USD").json()["reason"] == "its connection was lost, or is silent"
    eventually(lambda: trust(hub, "BTC-USD") == "live", 20)
    eventually(lambda: not gaps(hub, open="true"), 15)
    found = gaps(hub)
    assert {gap["cause"] for gap in found} == {"disconnect"}
    sockets = [gap for gap in found if gap["product"] is None]
    assert {gap["connection_id"] for gap in sockets} == {"conn_000", "conn_001"}
    assert {gap["healed"] for gap in sockets} == {"reconnected"}
    updates = listener.events["trust_update"]
    mine = [(item["previous"], item["trust"]) for item in updates if item["crypto"] == "BTC-USD"]
    assert mine[0] == ("live", "behind")
    assert mine[-1][1] == "live"
    listener.close()


def test_a_close_for_slow_reading_is_called_an_overflow(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    error = '{"type": "error", "message": "ErrSlowConsume", "reason": "you read too slowly"}'
    fault(hub, "garbage", connections=[0], text=error)
    fault(hub, "close", connections=[0], code=1008)
    (gap,) = eventually(lambda: [gap for gap in gaps(hub) if gap["product"] is None and not gap["open"]], 20)
    assert (gap["cause"], gap["healed"]) == ("overflow", "reconnected")
    slot = next(item for item in hub.get("/connections").json()["connections"] if item["reconnects"])
    assert slot["last_cause"] == "slow_consumer"
    found = eventually(lambda: [gap for gap in gaps(hub) if gap["product"]])
    assert {gap["cause"] for gap in found} == {"overflow"}
    eventually(lambda: not any(gap["open"] for gap in gaps(hub)), 20)


def test_without_any_evidence_a_price_is_stale_and_is_not_served_as_fresh(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = hub_factory(simulator=SMALL, STALE_AFTER_MS="1500")
    hub.wait_until_covered()
    assert hub.get("/price/BTC-USD", params={"max_age_ms": 1500}).status_code == 200
    fault(hub, "refuse", seconds=6, status=503)
    fault(hub, "kill", connections="all")
    eventually(lambda: trust(hub, "BTC-USD") == "stale", 4)
    answer = hub.get("/price/BTC-USD", params={"max_age_ms": 1500})
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == 503
    assert body["verified_ms"] > 1500
    assert "BTC-USD" in body["error"]
    eventually(lambda: {payload["trust"] for payload in hub.get("/tickers").json().values()} == {"stale"}, 2)
    assert {entry["trust"] for entry in hub.get("/prices").json()["prices"].values()} == {"stale"}
    late = Listener(hub.url)  # its snapshot must not pass old prices for fresh ones
    eventually(lambda: len(late.events["ticker_update"]) >= 20)
    assert {tick["trust"] for tick in late.events["ticker_update"][:20]} == {"stale"}
    late.close()
    eventually(lambda: trust(hub, "BTC-USD") == "live", 20)


@pytest.mark.parametrize("query", ["max_age_ms=soon", "max_age_ms=-1", "max_tick_age_ms=1.5", "max_age_ms="])
def test_bad_limits_of_age_are_refused(hub: HubProcess, query: str) -> None:
    answer = hub.get(f"/price/BTC-USD?{query}")
    assert answer.status_code == 400
    assert "milliseconds" in answer.json()["error"]


@pytest.mark.parametrize("query", ["product=<x>", "since=yesterday", "open=maybe", "limit=0", "limit=x"])
def test_bad_questions_to_the_ledger_are_refused(hub: HubProcess, query: str) -> None:
    answer = hub.get(f"/gaps?{query}")
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def test_quiet_products_are_quiet_and_nothing_reconnects(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "20", "--rate", "0"], STALE_AFTER_MS="1500")
    hub.wait_until_covered()
    eventually(lambda: {payload["trust"] for payload in hub.get("/tickers").json().values()} == {"quiet"}, 6)
    time.sleep(3)
    assert {payload["trust"] for payload in hub.get("/tickers").json().values()} == {"quiet"}
    assert [slot["reconnects"] for slot in hub.get("/connections").json()["connections"]] == [0, 0]
    body = hub.get("/price/BTC-USD").json()
    assert body["verified_ms"] < 1500 < body["age_ms"]
    assert hub.get("/price/BTC-USD?max_age_ms=1500").status_code == 200
    assert hub.get("/price/BTC-USD?max_tick_age_ms=1500").status_code == 503
    assert hub.health()["status"] == "healthy"


def restarted(hub: HubProcess, state_dir: Path, **environment: str) -> HubProcess:
    """Kill a hub, without a goodbye, and return one that goes on in its place."""
    hub.process.kill()
    hub.process.wait(5)
    return continued(hub, state_dir, **environment)


def continued(hub: HubProcess, state_dir: Path, **environment: str) -> HubProcess:
    """Return a hub that goes on in the place of one that has ended."""
    assert hub.simulator is not None
    settings = {
        "WS_URL": hub.simulator.ws_url, "REST_URL": hub.simulator.rest_url, "WS_DIALECT": "exchange",
        "STATE_DIR": str(state_dir), **environment,
    }  # fmt: skip
    return HubProcess(None, settings, [])


def test_gaps_of_before_a_restart_heal_where_they_are_watched_and_end_where_not(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    rest_is_back_at = time.monotonic() + 6
    fault(hub, "rest", seconds=6, status=503)
    for product_id in ("BTC-USD", "ETH-USD"):
        fault(hub, "drop", product=product_id, count=3)
        eventually(lambda product_id=product_id: gaps(hub, product=product_id, open="true"), 3)
    before = {gap["product"]: gap for gap in gaps(hub, open="true")}
    time.sleep(1.5)
    (state_dir,) = [path for path in tmp_path.iterdir() if list(path.glob("ledger-*.sqlite"))]
    time.sleep(max(0.0, rest_is_back_at - time.monotonic()))
    again = restarted(hub, state_dir, MONITORING_CRYPTOS="BTC-USD,SOL-USD")
    try:
        eventually(lambda: not gaps(again, open="true"), 20)
        after = {gap["id"]: gap for gap in gaps(again)}
        healed = after[before["BTC-USD"]["id"]]
        assert (healed["epoch"], healed["healed"], healed["missing"]) == (before["BTC-USD"]["epoch"], "backfill", 0)
        ended = after[before["ETH-USD"]["id"]]
        assert (ended["open"], ended["healed"]) == (False, "not watched")
        assert ended["missing_ranges"] == before["ETH-USD"]["missing_ranges"]
        counters = again.health()["counters"]
        assert counters.get("unexpected", 0) == 0  # nothing was fetched for nobody
        assert counters.get("asked_again", 0) == 0
    finally:
        again.stop()


def test_the_ledger_and_what_a_restart_missed(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    fault(hub, "drop", product="BTC-USD", count=2)
    eventually(lambda: [item for item in gaps(hub, product="BTC-USD") if not item["open"]])
    before = hub.get("/gaps").json()
    time.sleep(1.5)
    state_dir = next(path for path in tmp_path.iterdir() if list(path.glob("ledger-*.sqlite")))
    again = restarted(hub, state_dir)
    try:
        again.wait_until_covered()
        after = eventually(lambda: (body := again.get("/gaps").json())["open"] == 0 and body, 20)
        assert after["epoch"] != before["epoch"]
        kept = {gap["id"]: gap for gap in after["gaps"] if gap["epoch"] == before["epoch"]}
        assert all(kept[gap["id"]] == gap for gap in before["gaps"] if not gap["open"])
        missed = [gap for gap in after["gaps"] if gap["cause"] == "restart"]
        assert missed
        assert {gap["healed"] for gap in missed} == {"backfill"}
        assert {gap["epoch"] for gap in missed} == {after["epoch"]}
    finally:
        again.stop()


def test_a_ledger_that_is_locked_at_the_start_is_read_later_and_a_corrupt_one_set_aside(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    fault(hub, "drop", product="BTC-USD", count=2)
    before = eventually(lambda: [item for item in gaps(hub, product="BTC-USD") if not item["open"]])[0]
    time.sleep(1.5)
    (path,) = tmp_path.glob("*/ledger-*.sqlite")
    hub.process.kill()
    hub.process.wait(5)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("pragma locking_mode = exclusive")
    lock.execute("begin exclusive")
    again = continued(hub, path.parent)
    try:
        again.wait_until_covered()
        assert again.health()["counters"]["store_failures"] >= 1
        assert all(gap["id"] != before["id"] for gap in gaps(again))
        lock.close()
        eventually(lambda: before in gaps(again), 10)
        missed = eventually(lambda: [gap for gap in gaps(again) if gap["cause"] == "restart"])
        eventually(lambda: not gaps(again, open="true"), 20)
        assert all(gap["id"] > before["id"] for gap in missed)
    finally:
        lock.close()
        again.stop()
    path.write_bytes(b"no database" * 1_000)
    third = continued(hub, path.parent)
    try:
        assert third.wait_until_covered()["counters"]["store_failures"] == 1
        assert len(list(path.parent.glob("*.corrupt-*"))) == 1
        assert third.log().count("can't be kept") == 1
        fault(hub, "drop", product="BTC-USD", count=2)
        eventually(lambda: [item for item in gaps(third, product="BTC-USD") if not item["open"]])
    finally:
        third.stop()
    db = sqlite3.connect(path)
    assert db.execute("select count(*) from gaps").fetchone()[0] >= 1
    db.close()


def test_an_explanation_holds_what_one_asks_for_at_night(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=SMALL)
    hub.wait_until_covered()
    fault(hub, "drop", product="BTC-USD", count=4)
    eventually(lambda: gaps(hub, product="BTC-USD"))
    body = hub.get("/price/btc-usd/explain").json()
    assert body["product"] == "BTC-USD"
    assert body["slot"]["connection_id"] == "conn_000"
    assert "number 1 of 20" in body["slot"]["why"]
    assert body["last_frames"]
    assert all('"BTC-USD"' in item["frame"] for item in body["last_frames"])
    assert body["gaps"][0]["cause"] == "sequence"
    assert body["history"][0]["trust"] == "live"
    assert body["ids"]["last"] >= body["ids"]["last_delivered"] > 0
    assert hub.get("/price/NOPE-USD/explain").status_code == 404
