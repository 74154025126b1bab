"""Two ways to the same prices, and REST where both are gone: a trade leaves once, and no price is stale in silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener

PRODUCTS = 40
SIMULATOR = ["--products", str(PRODUCTS), "--rate", "300"]
MAX_STALE_SECONDS = 3.0
REST_SECONDS = 5.0
BACK_SECONDS = 10.0


def fault(hub: HubProcess, kind: str, **fields: Any) -> None:
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": kind, **fields})


def gone(hub: HubProcess, endpoint: str) -> None:
    fault(hub, "refuse", endpoint=endpoint, status=503, seconds=None)
    fault(hub, "kill", endpoint=endpoint, connections="all")


def alone(hub_factory: Callable[..., HubProcess]) -> HubProcess:
    """Return a covered hub on Advanced Trade alone."""
    hub = hub_factory(simulator=SIMULATOR, FEED="advanced_trade", WS_URL="", WS_DIALECT="")
    hub.wait_until_covered()
    return hub


def tickers(hub: HubProcess) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = hub.get("/tickers").json()
    return found


def up(hub: HubProcess) -> dict[str, bool]:
    """Return path → whether all of its connections are up."""
    paths = hub.health()["paths"].items()
    return {name: path["connected_connections"] == path["total_connections"] > 0 for name, path in paths}


class Watcher:
    """Reads all prices again and again; knows how long each was called stale."""

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self._since: dict[str, float] = {}
        self.longest = 0.0
        self.sources: set[str] = set()

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Watch for so long, or until something is so; return how long that took."""
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            for product_id, ticker in tickers(self._hub).items():
                self.sources.add(ticker["source"])
                if ticker["trust"] != "stale":
                    self._since.pop(product_id, None)
                    continue
                self.longest = max(self.longest, now - self._since.setdefault(product_id, now))
            if until():
                return time.monotonic() - begun
            time.sleep(0.1)
        assert not until(), "and that is later than it is watched for"
        return seconds


class Account:
    """Holds the live and the late trades of a listener against what happened on the exchange."""

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self.listener = Listener(hub.url, ["websocket"])
        eventually(lambda: len(self.listener.events["ticker_update"]) >= PRODUCTS)

    def check(self) -> None:
        """All came, each once."""
        assert self._hub.simulator is not None
        self._hub.simulator.control("pause", {})
        watched = tickers(self._hub)
        sent = self._hub.simulator.control("sent")["products"]
        happened = {one: row for one, row in sent.items() if one in watched}
        eventually(lambda: all(
            self._hub.get(f"/price/{one}/explain").json()["ids"]["last"] == row["last_id"]
            for one, row in happened.items()
        ), 20)  # fmt: skip
        eventually(lambda: self._hub.health()["open_gaps"] == 0, 40)
        time.sleep(0.5)
        self.listener.close()
        ids: dict[str, list[int]] = {}
        for event in ("ticker_update", "trade_backfill"):
            for tick in self.listener.events[event]:
                # REST's statistics name no trade; the snapshot's events have ages
                if tick["trade_id"] and "age_ms" not in tick:
                    ids.setdefault(tick["crypto"], []).append(tick["trade_id"])
        assert len(ids) > PRODUCTS / 4  # a short test: not every product trades within it
        for product_id, found in ids.items():
            assert sorted(found) == list(range(min(found), happened[product_id]["last_id"] + 1)), product_id


@pytest.fixture
def both(hub_factory: Callable[..., HubProcess]) -> HubProcess:
    hub = hub_factory(simulator=SIMULATOR, FEED="both")
    hub.wait_until_covered()
    eventually(lambda: up(hub) == {"exchange": True, "advanced_trade": True}, 20)
    return hub


def test_with_both_paths_each_trade_leaves_once(both: HubProcess) -> None:
    account = Account(both)
    rows = both.get("/connections").json()["connections"]
    assert [row["connection_id"] for row in rows] == ["conn_000", "conn_001", "conn_002", "adv_000"]
    assert [row["products_count"] for row in rows] == [14, 13, 13, PRODUCTS]
    time.sleep(3)
    account.check()
    body = both.health()
    assert (body["status"], body["reasons"], body["refused_frames"]) == ("healthy", [], {})
    assert body["counters"]["duplicate"] > 300  # what the slower path brought
    assert body["counters"]["rest_polls"] == 0


@pytest.mark.parametrize(("first", "other"), [("exchange", "advanced_trade"), ("advanced_trade", "exchange")])
def test_where_one_path_is_gone_the_other_carries_on(both: HubProcess, first: str, other: str) -> None:
    account, watcher = Account(both), Watcher(both)
    gone(both, first)
    watcher.watch(12.0)
    body = both.health()
    assert body["paths"][first]["connected_connections"] == 0
    assert [reason for reason in body["reasons"] if f"{first} is gone" in reason]
    assert up(both)[other]
    assert body["status"] == "warning"
    assert both.simulator is not None
    both.simulator.control("clear", {})
    assert watcher.watch(BACK_SECONDS + 2, lambda: up(both)[first]) <= BACK_SECONDS
    account.check()
    assert watcher.longest <= MAX_STALE_SECONDS
    eventually(lambda: both.health()["status"] == "healthy", 75)


def test_without_any_socket_prices_come_by_rest_and_say_so(both: HubProcess) -> None:
    account, watcher = Account(both), Watcher(both)
    gone(both, "both")
    served = watcher.watch(
        REST_SECONDS + 2, lambda: {ticker["source"] for ticker in tickers(both).values()} == {"rest"}
    )
    assert served <= REST_SECONDS
    watcher.watch(8.0)
    body = both.health()
    assert (body["status"], body["connected_connections"]) == ("critical", 0)
    assert any("by REST" in reason for reason in body["reasons"])
    told = [tick for tick in account.listener.events["ticker_update"] if tick["source"] == "rest"]
    assert told
    assert all(tick["simulated"] for tick in told)
    assert both.simulator is not None
    both.simulator.control("clear", {})
    back = watcher.watch(BACK_SECONDS + 2, lambda: all(up(both).values()))
    assert back <= BACK_SECONDS
    eventually(lambda: {ticker["source"] for ticker in tickers(both).values()} <= {"ws", "backfill", "simulator"}, 10)
    assert watcher.longest <= MAX_STALE_SECONDS
    account.check()


def test_advanced_trade_alone_proves_no_silence_but_rest_does(hub_factory: Callable[..., HubProcess]) -> None:
    hub = alone(hub_factory)
    assert [row["connection_id"] for row in hub.get("/connections").json()["connections"]] == ["conn_000"]
    assert hub.simulator is not None
    fault(hub, "stuck", product="BTC-USD", endpoint="advanced_trade", seconds=None)
    eventually(lambda: tickers(hub)["BTC-USD"]["source"] == "rest", 10)
    assert tickers(hub)["BTC-USD"]["trust"] in ("live", "quiet")
    fault(hub, "rest", status=503, seconds=None)
    body = eventually(lambda: (seen := tickers(hub)["BTC-USD"])["trust"] == "stale" and seen, 10)
    assert body["verified_ms"] > 5000


def test_lost_frames_are_noticed_by_their_numbers(hub_factory: Callable[..., HubProcess]) -> None:
    hub = alone(hub_factory)
    account = Account(hub)
    fault(hub, "drop", endpoint="advanced_trade", product="BTC-USD", count=3)
    eventually(lambda: hub.health()["refused_frames"].get("sequence_gap"), 15)
    account.check()
