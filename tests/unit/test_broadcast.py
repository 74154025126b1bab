"""From an event to every client that wants it: once, in order, without a hole after the snapshot."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout import broadcast
from hub.fanout.batch import MAX_BATCH_BYTES, TICK, Batch, Message
from hub.fanout.broadcast import MAX_GATHERED, MAX_GATHERED_BYTES, MAX_JOINS, CutReason, Fanout, Mode
from hub.fanout.choice import EVERYTHING, Choice
from hub.fanout.latest import Missed
from hub.fanout.seat import Figures, Sent
from hub.logs import Cooldown
from tests.conftest import eventually

BTC = Choice(frozenset({"BTC-USD"}))


@pytest.fixture(autouse=True)
def _no_line_was_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "_warn", Cooldown(logging.getLogger(broadcast.__name__)))


class Reader:
    """Takes every batch; ``read()`` is what it was told, as (event, value), ticks without their mark."""

    lagging = False

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.choices: list[Choice] = []
        self.cuts: list[CutReason] = []
        self.ready = True

    def welcome(self, snapshot: Batch, now: float) -> bool:
        assert self.batches == []
        return self.offer(snapshot, now) if snapshot.messages else True

    def offer(self, batch: Batch, now: float) -> bool:
        assert abs(time.monotonic() - now) < 5
        assert batch.messages
        self.batches.append(batch)
        return True

    def give(self, batch: Batch, now: float) -> bool:
        return self.offer(batch, now)

    def catch_up(self, missed: Missed, now: float) -> None:
        assert missed.dropped == 0
        self.offer(Batch(missed.messages), now)

    def choose(self, choice: Choice) -> None:
        self.choices.append(choice)

    def cut(self, reason: CutReason) -> None:
        self.cuts.append(reason)

    def figures(self, now: float) -> Figures:
        taken = sum(len(batch.frames) for batch in self.batches)
        return Figures("client", "websocket", now, 0.0, 0, False, 0.0, 0, 0, taken)

    def read(self) -> list[tuple[str, object]]:
        return [tuple(json.loads(packet.data[1:])) for batch in self.batches for packet in batch.packets()]

    def numbers(self) -> list[int]:
        """The ``n`` of everything, in order."""
        return [body["n"] for _, body in self.read()]  # type: ignore[index]


class Leaver(Reader):
    """Takes so many batches and is gone then."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._left = batches

    def offer(self, batch: Batch, now: float) -> bool:
        self._left -= 1
        return self._left >= 0 and super().offer(batch, now)


class Raiser(Reader):
    """Fails at every batch."""

    def offer(self, batch: Batch, now: float) -> bool:
        raise RuntimeError(f"a bug in a client, at {batch!r} {now}")


class Bench:
    """A fan-out without its thread, and a book: product → number of its latest tick."""

    def __init__(self, mode: Mode = Mode.ENHANCED, flush_seconds: float = 0.0) -> None:
        self.book: dict[str, int] = {}
        self.snapshots: list[list[str] | None] = []  # what was asked for
        self.fanout = Fanout(flush_seconds, mode, self._snapshot, lambda: list(self.book))
        self._number = 0

    def _snapshot(self, products: Iterable[str] | None) -> list[tuple[str, str, str]]:
        self.snapshots.append(None if products is None else list(products))
        wanted = self.book if products is None else [item for item in products if item in self.book]
        return [(TICK, f'{{"n":{self.book[item]},"crypto":"{item}"}}', item) for item in wanted]

    def tick(self, product: str = "BTC-USD") -> int:
        self._number += 1
        self.book[product] = self._number
        self.fanout.publish(TICK, f'{{"n":{self._number},"crypto":"{product}"}}', product)
        return self._number

    def alert(self, product: str | None = None, event: str = "spike_alert") -> int:
        self._number += 1
        self.fanout.publish(event, f'{{"n":{self._number}}}', product)
        return self._number

    def step(self) -> float | None:
        return self.fanout._step()

    def join(self, name: str, client: Reader | None = None) -> Reader:
        reader = client or Reader()
        self.fanout.add(name, reader)
        while name in self.fanout._joining:
            self.step()
        return reader


