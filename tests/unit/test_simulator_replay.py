"""Recordings played again: when each frame is due, and what is known after it."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest

from hub.simulator.history import IdRanges
from hub.simulator.replay import Pacer, RecordedMarket, marked


class Listeners:
    """An audience with as much room as a test gives it."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.subscribed = True

    def has_room(self, product_id: str) -> bool:  # noqa: ARG002
        self.room -= 1
        return self.room >= 0

    def covers(self, product_ids: tuple[str, ...]) -> bool:  # noqa: ARG002
        return self.subscribed


def line(product_id: str, trade_id: int, second: float, price: str = "133.630") -> bytes:
    fields = {"type": "ticker", "sequence": trade_id * 3, "product_id": product_id, "price": price,
              "open_24h": "131.34", "volume_24h": "1.5", "low_24h": "1", "high_24h": "999", "volume_30d": "30",
              "best_bid": "133.6", "best_bid_size": "1", "best_ask": "133.7", "best_ask_size": "1", "side": "buy",
              "time": f"2025-11-24T17:14:{second:09.6f}Z", "trade_id": trade_id, "last_size": "2.9"}  # fmt: skip
    return json.dumps(fields, separators=(",", ":")).encode()


LINES = [line("SOL-USD", 10, 1.0), line("BTC-USD", 50, 0.5), line("SOL-USD", 11, 3.0), line("SOL-USD", 13, 43.0)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def test_gaps_are_those_of_the_running_maximum_divided_by_the_speed() -> None:
    pacer = Pacer(speed=2.0)
    assert [pacer.gap(t) for t in (100.0, 99.0, 101.0, 100.5, 105.0)] == [0.0, 0.0, 0.5, 0.0, 2.0]


def test_a_hole_is_capped_in_wall_seconds() -> None:
    pacer = Pacer(speed=2.0, max_gap=1.5)
    assert [pacer.gap(t) for t in (0.0, 2.0, 2_000.0, 2_002.0)] == [0.0, 1.0, 1.5, 1.0]


def test_at_full_speed_nothing_waits() -> None:
    pacer = Pacer(speed=None)
    assert [pacer.gap(t) for t in (0.0, 50.0, 5_000.0)] == [0.0, 0.0, 0.0]


def test_frames_come_in_wire_order_when_they_are_due(recording: Path) -> None:
    market, audience = RecordedMarket([recording], speed=2.0, max_gap=5.0), Listeners()

    def due(now: float) -> list[int]:
        return [tick.trade_id for tick in market.due(now, 0.0, audience)]

    assert due(100.0) == [10, 50]
    assert due(100.9) == []
    assert due(101.0) == [11]
    assert due(105.9) == []
    assert market.progress() == {"state": "playing", "sent": 3, "total": 4}
    assert due(106.0) == [13]
    assert due(106.0) == []
    assert market.progress() == {"state": "done", "sent": 4, "total": 4}


def test_it_waits_for_subscribers_and_for_the_command(recording: Path) -> None:
    market, audience = RecordedMarket([recording], speed=None, hold=True), Listeners()
    audience.subscribed = False
    assert list(market.due(1.0, 0.0, audience)) == []
    audience.subscribed = True
    assert list(market.due(2.0, 0.0, audience)) == []
    assert market.progress()["state"] == "waiting"
    market.start()
    assert len(list(market.due(3.0, 0.0, audience))) == 4


def test_a_full_buffer_delays_and_loses_nothing(recording: Path) -> None:
    market, audience = RecordedMarket([recording], speed=None), Listeners()
    audience.room = 1
    assert [tick.trade_id for tick in market.due(0.0, 0.0, audience)] == [10]
    audience.room = 10
    assert [tick.trade_id for tick in market.due(0.0, 0.0, audience)] == [50, 11, 13]


def test_a_frame_keeps_its_bytes_behind_the_mark(recording: Path) -> None:
    market = RecordedMarket([recording], speed=None)
    frames = [tick.frame for tick in market.due(0.0, 0.0, Listeners())]
    assert frames == [b'{"simulated":true,' + one[1:] for one in LINES]
    assert json.loads(marked(LINES[0]))["price"] == "133.630"


def test_what_is_known_grows_with_what_was_played(recording: Path) -> None:
    market, audience = RecordedMarket([recording], speed=None), Listeners()
    assert market.snapshot("SOL-USD") is None
    assert json.loads(market.heartbeat("SOL-USD", 0.0))["last_trade_id"] == 0
    assert market.stats("SOL-USD")["open"] == "131.34"
    assert market.trades("SOL-USD", 10, None, None) == []
    assert market.happened("SOL-USD") == []
    list(market.due(0.0, 0.0, audience))
    assert market.snapshot("SOL-USD") == marked(LINES[3])
    heartbeat = json.loads(market.heartbeat("SOL-USD", 0.0))
    assert (heartbeat["last_trade_id"], heartbeat["time"]) == (13, "2025-11-24T17:14:43.000000Z")
    assert [row["trade_id"] for row in market.trades("SOL-USD", 2, None, None)] == [13, 11]
    assert [row["trade_id"] for row in market.trades("SOL-USD", 9, 10, 13)] == [11]
    assert market.happened("SOL-USD") == [[10, 11], [13, 13]]
    assert [row["id"] for row in market.listing()] == ["SOL-USD", "BTC-USD"]


def test_a_late_frame_is_not_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "late.jsonl.gz"
    path.write_bytes(gzip.compress(line("A-USD", 7, 1.0) + b"\n" + line("A-USD", 6, 0.5) + b"\n"))
    market = RecordedMarket([path], speed=None)
    assert [tick.trade_id for tick in market.due(0.0, 0.0, Listeners())] == [7, 6]
    assert market.snapshot("A-USD") == marked(line("A-USD", 7, 1.0))
    assert market.happened("A-USD") == [[6, 7]]


@pytest.mark.parametrize(
    "bad", [b"{", b"[]", b'{"type":"heartbeat"}', LINES[0].replace(b'"133.630"', b"133.630"), b'{"type":"ticker"}']
)
def test_a_line_that_is_no_ticker_is_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(LINES[0] + b"\n" + bad + b"\n")
    with pytest.raises(ValueError, match=r"bad\.jsonl:2: "):
        RecordedMarket([path])


def test_no_frame_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="no frame"):
        RecordedMarket([path])


def test_id_ranges_are_those_of_a_set() -> None:
    ranges, ids = IdRanges(), set()
    for number in range(2_000):
        trade_id = number * 7919 % 1_009 if number % 2 else number
        ranges.add(trade_id)
        ids.add(trade_id)
        pairs = ranges.pairs()
        if number % 50 == 0:
            assert {one for first, last in pairs for one in range(first, last + 1)} == ids
            assert all(left[1] + 1 < right[0] for left, right in pairwise(pairs))
