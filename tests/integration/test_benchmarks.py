"""The benchmarks count what they claim: every tick at every client, wherever the stream is cut."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks import fanout, latency
from benchmarks.clients import Counting, Sampling
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
