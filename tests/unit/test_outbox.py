"""What waits for one client: all of it while it keeps up, the latest when it lags, never more than so much."""

import json
from collections import defaultdict

from engineio import packet
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout.batch import TICK, Batch, Control, Frames, Message
from hub.fanout.outbox import RELEASE_PART, Outbox
from hub.wire import text_frame

PRODUCTS = ("A-USD", "B-USD", "C-USD", "D-USD")
PONG = b"\x8a\x00"


def tick(product: str, number: int, event: str = TICK) -> Message:
    return Message(event, f'{{"crypto":"{product}","n":{number}}}', product)


def message_packet(number: int) -> packet.Packet:
    return packet.Packet(packet.MESSAGE, f'3{number}[{{"success":true}}]')


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the whole frames, as (opcode, data), and the rest."""
    found = []
    while len(data) >= 2:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + length:
            break
        found.append((data[0] & 15, data[start : start + length]))
        data = data[start + length :]
    return found, data


class Reader:
    """The client of an outbox: takes bytes or packets out, and keeps what they mean."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.websocket = False
        self.ticks: defaultdict[str, list[int]] = defaultdict(list)
        self.loose: list[int] = []
        self.answers: list[int] = []
        self.lags: list[dict[str, int]] = []
        self.events: list[str] = []
        self._rest = b""

    def read(self, count: int, now: float = 0.0) -> None:
        """Take so many bytes as they come."""
        while count and (head := self.outbox.head(now)) is not None:
            taken = head[:count]
            self._rest += bytes(taken)
            count -= len(taken)
            self.outbox.wrote(len(taken))
        frames, self._rest = split_frames(self._rest)
        for opcode, data in frames:
            assert opcode == 1 or (opcode, data) == (10, b"")
            if opcode == 1:
                self._take(data.decode())

    def poll(self, limit: int, now: float = 0.0) -> None:
        """Take one polling answer."""
        packets = self.outbox.packets(limit, now)
        assert len(packets) <= limit
        for pkt in packets:
            self._take(pkt.encode())

    def take_all(self) -> None:
        if self.websocket:
            self.read(1 << 30)
            assert self._rest == b""
        else:
            while self.outbox.pending_bytes or self.outbox.lagging or self.outbox._packets:
                self.poll(16)

    def _take(self, text: str) -> None:
        if text.startswith("43"):
            self.answers.append(int(text[2 : text.index("[")]))
            return
        event, body = json.loads(text[2:])
        self.events.append(event)
        if event == "lag":
            self.lags.append(body)
        elif event == "ticker_batch":
            for item in body:
                self.ticks[item["crypto"]].append(item["n"])
        elif event == TICK:
            self.ticks[body["crypto"]].append(body["n"])
        elif event == "trade_backfill":
            self.loose.append(body["n"])

    def conflated(self) -> int:
        return sum(lag["conflated"] for lag in self.lags)


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


def test_past_the_limit_the_latest_of_each_product_is_held_and_told_with_a_lag() -> None:
    first = Batch([tick("A-USD", 0)])
    outbox = Outbox(len(first.frames))
    reader = Reader(outbox)
    outbox.add(first, 5.0)
    assert not outbox.lagging
    for number in range(1, 5):
        outbox.add(Batch([tick("A-USD", number), tick("B-USD", number)]), 10.0)
    outbox.add(Batch([tick("C-USD", 5)]), 11.0)
    assert outbox.lagging
    assert outbox.pending_bytes == len(first.frames)
    reader.read(1 << 30, 12.5)
    assert reader.ticks == {"A-USD": [0, 4], "B-USD": [4], "C-USD": [5]}
    assert reader.lags == [{"conflated": 6, "dropped": 0, "behind_ms": 2500}]
    assert reader.events[1] == "lag"  # before what it is about
    assert not outbox.lagging
    outbox.add(Batch([tick("A-USD", 6)]), 13.0)
    reader.read(1 << 30, 13.0)
    assert len(reader.lags) == 1  # told once


def test_a_batch_that_is_larger_than_the_limit_is_held_though_nothing_waits() -> None:
    outbox = Outbox(10)
    outbox.add(Batch([tick("A-USD", 1), tick("A-USD", 2)]), 0.0)
    assert (outbox.pending_bytes, outbox.lagging) == (0, True)
    reader = Reader(outbox)
    reader.poll(16)
    assert (reader.ticks, reader.conflated()) == ({"A-USD": [2]}, 1)


