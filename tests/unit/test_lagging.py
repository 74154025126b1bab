"""The fan-out and clients that take what they can: never back in time, always the last, and the counts add up."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from types import SimpleNamespace
from unittest import mock

import pytest
from engineio.async_drivers import threading as _driver  # noqa: F401 - what "threading" below stands for
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout import broadcast
from hub.fanout.batch import TICK, Control, Frames
from hub.fanout.broadcast import Fanout
from hub.fanout.choice import EVERYTHING, Choice
from hub.fanout.client import ClientSocket
from hub.fanout.engine import HubEngine
from hub.fanout.limits import Limits
from tests.support.outbox_reader import PONG, PRODUCTS, Reader, message_packet

BACKFILL = "trade_backfill"
FRAME = 70  # more bytes than any frame here has


class Bench:
    """A fan-out whose time stands still, and one client that reads when told to."""

    def __init__(self, limit_bytes: int, choice: Choice = EVERYTHING, held_bytes: int | None = None) -> None:
        self.now = 100.0
        self.book: dict[str, int] = {}
        engine = HubEngine(async_mode="threading")
        engine.limits = Limits(buffer_bytes=limit_bytes)
        engine.urgent = lambda product: product == "B-USD"
        self.client = ClientSocket(engine, "sid", "203.0.113.1")
        self.outbox = self.client.outbox
        self.reader = Reader(self.outbox)
        self.fanout = Fanout(0.0, snapshot=self._snapshot, products=lambda: PRODUCTS,
                             held_bytes=held_bytes or limit_bytes)  # fmt: skip
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: 0.0)
        self.time = mock.patch.object(broadcast, "time", clock)
        self.number = 0
        self.published: Counter[str] = Counter()  # by event, that the client was to get when it was sent
        with self.time:
            self.fanout.add("a", self.client)
            if choice != EVERYTHING:
                self.fanout.choose("a", choice)
            self.client._waiting = True  # as a poll does
            self.fanout._step()
            self.client._waiting = False

    def _snapshot(self, products: Iterable[str] | None) -> list[tuple[str, str, str]]:
        wanted = self.book if products is None else [item for item in products if item in self.book]
        return [(TICK, f'{{"crypto":"{item}","n":{self.book[item]},"fresh":true}}', item) for item in wanted]

    def publish(self, event: str, *products: str | None) -> list[int]:
        """Publish and flush an event of each product."""
        seat = self.fanout._seats["a"]
        first = self.number + 1
        with self.time:
            for product in products:
                self.number += 1
                if event == TICK:
                    self.book[str(product)] = self.number
                self.published[event] += seat.choice.wants(product)
                name = "null" if product is None else f'"{product}"'
                self.fanout.publish(event, f'{{"crypto":{name},"n":{self.number}}}', product)
            self.fanout.flush()
        return list(range(first, self.number + 1))

    def step(self) -> float | None:
        with self.time:
            return self.fanout._step()

    def choose(self, choice: Choice) -> None:
        with self.time:
            self.fanout.choose("a", choice)

    def read(self, count: int = 1 << 30) -> None:
        with self.time:
            self.reader.read(count, self.now)

    def lag(self) -> None:
        """Have the client lag from now on: what it has is not read."""
        while not self.outbox.lagging:
            self.publish(TICK, "A-USD")

    @property
    def seated(self) -> str:
        """Where the fan-out has the client."""
        fanout, seat = self.fanout, self.fanout._seats["a"]
        places = {
            "plain": "a" in fanout._plain, "behind": "a" in fanout._behind,
            "paced": seat in fanout._paces._due_at,
            "group": any(seat in members for members in fanout._groups._members.values()),
        }  # fmt: skip
        (found,) = [place for place, there in places.items() if there]
        return found


# -- examples ------------------------------------------------------------------------------------------


def test_past_the_limit_the_latest_of_each_product_is_brought_and_told_with_a_lag() -> None:
    bench = Bench(FRAME)
    bench.publish(TICK, "A-USD")
    assert bench.seated == "plain"
    for _ in range(4):
        bench.publish(TICK, "A-USD", "B-USD")
    assert bench.seated == "behind"
    bench.now += 2.5
    bench.publish(TICK, "C-USD")
    bench.read()
    assert bench.reader.ticks == {"A-USD": [1, 8], "B-USD": [9], "C-USD": [10]}
    assert bench.reader.lags == [{"conflated": 6, "dropped": 0, "behind_ms": 2500}]
    assert bench.reader.events[1] == "lag"  # before what it is about
    assert list(bench.reader.ticks)[1] == "B-USD"  # a priority pair goes first
    assert bench.seated == "plain"
    bench.publish(TICK, "A-USD")
    bench.read()
    assert len(bench.reader.lags) == 1  # told once
    assert bench.reader.ticks["A-USD"][-1] == 11


def test_who_lags_is_not_offered_anything_and_shown_as_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(FRAME)
    bench.lag()
    monkeypatch.setattr(bench.client, "offer", lambda *_: pytest.fail("it costs something"))
    missed = bench.publish(TICK, *(PRODUCTS * 100))
    (seat, choice), = bench.fanout.clients()
    figures = seat.figures(bench.now)
    assert (figures.behind, choice) == (True, EVERYTHING)
    assert figures.conflated_total == len(missed) + 1 - len(PRODUCTS)  # one was refused before
    bench.fanout.remove("a")
    assert bench.fanout.sent([]).conflated == figures.conflated_total
    bench.read()  # and what is queued leaves; nobody brings more
    assert bench.reader.lags == []


def test_nothing_is_said_where_nothing_was_replaced() -> None:
    bench = Bench(FRAME)
    bench.publish(TICK, "A-USD", "B-USD")
    bench.publish(TICK, "C-USD", "D-USD")
    assert bench.seated == "behind"
    bench.read()
    assert bench.reader.events == [TICK] * 4
    assert bench.reader.lags == []


def test_of_updates_that_are_no_ticks_the_latest_is_brought_and_not_counted() -> None:
    bench = Bench(FRAME)
    bench.publish(TICK, "C-USD")
    for _ in range(3):
        for event in ("priority_ticker_update", "trust_update", TICK):
            bench.publish(event, "A-USD")
    bench.read()
    assert bench.reader.lags == [{"conflated": 2, "dropped": 0, "behind_ms": 0}]
    assert bench.reader.events == [TICK, "lag", "priority_ticker_update", "trust_update", TICK]


def test_events_that_nothing_replaces_are_kept_in_order_up_to_the_limit() -> None:
    bench = Bench(5 * 59)
    bench.lag()
    ticks = len(bench.publish(TICK, *["A-USD"] * 100))
    sent = bench.publish(BACKFILL, *["A-USD"] * 10)
    bench.read()
    assert bench.reader.loose == sent[-len(bench.reader.loose) :]
    assert len(bench.reader.loose) in (4, 5)
    (lag,) = bench.reader.lags
    assert (lag["conflated"], lag["dropped"]) == (ticks, len(sent) - len(bench.reader.loose))


def test_what_fell_out_of_what_is_kept_for_all_counts_as_dropped() -> None:
    bench = Bench(FRAME, held_bytes=20)
    bench.lag()
    sent = bench.publish(BACKFILL, *["A-USD"] * 50)
    assert len(bench.fanout._latest._ring) < 5
    bench.read()
    assert bench.reader.loose == sent[-1:]  # one is brought, however large
    assert [lag["dropped"] for lag in bench.reader.lags] == [49]
    assert bench.fanout.sent([bench.client.figures(bench.now)]).dropped == 49


def test_what_is_chosen_while_it_lags_holds_when_it_catches_up() -> None:
    bench = Bench(FRAME, held_bytes=1_000)
    bench.publish(TICK, "D-USD")
    bench.lag()
    bench.publish(TICK, "A-USD", "B-USD")
    bench.publish(BACKFILL, "B-USD", None)
    bench.choose(Choice(frozenset({"B-USD"}), batch=True))
    bench.publish(TICK, "A-USD", "B-USD")
    bench.choose(Choice(frozenset({"B-USD", "D-USD"}), batch=True))
    bench.publish(TICK, "B-USD", "D-USD")
    bench.read()
    assert bench.reader.events[-4:] == ["lag", BACKFILL, "ticker_batch", BACKFILL]  # a priority pair goes first
    assert bench.reader.ticks["B-USD"] == [bench.number - 1]
    assert bench.reader.ticks["D-USD"] == [1]  # what is new comes after it
    assert bench.seated == "group"
    bench.step()
    bench.read()
    assert bench.reader.ticks["D-USD"] == [1, bench.number]
    assert bench.reader.flow_count + bench.reader.conflated() == bench.published[TICK]
    assert len(bench.reader.loose) == bench.published[BACKFILL]
    assert bench.reader.lags[-1]["dropped"] == 0


def test_who_ended_while_it_lagged_is_forgotten() -> None:
    bench = Bench(FRAME)
    bench.lag()
    bench.client.cut(broadcast.CutReason.NOT_READING)
    bench.fanout.measure(bench.now)
    assert bench.fanout.client_count == 0


def test_at_the_end_what_was_missed_is_queued_anyway() -> None:
    bench = Bench(FRAME)
    bench.lag()
    bench.publish("hub_stopping", None)
    with bench.time:
        assert not bench.client.leave()
    bench.read()
    assert bench.reader.events[-1] == "hub_stopping"
    assert bench.client.leave()


def test_what_a_pace_holds_back_is_kept_once_for_all() -> None:
    bench = Bench(10_000_000, Choice(max_hz=0.1), held_bytes=10_000)
    sent = [number for _ in range(2_000) for number in bench.publish(BACKFILL, "A-USD")]
    assert bench.outbox.pending_bytes == 0
    assert bench.fanout._latest._ring_bytes <= 8 * 10_000
    bench.now += 10
    bench.step()
    bench.read()
    assert bench.reader.loose == sent[-len(bench.reader.loose) :]
    assert bench.reader.lags == [{"conflated": 0, "dropped": 2_000 - len(bench.reader.loose), "behind_ms": 10_000}]


def test_a_pace_of_one_that_does_not_read_ends_in_a_lag() -> None:
    bench = Bench(5 * FRAME, Choice(max_hz=10.0))
    for _ in range(10):
        bench.publish(TICK, *PRODUCTS)
        bench.now += 0.1
        bench.step()
    assert bench.seated == "behind"
    assert bench.outbox.pending_bytes <= 5 * FRAME
    bench.read()
    assert bench.seated == "paced"
    assert [ticks[-1] for ticks in bench.reader.ticks.values()] == [37, 38, 39, 40]
    assert bench.reader.conflated() == 40 - sum(map(len, bench.reader.ticks.values()))


# -- properties ----------------------------------------------------------------------------------------

products = st.sampled_from(PRODUCTS)
names = st.none() | st.frozensets(st.sampled_from([*PRODUCTS, "*-USD", "C-*", "*-EUR"]), max_size=3)
choices = st.builds(Choice, names, st.none(), st.booleans())
paced = st.builds(Choice, names, st.sampled_from([None, 5.0, 20.0]), st.booleans())


def moves(choice: st.SearchStrategy[Choice]) -> st.SearchStrategy[list[tuple[str, object]]]:
    return st.lists(
        st.one_of(
            st.tuples(st.just("ticks"), st.lists(products, max_size=12)),
            st.tuples(st.just("loose"), products | st.none()),
            st.tuples(st.just("answer"), st.none()),
            st.tuples(st.just("pong"), st.none()),
            st.tuples(st.just("take"), st.integers(1, 600)),
            st.tuples(st.just("upgrade"), st.none()),
            st.tuples(st.just("step"), st.sampled_from([0.0, 0.01, 0.15])),
            st.tuples(st.just("choose"), choice),
        ),
        max_size=80,
    )


class Play(Bench):
    """One interleaving of a fan-out and its client."""

    def __init__(self, limit_bytes: int, websocket: bool, choice: Choice, held_bytes: int | None = None) -> None:
        super().__init__(limit_bytes, choice, held_bytes)
        self.reader.websocket = websocket
        self.answers: list[int] = []
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        self._unbounded_bytes = 0  # answers and pongs, which are never dropped

    def run(self, steps: list[tuple[str, object]]) -> None:
        for what, value in steps:
            self.now += 0.01
            getattr(self, f"do_{what}")(value)
            self.check_bounds()
        for _ in range(3):  # it catches up, and is sent what is new then
            self.do_step(10.0)
            with self.time:
                self.reader.take_all()

    def do_ticks(self, wanted: list[str]) -> None:
        for product, number in zip(wanted, self.publish(TICK, *wanted), strict=True):
            self.sent[product].append(number)

    def do_loose(self, product: str | None) -> None:
        self.publish(BACKFILL, product)

    def do_answer(self, _: None) -> None:
        self.number += 1
        self.answers.append(self.number)
        self._put(Control(message_packet(self.number)))

    def do_pong(self, _: None) -> None:
        self._put(Frames(PONG))

    def _put(self, entry: Control | Frames) -> None:
        self._unbounded_bytes += len(entry.frames)
        self.outbox.put(entry)

    def do_take(self, count: int) -> None:
        with self.time:
            if self.reader.websocket:
                self.reader.read(count, self.now)
            else:
                self.reader.poll(1 + count % 16, self.now)

    def do_upgrade(self, _: None) -> None:
        if not self.reader.websocket:
            self.outbox.upgraded()
            self.reader.websocket = True

    def do_step(self, seconds: float) -> None:
        self.now += seconds
        self.step()

    def do_choose(self, choice: Choice) -> None:
        self.choose(choice)

    def check_bounds(self) -> None:
        """What is queued is the limit, one batch, and what was brought last: a table, other events up to the limit."""
        table = len(PRODUCTS) + 2
        brought = 2 * table * FRAME + self.outbox.limit_bytes
        assert 0 <= self.outbox.pending_bytes <= self._unbounded_bytes + self.outbox.limit_bytes + 12 * FRAME + brought
        latest = self.fanout._latest
        assert latest._ring_bytes == sum(len(message.frame) for message in latest._ring)
        assert latest._ring_bytes <= max(8 * self.fanout._held_bytes, FRAME)
        assert (self.seated == "behind") == self.outbox.lagging

    def check(self) -> None:
        """Never back in time, and the last of all that is wanted."""
        reader, choice = self.reader, self.fanout._seats["a"].choice
        assert choice == self.fanout.choice_of("a")
        for product, got in reader.ticks.items():
            assert got == sorted(got)
            assert set(got) <= set(self.sent[product])
        for product in self.sent:
            if choice.wants(product):
                assert reader.ticks[product][-1:] == self.sent[product][-1:]
        assert reader.answers == self.answers
        assert len(set(reader.loose)) == len(reader.loose)
        assert (self.outbox.pending_bytes, self.outbox.lagging) == (0, False)

    def check_counts(self) -> None:
        """What was sent when the client was to get it has come, or was told of."""
        reader = self.reader
        dropped = sum(lag["dropped"] for lag in reader.lags)
        assert reader.flow_count + reader.conflated() == self.published[TICK]
        assert len(reader.loose) + dropped == self.published[BACKFILL]
        found = self.fanout.sent([seat.figures(self.now) for seat, _ in self.fanout.clients()])
        assert (found.conflated, found.dropped) == (reader.conflated(), dropped)


@given(moves(choices), st.sampled_from([1, 150, 400, 1_500]), st.booleans(), choices)
def test_a_client_that_lags_sees_each_product_go_on_to_its_latest_and_knows_what_it_missed(
    steps: list[tuple[str, object]], limit_bytes: int, websocket: bool, choice: Choice
) -> None:
    play = Play(limit_bytes, websocket, choice)
    play.run(steps)
    play.check()
    play.check_counts()


@given(moves(paced), st.sampled_from([1, 150, 400, 1_500]), st.booleans(), paced)
def test_a_client_with_a_pace_sees_each_product_go_on_to_its_latest(
    steps: list[tuple[str, object]], limit_bytes: int, websocket: bool, choice: Choice
) -> None:
    play = Play(limit_bytes, websocket, choice)
    play.run(steps)
    play.check()
    assert len(play.reader.loose) + sum(lag["dropped"] for lag in play.reader.lags) == play.published[BACKFILL]
    assert all(lag["conflated"] >= 0 for lag in play.reader.lags)


@given(moves(choices), st.booleans())
def test_under_the_limit_nothing_is_lost_and_the_order_is_kept(
    steps: list[tuple[str, object]], websocket: bool
) -> None:
    play = Play(10_000_000, websocket, EVERYTHING)
    play.run([step for step in steps if step[0] != "choose"])
    assert play.reader.ticks == {product: sent for product, sent in play.sent.items() if sent}
    assert len(play.reader.loose) == play.published[BACKFILL]
    assert play.reader.answers == play.answers
    assert play.reader.lags == []