# -- everything to everybody ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
def test_every_message_reaches_every_client_in_order(mode: Mode) -> None:
    bench = Bench(mode)
    readers = [bench.join("a"), bench.join("b")]
    sent = [bench.tick() for _ in range(5)] + [bench.alert()]
    bench.step()
    bench.step()
    for reader in readers:
        assert reader.numbers() == sent
        assert len(reader.batches) == (1 if mode is Mode.ENHANCED else 6)
    assert readers[0].batches[0] is readers[1].batches[0]  # made once for all
    assert bench.fanout.client_count == 2


def test_ultra_low_latency_is_sent_before_publish_returns() -> None:
    bench = Bench(Mode.ULTRA_LOW_LATENCY)
    reader = bench.join("a")
    assert reader.numbers() == []
    assert [bench.tick() for _ in range(2)] == reader.numbers()


def test_ticks_say_when_they_were_sent_and_nothing_else_does() -> None:
    bench = Bench()
    bench.tick()
    before = time.time() * 1000
    reader = bench.join("a")
    bench.tick()
    bench.alert()
    bench.step()
    marks = [body.get("sent_at") for _, body in reader.read()]  # type: ignore[attr-defined]
    assert [type(mark) for mark in marks] == [int, int, type(None)]
    assert all(before - 1 <= mark <= time.time() * 1000 for mark in marks[:2])


def test_a_client_that_is_gone_is_dropped_and_the_others_lose_nothing() -> None:
    bench = Bench()
    leaver, reader = bench.join("leaver", Leaver(1)), bench.join("reader")
    for _ in range(3):
        bench.tick()
        bench.step()
    assert (leaver.numbers(), reader.numbers()) == ([1], [1, 2, 3])
    assert bench.fanout.client_count == 1
    assert leaver.cuts == []  # it is gone anyway


def test_a_client_that_raises_is_cut_and_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    raiser, reader = bench.join("raiser", Raiser()), bench.join("reader")
    bench.tick()
    bench.step()
    assert reader.numbers() == [1]
    assert raiser.cuts == [CutReason.BUG]
    assert not bench.fanout.has("raiser")
    assert "a bug in a client" in caplog.text


def test_a_client_that_raises_at_its_snapshot_costs_the_herd_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.tick()
    raiser, reader = Raiser(), Reader()
    bench.fanout.add("raiser", raiser)
    bench.fanout.add("reader", reader)
    bench.step()
    assert raiser.cuts == [CutReason.BUG]
    assert (reader.numbers(), bench.fanout.client_count) == ([1], 1)
    assert "a bug in a client" in caplog.text


def test_a_removed_client_gets_nothing_more() -> None:
    bench = Bench()
    reader = bench.join("a")
    for _ in range(2):
        bench.fanout.remove("a")
    bench.tick()
    bench.step()
    assert (reader.batches, bench.fanout.client_count, bench.fanout.has("a")) == ([], 0, False)


def test_without_clients_nothing_is_kept_for_the_next_one() -> None:
    bench = Bench()
    bench.alert()
    assert bench.join("a").batches == []


def test_what_is_gathered_is_bounded_and_nothing_is_dropped() -> None:
    bench = Bench()
    reader = bench.join("a")
    sent = [bench.tick() for _ in range(MAX_GATHERED)]
    assert reader.numbers() == sent  # nobody flushed
    sent.append(bench.tick())
    assert len(reader.numbers()) == MAX_GATHERED
    bench.step()
    assert reader.numbers() == sent


def test_what_is_gathered_is_bounded_in_bytes() -> None:
    bench = Bench()
    reader = bench.join("a")
    for _ in range(8):
        bench.fanout.publish("e", f'{{"n":1,"text":"{"x" * (MAX_GATHERED_BYTES // 8)}"}}')
    assert len(reader.numbers()) == 8  # nobody flushed


def test_a_batch_is_no_larger_than_a_lagging_client_may_have_too_much() -> None:
    bench = Bench()
    reader = bench.join("a")
    text = "x" * 30_000
    for _ in range(5):
        bench.fanout.publish("e", f'{{"n":1,"text":"{text}"}}')
    bench.fanout.publish("e", f'{{"n":2,"text":"{"x" * 2 * MAX_BATCH_BYTES}"}}')
    bench.fanout.publish("e", '{"n":3}')
    bench.step()
    assert [len(batch.messages) for batch in reader.batches] == [2, 2, 1, 1, 1]
    assert reader.numbers() == [1, 1, 1, 1, 1, 2, 3]