def test_what_is_held_leaves_when_most_of_the_queue_has_been_taken_not_before() -> None:
    filling = [Batch([tick("A-USD", number)]) for number in range(8)]
    limit = sum(len(batch.frames) for batch in filling)
    outbox = Outbox(limit)
    for batch in filling:
        outbox.add(batch, 0.0)
    outbox.add(Batch([tick("B-USD", 9)]), 0.0)
    while outbox.lagging:
        assert outbox.pending_bytes * RELEASE_PART > limit
        head = outbox.head(0.0)
        assert head is not None
        outbox.wrote(len(head))
        outbox.head(0.0)
    assert outbox.pending_bytes > 0  # it does not run dry first


def test_nothing_is_said_where_nothing_was_replaced() -> None:
    outbox = Outbox(1)
    outbox.add(Batch([tick("A-USD", 1), tick("B-USD", 1)]), 0.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert (reader.events, reader.lags) == ([TICK, TICK], [])


def test_of_updates_that_are_no_ticks_the_latest_is_kept_and_not_counted() -> None:
    outbox = Outbox(1)
    for number in range(3):
        for event in ("priority_ticker_update", "trust_update", TICK):
            outbox.add(Batch([tick("A-USD", number, event)]), 0.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert reader.lags == [{"conflated": 2, "dropped": 0, "behind_ms": 0}]
    assert reader.events == ["lag", "priority_ticker_update", "trust_update", TICK]


def test_priority_pairs_go_first_under_pressure() -> None:
    outbox = Outbox(1, urgent=lambda product: product == "C-USD")
    for product in PRODUCTS:
        outbox.add(Batch([tick(product, 1)]), 0.0)
    outbox.add(Batch([Message("spike_alert", "{}")]), 0.0)
    reader = Reader(outbox)
    reader.poll(16)
    assert list(reader.ticks) == ["C-USD", "A-USD", "B-USD", "D-USD"]


def test_events_that_nothing_replaces_are_kept_in_order_up_to_the_limit() -> None:
    size = len(tick("A-USD", 10, "trade_backfill").frame)
    outbox = Outbox(5 * size)
    outbox.add(Batch([tick("A-USD", number) for number in range(100)]), 0.0)  # more than the limit
    for number in range(10, 20):
        outbox.add(Batch([tick("A-USD", number, "trade_backfill")]), 0.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert reader.loose == [15, 16, 17, 18, 19]
    assert reader.lags == [{"conflated": 99, "dropped": 5, "behind_ms": 0}]


def test_one_event_larger_than_the_limit_is_kept() -> None:
    outbox = Outbox(10)
    outbox.add(Batch([tick("A-USD", 1, "trade_backfill")]), 0.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert reader.loose == [1]


def test_released_ticks_leave_as_a_list_where_that_was_asked_for() -> None:
    outbox = Outbox(1)
    outbox.batched = True
    outbox.add(Batch([tick("A-USD", 1), tick("B-USD", 1), tick("A-USD", 2)]), 0.0)
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert reader.events == ["lag", "ticker_batch"]
    assert reader.ticks == {"B-USD": [1], "A-USD": [2]}


def test_what_is_no_longer_wanted_is_let_go() -> None:
    outbox = Outbox(1)
    outbox.add(Batch([tick("A-USD", 1), tick("B-USD", 1), tick("B-USD", 2, "trade_backfill")]), 0.0)
    outbox.keep(lambda message: message.product == "A-USD")
    reader = Reader(outbox)
    reader.read(1 << 30)
    assert (reader.ticks, reader.loose) == ({"A-USD": [1]}, [])


def test_at_the_end_what_is_held_is_queued_anyway() -> None:
    outbox = Outbox(1)
    outbox.put(Control(packet.Packet(packet.PING)))
    outbox.add(Batch([Message("hub_stopping", "{}")]), 0.0)
    outbox.release(0.0)
    assert outbox.lagging
    outbox.release(0.0, anyway=True)
    assert not outbox.lagging
    outbox.put(Frames(PONG))
    sent = b""
    while (head := outbox.head(0.0)) is not None:
        sent += head
        outbox.wrote(len(head))
    assert sent == text_frame(b"2") + text_frame(b'42["hub_stopping",{}]') + PONG


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


# -- properties ----------------------------------------------------------------------------------------

products = st.sampled_from(PRODUCTS)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), st.lists(products, max_size=12)),
        st.tuples(st.just("loose"), products),
        st.tuples(st.just("answer"), st.none()),
        st.tuples(st.just("pong"), st.none()),
        st.tuples(st.just("take"), st.integers(1, 600)),
        st.tuples(st.just("upgrade"), st.none()),
    ),
    max_size=80,
)


