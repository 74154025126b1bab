"""From an event to every client: once, in order, without a hole after the snapshot."""

import json
import threading

import pytest
from engineio.async_drivers import threading as _driver  # noqa: F401 - what "threading" below stands for
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout.batch import Batch, Frames, Message
from hub.fanout.broadcast import MAX_GATHERED, Fanout
from hub.fanout.engine import MAX_POLLING_PACKETS, ClientSocket, HubEngine
from hub.wire import text_frame


class Reader:
    """Takes every batch; ``read()`` is what it was told, as (event, value)."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def offer(self, batch: Batch) -> bool:
        self.batches.append(batch)
        return True

    def cut(self) -> None:
        self.was_cut = True

    def read(self) -> list[tuple[str, object]]:
        texts = [packet.data for batch in self.batches for packet in batch.packets()]
        return [tuple(json.loads(text[1:])) for text in texts]


class Leaver(Reader):
    """Takes so many batches and is gone then."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._left = batches

    def offer(self, batch: Batch) -> bool:
        self._left -= 1
        return self._left >= 0 and super().offer(batch)


class Raiser(Reader):
    """Fails at every batch."""

    def offer(self, batch: Batch) -> bool:
        raise RuntimeError(f"a bug in a client, at {batch!r}")


def numbers(reader: Reader) -> list[object]:
    return [value for _, value in reader.read()]


def add(fanout: Fanout, name: str, client: Reader, *snapshot: tuple[str, str]) -> None:
    fanout.add(name, client, lambda: snapshot)


# -- the bytes -----------------------------------------------------------------------------------------


def test_a_message_is_a_socketio_event() -> None:
    message = Message("ticker_update", '{"price":133.630}')
    assert message.text == '2["ticker_update",{"price":133.630}]'
    assert message.frame == text_frame(b'42["ticker_update",{"price":133.630}]')


def test_a_batch_is_the_frames_of_its_messages_in_order() -> None:
    messages = [Message("e", str(number)) for number in range(3)]
    batch = Batch(iter(messages))
    assert type(batch.encode()) is Frames
    assert batch.encode() == b"".join(message.frame for message in messages)
    assert [packet.encode() for packet in batch.packets()] == ['42["e",0]', '42["e",1]', '42["e",2]']


def test_text_beyond_ascii_is_utf_8() -> None:
    message = Message("e", '"€"')
    assert message.frame == text_frame('42["e","€"]'.encode())


# -- the seam ------------------------------------------------------------------------------------------


def test_every_message_reaches_every_client_in_order() -> None:
    fanout, readers = Fanout(0.01), [Reader(), Reader()]
    for index, reader in enumerate(readers):
        add(fanout, str(index), reader)
    for number in range(5):
        fanout.publish("e", str(number))
    fanout.flush()
    fanout.flush()
    for reader in readers:
        assert reader.read() == [("e", number) for number in range(5)]
        assert len(reader.batches) == 1
    assert readers[0].batches[0] is readers[1].batches[0]  # made once for all
    assert fanout.client_count == 2


def test_a_new_client_gets_its_snapshot_and_then_only_what_is_newer() -> None:
    fanout, early, late = Fanout(0.01), Reader(), Reader()
    add(fanout, "early", early)
    fanout.publish("e", "1")
    add(fanout, "late", late, ("ticker_update", "1"))
    fanout.publish("e", "2")
    fanout.flush()
    assert late.read() == [("ticker_update", 1), ("e", 2)]
    assert early.read() == [("e", 1), ("e", 2)]


def test_the_snapshot_is_taken_when_the_client_comes() -> None:
    fanout, prices, late = Fanout(0.01), ["1"], Reader()
    prices[0] = "2"
    fanout.add("late", late, lambda: [("ticker_update", price) for price in prices])
    assert late.read() == [("ticker_update", 2)]


def test_an_empty_snapshot_sends_nothing() -> None:
    fanout, reader = Fanout(0.01), Reader()
    add(fanout, "a", reader)
    assert reader.batches == []
    fanout.publish("e", "1")
    fanout.flush()
    assert numbers(reader) == [1]


def test_a_client_that_is_gone_is_dropped_and_the_others_lose_nothing() -> None:
    fanout, leaver, reader = Fanout(0.01), Leaver(1), Reader()
    add(fanout, "leaver", leaver)
    add(fanout, "reader", reader)
    for number in range(3):
        fanout.publish("e", str(number))
        fanout.flush()
    assert (numbers(leaver), numbers(reader)) == ([0], [0, 1, 2])
    assert fanout.client_count == 1


def test_a_client_that_is_gone_before_its_snapshot_never_joins() -> None:
    fanout = Fanout(0.01)
    add(fanout, "leaver", Leaver(0), ("e", "1"))
    assert fanout.client_count == 0


def test_a_client_that_raises_costs_the_others_nothing() -> None:
    fanout, reader = Fanout(0.01), Reader()
    add(fanout, "raiser", Raiser())
    add(fanout, "reader", reader)
    fanout.publish("e", "1")
    fanout.flush()
    assert numbers(reader) == [1]