# -- joining -------------------------------------------------------------------------------------------


def test_a_new_client_gets_its_snapshot_and_then_only_what_is_newer() -> None:
    bench = Bench()
    early = bench.join("early")
    late = Reader()
    bench.tick("ETH-USD")
    bench.fanout.add("late", late)
    assert late.batches == []  # not before the connect answer
    bench.tick("BTC-USD")
    bench.step()
    bench.tick("BTC-USD")
    bench.step()
    assert early.numbers() == [1, 2, 3]
    assert late.numbers() == [1, 2, 3]
    assert [event for event, _ in late.read()] == [TICK] * 3


def test_an_empty_snapshot_sends_nothing() -> None:
    bench = Bench()
    reader = bench.join("a")
    assert reader.batches == []
    bench.tick()
    bench.step()
    assert reader.numbers() == [1]


def test_a_client_that_is_gone_before_its_snapshot_never_joins() -> None:
    bench = Bench()
    bench.tick()
    bench.join("leaver", Leaver(0))
    assert bench.fanout.client_count == 0


def test_what_no_snapshot_shows_reaches_those_who_wait_for_theirs() -> None:
    bench = Bench()
    reader = Reader()
    bench.fanout.add("a", reader)
    alert, tick = bench.alert(), bench.tick()
    backfill, _ = bench.alert("BTC-USD", "trade_backfill"), bench.alert("BTC-USD", "trust_update")
    bench.step()
    assert reader.numbers() == [tick, alert, backfill]  # the snapshot shows what a trust_update would say


def test_a_herd_is_let_in_by_and_by_and_asks_for_the_snapshot_once_a_turn() -> None:
    bench = Bench()
    bench.tick()
    readers = [Reader() for _ in range(2 * MAX_JOINS + 1)]
    for index, reader in enumerate(readers):
        bench.fanout.add(str(index), reader)
    for turn in (1, 2, 3):
        wait = bench.step()
        welcomed = [reader for reader in readers if reader.batches]
        assert len(welcomed) == min(turn * MAX_JOINS, len(readers))
        assert wait == (None if turn == 3 else 0.0)
    assert len({id(reader.batches[0]) for reader in readers}) == 3
    assert bench.fanout.client_count == len(readers)


moves = st.lists(st.sampled_from(["A-USD", "B-USD", "alert", "step", "join", "choose", "leave"]), max_size=60)


@given(moves, st.sampled_from(Mode))
def test_each_client_is_told_everything_since_its_snapshot_exactly_once(steps: list[str], mode: Mode) -> None:
    bench = Bench(mode)
    present: dict[str, tuple[Reader, int, dict[str, int], list[int]]] = {}
    waiting: dict[str, tuple[Reader, int]] = {}
    told: list[tuple[int, str]] = []  # (number, product or "")

    def settle() -> None:
        bench.step()
        for name, (reader, since) in waiting.items():
            book = dict(bench.book)
            present[name] = (reader, len(told), book, [number for number, product in told[since:] if not product])
        waiting.clear()

    for index, step in enumerate(steps):
        if step in ("A-USD", "B-USD"):
            told.append((bench.tick(step), step))
        elif step == "alert":
            told.append((bench.alert(), ""))
        elif step == "step":
            settle()
        elif step == "join":
            bench.fanout.flush()  # an alert that is gathered already would reach the new one too, which is no harm
            waiting[str(index)] = (Reader(), len(told))
            bench.fanout.add(str(index), waiting[str(index)][0])
        elif step == "choose":  # back and forth within one turn changes nothing
            for name in present:
                assert bench.fanout.choose(name, Choice(frozenset({"*-*"})))
                assert bench.fanout.choose(name, EVERYTHING)
        elif present:
            bench.fanout.flush()
            bench.fanout.remove(next(iter(present)))
            del present[next(iter(present))]
    settle()
    for reader, since, book, missed in present.values():
        wanted = [*book.values(), *missed, *(number for number, _ in told[since:])]
        assert reader.numbers() == wanted
    assert bench.fanout.client_count == len(present)