class Play:
    """One interleaving of an outbox' writers and its client."""

    def __init__(self, limit_bytes: int, websocket: bool, batched: bool) -> None:
        self.outbox = Outbox(limit_bytes, urgent=lambda product: product == "B-USD")
        self.outbox.batched = batched
        self.reader = Reader(self.outbox)
        self.reader.websocket = websocket
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        self.sent_loose: list[int] = []
        self.answers: list[int] = []
        self.number = 0
        self._unbounded_bytes = 0  # answers and pongs, which are never dropped
        self._batched = batched

    def run(self, steps: list[tuple[str, object]]) -> None:
        for now, (what, value) in enumerate(steps):
            getattr(self, what)(value, float(now))
            self.check_bounds()
        self.reader.take_all()

    def _next(self) -> int:
        self.number += 1
        return self.number

    def ticks(self, wanted: list[str], now: float) -> None:
        messages = []
        for product in wanted:
            messages.append(tick(product, self._next()))
            self.sent[product].append(self.number)
        self.outbox.add(Batch(messages, self._batched), now)

    def loose(self, product: str, now: float) -> None:
        self.sent_loose.append(self._next())
        self.outbox.add(Batch([tick(product, self.number, "trade_backfill")]), now)

    def answer(self, _: None, __: float) -> None:
        self.answers.append(self._next())
        self._put(Control(message_packet(self.number)))

    def pong(self, _: None, __: float) -> None:
        self._put(Frames(PONG))

    def _put(self, entry: Control | Frames) -> None:
        self._unbounded_bytes += len(entry.frames)
        self.outbox.put(entry)

    def take(self, count: int, now: float) -> None:
        if self.reader.websocket:
            self.reader.read(count, now)
        else:
            self.reader.poll(1 + count % 16, now)

    def upgrade(self, _: None, __: float) -> None:
        if not self.reader.websocket:
            self.outbox.upgraded()
            self.reader.websocket = True

    def check_bounds(self) -> None:
        """What is queued is the limit at most; what is held a tick a product, and other events up to the limit."""
        outbox, biggest = self.outbox, 60
        of_release = (len(PRODUCTS) + 1) * biggest + outbox.limit_bytes + biggest
        assert 0 <= outbox.pending_bytes <= self._unbounded_bytes + outbox.limit_bytes + of_release
        assert len(outbox._held) <= len(PRODUCTS) + len(outbox._held_loose)
        assert outbox._loose_bytes == sum(len(message.frame) for message in outbox._held_loose)
        assert outbox._loose_bytes <= max(outbox.limit_bytes, biggest)


@given(moves, st.sampled_from([1, 150, 400, 1_500]), st.booleans(), st.booleans())
def test_a_client_that_lags_sees_each_product_go_on_to_its_latest_and_knows_what_it_missed(
    steps: list[tuple[str, object]], limit_bytes: int, websocket: bool, batched: bool
) -> None:
    play = Play(limit_bytes, websocket, batched)
    play.run(steps)
    reader = play.reader
    for product, sent in play.sent.items():
        got = reader.ticks[product]
        assert got == sorted(set(got))
        assert set(got) <= set(sent)
        assert got[-1:] == sent[-1:]
    assert sum(map(len, reader.ticks.values())) + reader.conflated() == sum(map(len, play.sent.values()))
    assert reader.answers == play.answers
    assert len(set(reader.loose)) == len(reader.loose)
    assert set(reader.loose) <= set(play.sent_loose)
    assert len(reader.loose) + sum(lag["dropped"] for lag in reader.lags) == len(play.sent_loose)
    assert (play.outbox.pending_bytes, play.outbox.lagging) == (0, False)


@given(moves, st.booleans())
def test_under_the_limit_nothing_is_lost_and_the_order_is_kept(
    steps: list[tuple[str, object]], websocket: bool
) -> None:
    play = Play(10_000_000, websocket, False)
    play.run(steps)
    assert play.reader.ticks == {product: sent for product, sent in play.sent.items() if sent}
    assert play.reader.loose == play.sent_loose
    assert play.reader.answers == play.answers
    assert play.reader.lags == []


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
    outbox.add(batch, 10.0)
    assert outbox.behind_seconds(12.5) == 2.5
    outbox.release(13.0, anyway=True)
    assert outbox.behind_seconds(14.0) == 0.0