def test_a_removed_client_gets_nothing_more() -> None:
    fanout, reader = Fanout(0.01), Reader()
    add(fanout, "a", reader)
    fanout.remove("a")
    fanout.remove("a")
    fanout.publish("e", "1")
    fanout.flush()
    assert (reader.batches, fanout.client_count) == ([], 0)


def test_without_clients_nothing_is_kept_for_the_next_one() -> None:
    fanout, reader = Fanout(0.01), Reader()
    fanout.publish("e", "1")
    add(fanout, "a", reader)
    fanout.flush()
    assert reader.batches == []


def test_what_is_gathered_is_bounded_and_nothing_is_dropped() -> None:
    fanout, reader = Fanout(0.01), Reader()
    add(fanout, "a", reader)
    for number in range(2 * MAX_GATHERED + 5):
        fanout.publish("e", str(number))
    assert len(reader.batches) == 2  # nobody flushed
    fanout.flush()
    assert numbers(reader) == list(range(2 * MAX_GATHERED + 5))


moves = st.lists(st.sampled_from(["publish", "flush", "join", "leave"]), max_size=60)


@given(moves)
def test_each_client_is_told_everything_since_its_snapshot_exactly_once(steps: list[str]) -> None:
    fanout = Fanout(0.01)
    published = 0
    present: dict[str, tuple[Reader, int]] = {}  # name → (client, what its snapshot held)
    for index, step in enumerate(steps):
        if step == "publish":
            published += 1
            fanout.publish("e", str(published))
        elif step == "flush":
            fanout.flush()
        elif step == "join":
            reader = Reader()
            add(fanout, str(index), reader, ("snapshot", str(published)))
            present[str(index)] = (reader, published)
        elif present:
            fanout.flush()
            fanout.remove(next(iter(present)))
            del present[next(iter(present))]
    fanout.flush()
    for reader, held in present.values():
        told = [("snapshot", held), *(("e", number) for number in range(held + 1, published + 1))]
        assert reader.read() == told
    assert fanout.client_count == len(present)


def test_the_thread_sends_and_a_stop_sends_the_rest() -> None:
    fanout, reader = Fanout(0.001), Reader()
    fanout.worker.start()
    add(fanout, "a", reader)
    for number in range(2_000):
        fanout.publish("e", str(number))
    fanout.stop()
    fanout.stop()
    assert numbers(reader) == list(range(2_000))
    assert "fanout" not in {thread.name for thread in threading.enumerate()}


def test_a_stop_without_a_start_sends_what_is_gathered() -> None:
    fanout, reader = Fanout(0.01), Reader()
    add(fanout, "a", reader)
    fanout.publish("e", "1")
    fanout.stop()
    assert numbers(reader) == [1]


class Waiter(Reader):
    """Says when it was told something."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def offer(self, batch: Batch) -> bool:
        self.told.set()
        return super().offer(batch)


@pytest.mark.parametrize("flush_seconds", [0.0, 0.001])
def test_an_idle_hub_sends_by_itself_again_and_again(flush_seconds: float) -> None:
    fanout, waiter = Fanout(flush_seconds), Waiter()
    fanout.worker.start()
    add(fanout, "a", waiter)
    for number in range(3):
        fanout.publish("e", str(number))
        assert waiter.told.wait(5)
        waiter.told.clear()
    fanout.stop()
    assert numbers(waiter) == [0, 1, 2]


def test_a_bug_in_a_flush_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    fanout, waiter = Fanout(0.0), Waiter()
    fanout.worker.start()
    add(fanout, "waiter", waiter)
    add(fanout, "raiser", Raiser())
    for _ in range(2):
        fanout.publish("e", "1")
        assert waiter.told.wait(5)
        waiter.told.clear()
    fanout.stop(5)
    assert "fanout" not in {thread.name for thread in threading.enumerate()}
    assert "Traceback" in caplog.text


# -- a client that polls -------------------------------------------------------------------------------


@pytest.fixture
def client() -> ClientSocket:
    return ClientSocket(HubEngine(async_mode="threading"), "sid")


def test_a_polling_answer_holds_at_most_16_packets_and_loses_none(client: ClientSocket) -> None:
    assert MAX_POLLING_PACKETS == 16
    batches = [Batch(Message("e", str(number)) for number in range(start, start + 40)) for start in (0, 40)]
    for batch in batches:
        assert client.offer(batch)
    assert client.pending_bytes == sum(len(batch.frames) for batch in batches)
    answers = [client.poll() for _ in range(5)]
    assert [len(answer) for answer in answers] == [16] * 5
    texts = [packet.data for answer in answers for packet in answer]
    assert texts == [f'2["e",{number}]' for number in range(80)]
    assert client.pending_bytes == 0


def test_a_client_that_does_not_read_is_cut_at_the_cap(client: ClientSocket) -> None:
    batch = Batch([Message("e", '"' + "x" * 1_000 + '"')])
    client.server.client_buffer_bytes = 3 * len(batch.frames)
    client.server.sockets["sid"] = client
    fanout = Fanout(0.0)
    fanout.add("sid", client, list)
    for number in range(5):
        assert fanout.client_count == (1 if number < 4 else 0)
        fanout.publish("e", '"' + "x" * 1_000 + '"')
        fanout.flush()
    assert client.closed
    assert client.server.counters["slow_clients_cut"] == 1