# -- those that choose ---------------------------------------------------------------------------------


def test_what_was_not_wanted_before_is_sent_as_it_stands() -> None:
    bench = Bench()
    bench.tick("BTC-USD"), bench.tick("ETH-USD")
    chooser = bench.join("chooser")
    assert bench.fanout.choose("chooser", BTC)
    bench.tick("ETH-USD"), bench.tick("BTC-USD")
    assert bench.fanout.choose("chooser", EVERYTHING)
    bench.tick("ETH-USD")
    bench.step()
    bench.tick("ETH-USD")
    bench.step()
    assert chooser.numbers() == [1, 2, 4, 5, 6]  # as it stands when it is sent, then what is newer


def test_a_chooser_gets_its_products_and_what_concerns_none() -> None:
    bench = Bench()
    chooser, plain = bench.join("chooser"), bench.join("plain")
    bench.tick("ETH-USD")
    assert bench.fanout.choose("chooser", BTC)
    bench.tick("ETH-USD"), bench.tick("BTC-USD"), bench.alert("ETH-USD", "volume_alert"), bench.alert()
    bench.step()
    assert chooser.numbers() == [3, 5]  # nothing that it no longer wants
    assert plain.numbers() == [1, 2, 3, 4, 5]
    assert chooser.choices == [BTC]
    assert bench.fanout.choice_of("chooser") == BTC
    assert bench.fanout.choice_of("plain") == EVERYTHING
    assert bench.fanout.client_count == 2


def test_nothing_wanted_is_nothing_sent() -> None:
    bench = Bench()
    chooser = bench.join("a")
    bench.fanout.choose("a", BTC)
    bench.tick("ETH-USD")
    bench.step()
    assert chooser.batches == []


def test_choosers_of_the_same_share_their_bytes() -> None:
    bench = Bench()
    readers = [bench.join(name) for name in "abc"]
    for name in "ab":
        bench.fanout.choose(name, Choice(frozenset({"BTC-USD"})))
    bench.fanout.choose("c", Choice(frozenset({"BTC-USD"}), batch=True))
    bench.tick()
    bench.step()
    assert readers[0].batches[0] is readers[1].batches[0]
    assert readers[0].batches[0] is not readers[2].batches[0]


def test_ticks_as_lists() -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.fanout.choose("a", Choice(batch=True))
    bench.tick("A-USD"), bench.tick("B-USD"), bench.alert()
    bench.step()
    (first, ticks), (second, _) = reader.read()
    assert (first, [item["n"] for item in ticks], second) == ("ticker_batch", [1, 2], "spike_alert")  # type: ignore[attr-defined]
    assert reader.choices == [Choice(batch=True)]


def test_choosing_everything_again() -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.fanout.choose("a", BTC)
    bench.fanout.choose("a", EVERYTHING)
    bench.tick("ETH-USD")
    bench.step()
    assert reader.numbers() == [1]
    assert reader.choices == [BTC, EVERYTHING]


def test_who_chooses_while_it_joins_gets_the_snapshot_of_what_it_chose() -> None:
    bench = Bench()
    bench.tick("ETH-USD"), bench.tick("BTC-USD")
    reader = Reader()
    bench.fanout.add("a", reader)
    assert bench.fanout.choose("a", Choice(frozenset({"BTC-USD"}), 10.0, True))
    assert bench.fanout.choice_of("a").max_hz == 10.0
    assert reader.batches == []  # the herd's pace holds for it too
    bench.alert("ETH-USD", "volume_alert")
    alert = bench.alert()
    bench.step()
    (first, ticks), (second, body) = reader.read()
    assert (first, [item["n"] for item in ticks]) == ("ticker_batch", [2])  # type: ignore[attr-defined]
    assert (second, body) == ("spike_alert", {"n": alert})
    assert bench.fanout.choice_of("a") == Choice(frozenset({"BTC-USD"}), 10.0, True)


