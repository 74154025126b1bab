"""Recorded frames of the real exchange through the whole hub, to a connected client."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener

SPEED = 20
MAX_GAP_SECONDS = 1  # a hole of 35 minutes in one recording would be 105 s of nothing
SHORTEST, REPEATING = "coinbase_2025-11-29_23", "coinbase_2025-11-28_16"  # the other has resubscribe repeats


def read_frames(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream]


def played(path: Path, speed: str) -> list[str]:
    """Return the arguments of a simulator that plays a file once it is told to start."""
    return ["--replay", str(path), "--speed", speed, "--max-gap", str(MAX_GAP_SECONDS), "--hold"]


def replay(hub: HubProcess) -> Listener:
    """Have a hub's simulator play its file; return a client that was there before the first frame, at the end."""
    assert hub.simulator is not None
    eventually(lambda: hub.health()["connected_connections"] >= 1)
    listener = Listener(hub.url)
    hub.simulator.control("start", {})
    eventually(lambda: hub.simulator.control("replay")["state"] == "done", 400, 0.5)
    return listener


def check(hub: HubProcess, listener: Listener, frames: list[dict[str, Any]], lags: bool = False) -> tuple[int, int]:
    """Hold what the client got against what was played; one that ``lags`` may get less, and is told how much less.

    Return how many different trades were played, and how many of them came late.
    """
    last = {frame["product_id"]: frame for frame in frames}
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    highest: dict[str, int] = {}
    late: Counter[tuple[str, int]] = Counter()
    for frame in frames:
        product_id, trade_id = frame["product_id"], frame["trade_id"]
        if trade_id > highest.get(product_id, -1):
            wanted[product_id].append(trade_id)
            highest[product_id] = trade_id
        elif trade_id not in wanted[product_id]:
            late[product_id, trade_id] = 1
    total = sum(map(len, wanted.values()))
    got: defaultdict[str, list[int]] = defaultdict(list)

    def told() -> tuple[int, int]:
        """Return how many ticks, and how many other events, the client was told that it would not get."""
        events = listener.events["lag"]
        return sum(item["conflated"] for item in events), sum(item["dropped"] for item in events)

    eventually(lambda: len(listener.events["ticker_update"]) + told()[0] >= total, 20)
    time.sleep(0.5)  # what should not come would come now
    listener.close()
    conflated, dropped = told()
    assert lags or (conflated, dropped) == (0, 0)
    assert len(listener.events["ticker_update"]) + conflated == total
    for tick in listener.events["ticker_update"]:
        got[tick["crypto"]].append(tick["trade_id"])
        assert tick["simulated"] is True
    for product_id, sent in wanted.items():  # every distinct id exactly once, in order
        kept = {*got[product_id], sent[-1]} if conflated else set(sent)
        ids = [item for item in sent if item in kept]
        assert sorted(set(ids) - set(got[product_id])) == [], "missed"
        assert [item for item, times in Counter(got[product_id]).items() if times > 1] == [], "twice"
        assert got[product_id] == ids
    backfilled = Counter((tick["crypto"], tick["trade_id"]) for tick in listener.events["trade_backfill"])
    assert backfilled <= late
    assert backfilled.total() + dropped == late.total()
    for product_id, frame in last.items():
        body = hub.get(f"/price/{product_id}").json()
        assert body["price"] == float(frame["price"])
        assert body["trade_id"] == frame["trade_id"]
    return total, late.total()


@pytest.mark.long
@pytest.mark.recordings
def test_a_recording_at_20_times_its_speed(hub_factory: Callable[..., HubProcess], recordings: Path) -> None:
    """The shortest; ``make soak`` plays all of them so."""
    path = recordings / f"{SHORTEST}.jsonl.gz"
    hub = hub_factory(simulator=played(path, str(SPEED)))
    check(hub, replay(hub), read_frames(path))


@pytest.mark.recordings
def test_a_recording_as_fast_as_it_is_taken(hub_factory: Callable[..., HubProcess], recordings: Path) -> None:
    path = recordings / f"{REPEATING}.jsonl.gz"
    hub = hub_factory(simulator=played(path, "max"))
    check(hub, replay(hub), read_frames(path), lags=True)


def test_late_frames_leave_as_backfill_and_repeats_leave_nowhere(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    order = [10, 11, 14, 12, 14, 12, 15, 13, 9, 9, 15, 16]
    same = ("open_24h", "volume_24h", "low_24h", "high_24h", "volume_30d", "best_bid", "best_bid_size", "best_ask",
            "best_ask_size", "last_size")  # fmt: skip
    frames = [
        {
            "type": "ticker", "sequence": 100 + index, "product_id": "BTC-USD", "price": f"{50000 + trade_id}.5",
            "time": f"2026-01-02T03:04:{index:02d}.000000Z", "trade_id": trade_id, "side": "buy",
            **dict.fromkeys(same, "1.0"),
        }
        for index, trade_id in enumerate(order)
    ]  # fmt: skip
    path = tmp_path / "late.jsonl"
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    hub = hub_factory(simulator=played(path, "max"))
    listener = replay(hub)
    eventually(lambda: len(listener.events["ticker_update"]) == 5)
    time.sleep(0.3)
    listener.close()
    assert [tick["trade_id"] for tick in listener.events["ticker_update"]] == [10, 11, 14, 15, 16]
    backfill = listener.events["trade_backfill"]
    assert [tick["trade_id"] for tick in backfill] == [12, 13, 9]
    assert set(backfill[0]) == set(listener.events["ticker_update"][0])
    assert hub.get("/price/BTC-USD").json()["price"] == 50016.5
