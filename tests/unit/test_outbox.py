"""What waits for one client: all of it while it keeps up, nothing beyond a limit, and then what its owner brings."""

from engineio import packet

from hub.fanout.batch import MAX_BATCH_BYTES, Batch, Control, Frames, Message
from hub.fanout.latest import Missed
from hub.fanout.outbox import RELEASE_PART, Outbox
from hub.wire import text_frame
from tests.support.outbox_reader import PONG, Reader, tick

# -- examples ------------------------------------------------------------------------------------------


def test_what_is_queued_leaves_in_order_and_is_counted() -> None:
    outbox = Outbox(10_000)
    batch, control = Batch([tick("A-USD", 1), tick("B-USD", 2)]), Control(packet.Packet(packet.PING))
    outbox.add(batch, 0.0)
    outbox.put(control)
    assert outbox.pending_bytes == len(batch.frames) + len(control.frames)
    head = outbox.head(0.0)
    assert head == batch.frames
    outbox.wrote(5)
    assert outbox.head(0.0) == batch.frames[5:]  # the rest of a frame comes before anything else
    outbox.wrote(len(batch.frames) - 5)
    assert outbox.head(0.0) == text_frame(b"2")
    outbox.wrote(3)
    assert outbox.head(0.0) is None
    assert outbox.pending_bytes == 0


def test_an_empty_batch_is_not_queued() -> None:
    outbox = Outbox(10)
    outbox.add(Batch([]), 0.0)
    assert outbox.head(0.0) is None


def test_an_upgrade_goes_on_where_polling_ended() -> None:
    outbox = Outbox(100_000)
    outbox.add(Batch([tick("A-USD", number) for number in range(40)]), 0.0)
    outbox.put(Frames(PONG))  # is for no polling answer
    reader = Reader(outbox)
    reader.poll(16)
    outbox.add(Batch([tick("A-USD", 40)]), 0.0)
    outbox.upgraded()
    reader.read(1 << 30)
    assert reader.ticks["A-USD"] == list(range(41))
    assert outbox.pending_bytes == 0


def test_past_the_limit_nothing_is_taken_until_most_of_it_has_left() -> None:
    filling = [Batch([tick("A-USD", number)]) for number in range(8)]
    limit = sum(len(batch.frames) for batch in filling)
    outbox, asked = Outbox(limit), []
    assert all(outbox.add(batch, 0.0) for batch in filling)
    assert not outbox.lagging
    assert not outbox.add(filling[0], 1.0)
    assert outbox.lagging
    outbox.when_room(asked.append)
    while not asked:
        assert outbox.pending_bytes
        head = outbox.head(2.0)
        assert head is not None
        assert not asked or outbox.pending_bytes * RELEASE_PART <= limit
        outbox.wrote(len(head))
        assert not outbox.add(Batch([tick("A-USD", 1)]), 2.0)  # however much room there is: that would be too new
        outbox.head(3.0)
    assert outbox.pending_bytes > 0  # it does not run dry first
    outbox.catch_up(Missed([tick("A-USD", 9)]), 3.0)
    assert outbox.add(Batch([tick("A-USD", 10)]), 3.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert reader.ticks["A-USD"] == [6, 7, 9, 10]
    assert reader.lags == []


def test_one_batch_is_taken_in_any_case() -> None:
    outbox = Outbox(10)
    assert outbox.add(Batch([tick("A-USD", 1), tick("A-USD", 2)]), 0.0)
    assert not outbox.add(Batch([tick("A-USD", 3)]), 0.0)
    assert outbox.lagging


def test_what_was_missed_is_told_before_it_is_brought() -> None:
    outbox = Outbox(1, urgent=lambda product: product == "C-USD")
    outbox.add(Batch([tick("A-USD", 1)]), 0.0)
    outbox.add(Batch([tick("A-USD", 2)]), 0.0)
    messages = [tick("B-USD", 1), Message("spike_alert", "{}"), tick("C-USD", 1)]
    outbox.when_room(lambda now: outbox.catch_up(Missed(messages, 10.0, 6, 2), now))
    reader = Reader(outbox)
    reader.read(1 << 30, 12.5)
    assert reader.lags == [{"conflated": 6, "dropped": 2, "behind_ms": 2500}]
    assert list(reader.ticks) == ["A-USD", "C-USD", "B-USD"]
    assert reader.events == ["ticker_update", "lag", "ticker_update", "ticker_update", "spike_alert"]
    assert (outbox.conflated_total, outbox.dropped_total, outbox.lagging) == (6, 2, False)


def test_much_that_was_missed_is_queued_in_parts() -> None:
    outbox = Outbox(1)
    outbox.batched = True
    text = "x" * (MAX_BATCH_BYTES // 2 - 100)
    outbox.catch_up(Missed([Message("ticker_update", f'{{"text":"{text}"}}', "A-USD") for _ in range(6)]), 0.0)
    heads = []
    while (head := outbox.head(0.0)) is not None:
        heads.append(len(head))
        outbox.wrote(len(head))
    assert len(heads) == 3
    assert max(heads) <= MAX_BATCH_BYTES


def test_an_outbox_without_an_owner_brings_nothing_and_ends() -> None:
    outbox = Outbox(1)
    outbox.add(Batch([tick("A-USD", 1)]), 0.0)
    outbox.add(Batch([tick("A-USD", 2)]), 0.0)
    assert len(outbox.packets(16, 0.0)) == 1
    assert not outbox.empty
    outbox.clear()
    assert (outbox.empty, outbox.head(0.0)) == (True, None)


def test_bytes_count_when_they_are_taken_and_lag_when_it_begins() -> None:
    outbox = Outbox(1_000)
    batch = Batch([Message("ticker_update", "{}", "BTC-USD")])
    size = len(batch.frames)
    outbox.add(batch, 1.0)
    assert (outbox.taken_bytes, outbox.behind_seconds(5.0)) == (0, 0.0)
    outbox.head(1.0)
    outbox.wrote(3)
    assert outbox.taken_bytes == 3
    outbox.head(1.0)
    outbox.wrote(size - 3)
    assert outbox.taken_bytes == size
    outbox.add(batch, 1.0)
    assert len(outbox.packets(16, 1.0)) == 1
    assert outbox.taken_bytes == 2 * size
    outbox.limit_bytes = 1
    outbox.add(batch, 9.0)
    outbox.add(batch, 10.0)
    assert outbox.behind_seconds(12.5) == 2.5
    outbox.when_room(lambda now: outbox.catch_up(Missed([]), now))
    outbox.make_room(13.0)
    assert outbox.lagging
    outbox.make_room(13.0, anyway=True)
    assert outbox.behind_seconds(14.0) == 0.0