def test_only_what_is_new_is_looked_up_and_of_many_wishes_the_last_counts(clock: Callable[[float], None]) -> None:
    bench = Bench()
    for product in ("A-USD", "B-USD", "C-EUR"):
        bench.tick(product)
    reader = bench.join("a")
    bench.snapshots.clear()
    bench.fanout.choose("a", Choice(frozenset({"A-USD"})))
    bench.step()
    assert bench.snapshots == []
    bench.fanout.choose("a", Choice(frozenset({"A-USD", "B-USD"})))
    bench.step()
    assert bench.snapshots == [["B-USD"]]
    for names in ({"A-USD", "*-EUR"}, {"B-USD"}, {"A-USD", "*-USD", "NO-NE"}):
        bench.fanout.choose("a", Choice(frozenset(names)))
        assert bench.fanout.choice_of("a").names == names  # the acknowledgement need not wait
        assert bench.step() == pytest.approx(0.1)
    assert bench.snapshots == [["B-USD"]]
    clock(0.1)
    assert bench.step() is None
    assert bench.snapshots == [["B-USD"], ["A-USD", "B-USD"]]  # it had let go of both meanwhile
    assert reader.numbers() == [1, 2, 3, 2, 1, 2]
    for _ in range(100):
        bench.fanout.choose("a", Choice(frozenset({"A-USD", "*-USD", "NO-NE"})))
    clock(0.1)
    bench.step()
    assert len(bench.snapshots) == 2


def test_nothing_leaves_that_is_no_longer_wanted_though_more_is_waited_for(clock: Callable[[float], None]) -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.fanout.choose("a", BTC)
    bench.fanout.choose("a", Choice(frozenset({"BTC-USD", "ETH-USD"})))
    bench.step()
    bench.fanout.choose("a", Choice(frozenset({"ETH-USD", "SOL-USD"})))  # within the same 100 ms
    bench.tick("BTC-USD"), bench.tick("SOL-USD"), bench.tick("ETH-USD")
    bench.step()
    assert reader.numbers() == [3]
    clock(0.1)
    bench.tick("SOL-USD")
    bench.step()
    assert reader.numbers() == [3, 4]


