"""The benchmarks count what they claim: every tick at every client, wherever the stream is cut."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks import fanout, latency, polling
from benchmarks.clients import Counting, Sampling
from benchmarks.records import Shown, Tape, Trade, Witness, delays
from hub.wire import text_frame

CLIENTS = 5
STREAM_CUTS = (1, 3, 7, 50, 100_000)


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    path = tmp_path / "ticks.json"
    path.write_text(json.dumps(fanout.make_ticks()))
    return path


@pytest.mark.parametrize("side", ["hub", "plain emit", "bare loop"])
def test_every_tick_of_the_fanout_is_counted_at_every_client(side: str, ticks: Path) -> None:
    with fanout.Side(side, CLIENTS, ticks) as running:
        figures = running.send(0.2, 8)  # raises if a client missed one
    assert figures["ticks"] >= 8
    assert figures["frames_per_second"] > 0


def test_a_client_that_missed_a_tick_fails_the_run(ticks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fanout.Side("bare loop", CLIENTS, ticks) as running:
        asked = running.clients.ask
        monkeypatch.setattr(running.clients, "ask", lambda line: asked(f"expect {int(line.split()[1]) + 1}"))
        with pytest.raises(RuntimeError, match="but they got"):
            running.send(0.1, 8, 1_000.0)


def test_no_tick_is_lost_between_exchange_and_clients() -> None:
    figures = latency.measure(CLIENTS, 300, 1.0, warm_up_seconds=0.2)
    assert figures["lost"] == 0
    assert 0 < figures["p50"] <= figures["p99"]


@pytest.mark.long
def test_sockets_bring_every_trade_and_polling_few() -> None:
    with ThreadPoolExecutor(len(polling.WAYS)) as pool:
        played = pool.map(lambda way: polling.measure(way, 20, 200, 4.0), polling.WAYS)
        found = dict(zip(polling.WAYS, played, strict=True))
    ws, fallback, poller = found.values()
    assert all(one["never"] == 0 < one["moves"] <= one["happened"] for one in found.values())
    assert (ws["seen"], ws["requests"], ws["refused"]) == (ws["happened"], 0, 0)
    # 2 s a round, so that each product is asked 2 or 3 times in the 4 s, and once more when trading has ended
    assert 0 < poller["seen"] <= 4 * 20 < poller["happened"] / 5
    assert 0 < poller["requests"] <= 11
    assert 0 < fallback["requests"] <= 11
    assert ws["p50"] < min(fallback["p50"], poller["p50"])
    assert f"{ws['seen'] / ws['happened']:.2%}" in polling.conclusion(found)


TRADES = [Trade(1, 10.0, 5.0), Trade(2, 11.0, 6.0), Trade(3, 12.0, 6.0), Trade(4, 13.0, 5.0), Trade(5, 14.0, 7.0)]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        # the third trade moved nothing; the first is before the window
        ([Shown(10.1, 1, 5.0), Shown(11.25, 2, 6.0), Shown(12.5, 3, 6.0), Shown(13.5, 4, 5.0)], ([0.25, 0.5], [14.0])),
        ([Shown(14.5, 5, 7.0)], ([3.5, 1.5, 0.5], [])),  # a later one is as good
        ([Shown(10.1, 1, 5.0), Shown(13.5, 1, 5.0)], ([], [11.0, 13.0, 14.0])),  # an old trade is not, at any price
        ([Shown(12.5, 0, 6.0), Shown(13.5, 0, 5.0)], ([1.5, 0.5], [14.0])),  # a price alone: the newest trade at it
        ([Shown(10.1, 1, 5.0), Shown(13.5, 0, None)], ([2.5, 0.5], [14.0])),  # asked again, and it is the same
        ([Shown(15.0, 0, 5.0)], ([4.0, 2.0], [14.0])),  # it is told late, when another has come
        ([Shown(15.0, 0, 9.9)], ([], [11.0, 13.0, 14.0])),  # a price at which there was none
        ([], ([], [11.0, 13.0, 14.0])),
    ],
)
def test_a_delay_ends_with_word_of_that_trade_or_a_later_one(
    shown: list[Shown], expected: tuple[list[float], list[float]]
) -> None:
    assert delays(TRADES, shown, 10.5, 14.5) == expected


def test_a_tape_tells_when_each_tick_had_come_whole() -> None:
    tape = Tape.__new__(Tape)
    tape.bytes = tape.ticks = 0
    tape.parts = []
    data = b"".join(
        text_frame(f'42["{name}",{{"crypto":"{product}","price":{price},"bid":1.0,"trade_id":{number}}}]'.encode())
        for name, product, price, number in (
            ("ticker_update", "A-USD", 1.5, 7), ("trade_backfill", "A-USD", 1.25, 6), ("ticker_update", "B-USD", 2.0, 0)
        )
    )  # fmt: skip
    for at in range(0, len(data), 10):
        tape.take(memoryview(data)[at : at + 10], float(at))
    shown, told = tape.shown()
    assert told == {("A-USD", 7), ("A-USD", 6), ("B-USD", 0)}
    polled_at = shown["B-USD"][0].at
    assert shown["A-USD"] == [Shown(shown["A-USD"][0].at, 7, 1.5), Shown(polled_at, 0, None)]
    assert 0 < shown["A-USD"][0].at < polled_at


def test_a_witness_that_missed_a_trade_says_so() -> None:
    witness = Witness.__new__(Witness)
    witness._parts = [
        f'{{"type":"ticker","sequence":1,"product_id":"A-USD","price":"1.5","time":"2026-01-01T00:00:0{at}Z",'
        f'"trade_id":{at}}}'.encode()
        for at in (1, 2, 4)
    ]
    assert [trade.price for trade in witness.trades({})["A-USD"]] == [1.5] * 3
    with pytest.raises(RuntimeError, match="missed trades of A-USD"):
        witness.trades({"A-USD": 4})


def client_without_a_socket(kind: type[Counting]) -> Counting:
    client = kind.__new__(kind)
    client.bytes = client.ticks = 0
    if isinstance(client, Sampling):
        client.begin()
    return client


def stream(first_id: int, last_id: int) -> bytes:
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 1))
    texts = (
        f'42["ticker_update",{{"crypto":"A-USD","price":1.0,"time":"{when}","trade_id":{number}}}]'
        for number in range(first_id, last_id + 1)
    )
    return b"".join(text_frame(text.encode()) for text in texts)


@pytest.mark.parametrize("size", STREAM_CUTS)
@pytest.mark.parametrize("kind", [Counting, Sampling])
def test_ticks_are_counted_wherever_the_stream_is_cut(kind: type[Counting], size: int) -> None:
    client, data = client_without_a_socket(kind), stream(1, 30)
    for at in range(0, len(data), size):
        client.take(memoryview(data)[at : at + size], time.time())
    assert (client.ticks, client.bytes) == (30, len(data))


@pytest.mark.parametrize("size", STREAM_CUTS)
def test_sampling_tells_age_and_holes(size: int) -> None:
    client, data = client_without_a_socket(Sampling), stream(1, 10) + stream(12, 20)
    assert isinstance(client, Sampling)
    for at in range(0, len(data), size):
        client.take(memoryview(data)[at : at + size], time.time())
        client.look()
    assert client.last_ids == {b"A-USD": 20}
    assert client.out_of_order == 1
    assert len(client.latencies_ms) == 19
    assert all(900 < value < 5_000 for value in client.latencies_ms)