def test_a_client_that_is_not_there_cannot_choose() -> None:
    bench = Bench()
    assert not bench.fanout.choose("nobody", BTC)
    assert bench.fanout.client_count == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``clock(seconds)`` moves the fan-out's monotonic time on."""
    now = [time.monotonic()]
    monkeypatch.setattr(broadcast.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_a_pace_sends_the_latest_of_each_product_so_often(clock: Callable[[float], None]) -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.fanout.choose("a", Choice(max_hz=4.0))
    bench.tick("A-USD")
    assert bench.step() is None  # at once
    assert reader.numbers() == [1]
    bench.tick("A-USD"), bench.tick("B-USD"), bench.alert(), bench.tick("A-USD"), bench.alert()
    clock(0.1)
    assert bench.step() == pytest.approx(0.15)
    assert reader.numbers() == [1]
    clock(0.15)
    assert bench.step() is None
    assert reader.numbers() == [1, 3, 4, 5, 6]
    clock(10.0)
    bench.tick("B-USD")
    assert bench.step() is None
    assert reader.numbers()[-1] == 7


def test_a_pace_that_is_lifted_sends_what_it_held(clock: Callable[[float], None]) -> None:
    bench = Bench()
    readers = {name: bench.join(name) for name in "abc"}
    for name in readers:
        bench.fanout.choose(name, Choice(max_hz=0.1))
    bench.tick("BTC-USD")
    bench.step()
    clock(0.01)
    bench.tick("ETH-USD"), bench.tick("BTC-USD")
    bench.step()
    bench.fanout.choose("a", EVERYTHING)
    bench.fanout.choose("b", BTC)
    bench.fanout.choose("c", Choice(frozenset({"BTC-USD"}), max_hz=0.2))  # still paced, of the products that are left
    bench.step()
    assert [reader.numbers() for reader in readers.values()] == [[1, 2, 3], [1, 3], [1]]
    clock(10.0)
    bench.step()
    assert readers["c"].numbers() == [1, 3]


def test_a_stop_sends_what_a_pace_held() -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.fanout.choose("a", Choice(max_hz=0.1))
    bench.tick()
    bench.step()
    bench.alert(event="hub_stopping")
    bench.fanout.stop()
    assert reader.numbers() == [1, 2]


def test_a_paced_client_that_is_gone_is_forgotten(clock: Callable[[float], None]) -> None:
    bench = Bench()
    bench.join("a", Leaver(0))
    bench.fanout.choose("a", Choice(max_hz=1.0))
    bench.tick()
    bench.step()
    assert bench.fanout.client_count == 0
    clock(1.0)


# -- the thread ----------------------------------------------------------------------------------------


def test_the_thread_sends_and_a_stop_sends_the_rest() -> None:
    bench = Bench(flush_seconds=0.001)
    bench.fanout.worker.start()
    reader = Reader()
    bench.fanout.add("a", reader)
    eventually(lambda: "a" in bench.fanout._plain, interval=0.001)
    sent = [bench.tick() for _ in range(2_000)]
    bench.fanout.stop()
    bench.fanout.stop()
    assert reader.numbers() == sent
    assert "fanout" not in {thread.name for thread in threading.enumerate()}


def test_a_stop_without_a_start_sends_what_is_gathered() -> None:
    bench = Bench()
    reader = bench.join("a")
    bench.tick()
    bench.fanout.stop()
    assert reader.numbers() == [1]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("flush_seconds", [0.0, 0.02])
def test_an_idle_hub_sends_by_itself_again_and_again(mode: Mode, flush_seconds: float) -> None:
    bench = Bench(mode, flush_seconds)
    bench.fanout.worker.start()
    reader = Reader()
    bench.fanout.add("a", reader)
    eventually(lambda: "a" in bench.fanout._plain, interval=0.001)
    for count in range(1, 4):
        bench.tick()
        eventually(lambda count=count: len(reader.numbers()) == count, 5, 0.001)
    bench.fanout.choose("a", Choice(max_hz=20.0))
    bench.tick("A-USD"), bench.tick("A-USD")
    eventually(lambda: reader.numbers()[-1] == 5, 5, 0.001)
    bench.fanout.stop()


def test_a_bug_in_a_turn_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.fanout.worker.start()
    reader = Reader()
    bench.fanout.add("reader", reader)
    bench.fanout.add("raiser", Raiser())
    eventually(lambda: "raiser" in bench.fanout._plain, interval=0.001)
    for count in (1, 2):
        bench.tick()
        eventually(lambda count=count: len(reader.numbers()) == count, 5, 0.001)
    bench.fanout.stop(5)
    assert "fanout" not in {thread.name for thread in threading.enumerate()}
    assert "Traceback" in caplog.text


# -- what was sent ---------------------------------------------------------------------------------------


def sent(fanout: Fanout) -> Sent:
    return fanout.sent([client.figures(0.0) for client, _ in fanout.clients()])


def test_what_was_sent_outlives_the_clients() -> None:
    bench = Bench()
    bench.tick()
    assert sent(bench.fanout) == (0, 0, 0, 0, 0)  # nobody wanted it
    clients = {name: bench.join(name) for name in ("a", "b", "c")}
    bench.fanout.choose("c", Choice(frozenset({"ETH-USD"})))
    for product in ("BTC-USD", "ETH-USD"):
        bench.tick(product)
        bench.step()
    before = sent(bench.fanout)
    deliveries = sum(len(batch.messages) for client in clients.values() for batch in client.batches)
    taken = sum(len(batch.frames) for client in clients.values() for batch in client.batches)
    assert before == (2, deliveries, taken, 0, 0)
    for name in ("a", "b", "c", "c"):
        bench.fanout.remove(name)
        assert sent(bench.fanout) == before


def test_what_was_sent_to_one_that_leaves_as_it_joins_stays_counted() -> None:
    bench = Bench()
    bench.tick()
    reader = Leaver(0)
    reader.batches.append(Batch([Message("e", "1")]))
    reader.welcome = reader.offer  # type: ignore[method-assign]
    bench.fanout.add("a", reader)
    before = sent(bench.fanout).taken_bytes
    assert before > 0
    bench.step()
    assert not bench.fanout.has("a")
    assert sent(bench.fanout).taken_bytes == before
