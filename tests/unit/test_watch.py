"""The night watch: what it notes, fetches, and puts right, step by step."""

import itertools
import json
from typing import Any

import pytest

from hub import watch as module
from hub.book import Book
from hub.feed.repair import Repair
from hub.journal import Journal
from hub.ledger import Ledger
from hub.model import Cause, ConnectionSnapshot, ConnectionStatus, Heartbeat, Source, Ticker, Trust
from hub.notes import Notes
from hub.watch import (
    MOVE_SECONDS,
    PAUSE_SECONDS,
    REQUEST_SETTLE_SECONDS,
    RESUBSCRIBE_SECONDS,
    RETRY_SECONDS,
    REVIEW_SECONDS,
    Watch,
)

TIME = "2026-11-20T01:02:03Z"


class StubSlot:
    """A slot as far as the watch looks at it."""

    def __init__(self, connection_id: str, product_ids: tuple[str, ...]) -> None:
        self.id = connection_id
        self.product_ids = product_ids
        self.status = ConnectionStatus.CONNECTED
        self.uptime_seconds = 1_000.0

    def snapshot(self) -> ConnectionSnapshot:
        return ConnectionSnapshot(
            self.id, self.status, self.product_ids, 1, 0, 0.0, 0, 0, self.uptime_seconds, None, None, None
        )


class StubPool:
    """Does nothing, and remembers what it was asked for."""

    def __init__(self, *slots: StubSlot) -> None:
        self.slots = {slot.id: slot for slot in slots}
        self.asked: list[tuple[str, str]] = []
        self.silent: list[str] = []
        self.backlog = False  # whether something waits to be read

    def catching_up(self, now: float) -> bool:
        assert now > 0
        return self.backlog

    def silent_products(self, now: float, after_heartbeats: float) -> list[str]:
        assert (now > 0, after_heartbeats) == (True, 2.5)
        return self.silent

    def snapshots(self) -> list[ConnectionSnapshot]:
        return [slot.snapshot() for slot in self.slots.values()]

    def slot_of(self, product_id: str) -> StubSlot | None:
        return next((slot for slot in self.slots.values() if product_id in slot.product_ids), None)

    def resubscribe(self, product_id: str) -> None:
        self.asked.append(("resubscribe", product_id))

    def move(self, product_id: str) -> bool:
        self.asked.append(("move", product_id))
        return len(self.slots) > 1

    def replace(self, connection_id: str, cause: str) -> None:
        self.asked.append(("replace", f"{connection_id} {cause}"))


class EmptyRest:
    """Has no trades."""

    def get_json(self, path: str) -> Any:
        assert path.startswith("/products/")
        return []


class Bench:
    """A watch over a real book, ledger and repair, on a clock of its own."""

    def __init__(self, *slots: StubSlot) -> None:
        self.now = 1_000.0
        self.sent: list[dict[str, Any]] = []
        self.book = Book(5.0, 10.0)
        self.book.set_products([product_id for slot in slots for product_id in slot.product_ids])
        self.pool = StubPool(*slots)
        self.ledger = Ledger("epoch", lambda _: None)
        self.repair = Repair(EmptyRest(), self.ledger.missing_of, lambda _: None, lambda: self.now)  # type: ignore
        self.journal = Journal()
        self.watch = Watch(
            self.book, self.pool, self.ledger, self.repair, self._publish, self.pool.snapshots,  # type: ignore[arg-type]
            Notes(self.journal, 3.0),
        )  # fmt: skip

    def _publish(self, event: str, payload: str, product_id: str) -> None:
        assert event == "trust_update"
        self.sent.append(json.loads(payload))
        assert self.sent[-1]["crypto"] == product_id

    def tick(self, trade_id: int, product_id: str = "BTC-USD", source: Source = Source.WS) -> None:
        self.book.apply(Ticker(product_id, "1.5", trade_id, TIME), source, "conn_000", 0.0, self.now)

    def beat(self, last_trade_id: int, product_id: str = "BTC-USD") -> None:
        self.book.beat(Heartbeat(product_id, last_trade_id, 1, TIME), self.now)

    def run(self, seconds: float, beats: dict[str, int] | None = None, ticks: dict[str, int] | None = None) -> None:
        """Let the watch look as often as it wants to; the beats and ticks come once a second."""
        for step in range(round(seconds / REVIEW_SECONDS)):
            if step % round(1 / REVIEW_SECONDS) == 0:
                for product_id, trade_id in (ticks or {}).items():
                    self.tick(trade_id + round(self.now), product_id)
                for product_id, trade_id in (beats or {}).items():
                    self.beat(trade_id, product_id)
            assert self.watch.step() == REVIEW_SECONDS
            self.now += REVIEW_SECONDS

    def gaps(self) -> list[tuple[object, ...]]:
        """Return (product, cause, first id, last id, open) of every gap, the oldest first."""
        names = ("product", "cause", "first_id", "last_id", "open")
        return [tuple(body[name] for name in names) for body in reversed(self.ledger.query())]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two slots with two products each."""
    return make(monkeypatch, StubSlot("conn_000", ("BTC-USD", "ETH-USD")), StubSlot("conn_001", ("ADA-USD", "SOL-USD")))


def make(monkeypatch: pytest.MonkeyPatch, *slots: StubSlot) -> Bench:
    clock: list[Bench] = []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0].now if clock else 1_000.0)
    built = Bench(*slots)
    clock.append(built)
    return built


# -- what it tells -------------------------------------------------------------------------------------


def test_a_change_of_trust_is_told_once(bench: Bench) -> None:
    bench.tick(7)
    bench.run(4.9)
    assert bench.sent == []
    bench.run(10)
    (body,) = bench.sent
    assert list(body) == ["crypto", "trust", "previous", "reason", "verified_ms", "time"]
    assert (body["crypto"], body["trust"], body["previous"]) == ("BTC-USD", "stale", "live")
    assert 5_000 <= body["verified_ms"] <= 5_000 + 1_000 * REVIEW_SECONDS
    assert body["time"].endswith("Z")


def test_quiet_products_are_left_alone_however_long(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.run(600, beats=dict.fromkeys(bench.book.products, 7))
    assert bench.pool.asked == []
    assert bench.gaps() == []
    assert [(body["crypto"], body["trust"]) for body in bench.sent] == [
        (product_id, "quiet") for product_id in bench.book.products
    ]


def test_products_that_never_traded_are_left_alone(bench: Bench) -> None:
    bench.run(60, beats=dict.fromkeys(bench.book.products, 0))
    assert bench.pool.asked == []


# -- gaps ----------------------------------------------------------------------------------------------


def test_what_a_heartbeat_names_for_a_second_is_noted_once_and_repaired(bench: Bench) -> None:
    bench.tick(7)
    bench.run(0.8, beats={"BTC-USD": 9})
    assert bench.gaps() == []
    bench.run(2)
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 9, True)]
    assert bench.repair.pending() == {"BTC-USD": 0}
    assert bench.ledger.query()[0]["connection_id"] == "conn_000"
    bench.beat(12)
    bench.run(1.4)
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 12, True)]
    assert bench.repair.pending() == {"BTC-USD": 0}
    assert bench.ledger.missing_of("BTC-USD") == [(8, 12)]


def test_a_product_that_stays_stuck_is_one_gap_and_what_it_grows_by_is_fetched(bench: Bench) -> None:
    bench.tick(7)
    for second in range(100):
        bench.run(1, beats={"BTC-USD": 9 + second})
        if second == 50:
            assert bench.repair.step() == 0.0  # it was due, and brought nothing: the next try is later
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 108, True)]
    assert bench.repair.pending() == {"BTC-USD": 1}
    bench.run(1, beats={"BTC-USD": 200})
    for trade_id in range(8, 108):
        bench.ledger.arrived("BTC-USD", trade_id, "backfill")
    assert bench.ledger.missing_of("BTC-USD") == [(108, 200)]  # which is what the repair asks for


def test_a_jump_that_a_heartbeat_had_named_is_not_noted_twice(bench: Bench) -> None:
    bench.tick(7)
    bench.run(2, beats={"BTC-USD": 9})
    bench.watch.jumped("BTC-USD", "conn_000", (8, 11))
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 9, True), ("BTC-USD", "sequence", 10, 11, True)]


@pytest.mark.parametrize(("cause", "told"), [(None, "sequence"), (Cause.RESTART, "restart")])
def test_a_jump_is_noted_with_its_cause_and_repaired(bench: Bench, cause: Cause | None, told: str) -> None:
    bench.watch.jumped("BTC-USD", "conn_000", (8, 9), cause)
    assert bench.gaps() == [("BTC-USD", told, 8, 9, True)]
    assert bench.repair.pending() == {"BTC-USD": 0}


def test_the_first_jump_after_a_lost_connection_is_its_doing(bench: Bench) -> None:
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "reset")
    bench.watch.jumped("BTC-USD", "conn_000", (8, 9))
    bench.watch.arrived("BTC-USD")
    bench.watch.jumped("BTC-USD", "conn_000", (18, 19))
    bench.watch.jumped("ETH-USD", "conn_000", (8, 9))
    bench.watch.jumped("ADA-USD", "conn_001", (8, 9))
    assert [gap[:2] for gap in bench.gaps()[1:]] == [
        ("BTC-USD", "disconnect"), ("BTC-USD", "sequence"), ("ETH-USD", "disconnect"), ("ADA-USD", "sequence"),
    ]  # fmt: skip


# -- connections ---------------------------------------------------------------------------------------


def test_a_lost_connection_is_noted_once_and_its_products_are_behind(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "reset")
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "refused")
    bench.watch.step()
    assert {body["crypto"]: body["trust"] for body in bench.sent} == {"BTC-USD": "behind", "ETH-USD": "behind"}
    assert bench.gaps() == [(None, "disconnect", None, None, True)]
    bench.watch.delivering("conn_001")
    assert bench.ledger.open_count() == 1
    bench.watch.delivering("conn_000")
    bench.watch.delivering("conn_000")
    (body,) = bench.ledger.query()
    assert (body["open"], body["healed"], body["connection_id"]) == (False, "reconnected", "conn_000")
    bench.watch.lost("conn_000", ("BTC-USD",), "reset")
    assert bench.ledger.open_count() == 1


def test_a_connection_that_is_retired_while_it_is_lost_is_missed_no_more(bench: Bench) -> None:
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "reset")
    bench.watch.lost("conn_001", ("ADA-USD", "SOL-USD"), "reset")
    bench.run(1)
    assert bench.ledger.open_count() == 2
    del bench.pool.slots["conn_001"]
    bench.run(REVIEW_SECONDS)
    ended = [(body["connection_id"], body["healed"]) for body in bench.ledger.query(is_open=False)]
    assert ended == [("conn_001", "retired")]
    bench.watch.delivering("conn_000")
    assert bench.ledger.open_count() == 0


def test_products_that_are_not_watched_any_more_are_owed_nothing(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "reset")
    bench.watch.jumped("BTC-USD", "conn_000", (8, 9))
    bench.watch.jumped("ETH-USD", "conn_000", (8, 9))
    bench.run(RESUBSCRIBE_SECONDS + 0.5, beats={"BTC-USD": 20}, ticks={"ADA-USD": 100})
    assert bench.watch._treated
    bench.book.set_products(("ETH-USD", "ADA-USD", "SOL-USD"))
    bench.watch.keep(("ETH-USD", "ADA-USD", "SOL-USD"))
    closed = bench.ledger.query(product="BTC-USD")
    assert {(body["open"], body["healed"]) for body in closed} == {(False, "not watched")}
    assert sum(body["missing"] for body in closed) == 13  # they never came, and it goes on saying so
    assert [gap[0] for gap in bench.gaps() if gap[4]] == [None, "ETH-USD"]
    assert bench.watch._returning == {"ETH-USD": Cause.DISCONNECT}
    bench.run(RETRY_SECONDS + 1)
    assert (bench.watch._treated, bench.watch._owed_at) == ({}, {})


def test_a_pause_of_ours_is_noted_with_its_length(bench: Bench) -> None:
    bench.watch.paused(12.0)
    (body,) = bench.ledger.query()
    assert (body["cause"], body["connection_id"], body["duration_ms"], body["open"]) == ("pause", None, 12_000, False)


def test_after_a_pause_readers_go_first(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.run(1, beats={"BTC-USD": 9})
    bench.now += 10.0  # nobody ran; what came waits in buffers
    bench.pool.backlog = True
    bench.watch.step()
    assert (bench.gaps(), bench.pool.asked, bench.sent) == ([], [], [])
    for product_id in bench.book.products:
        bench.tick(9, product_id)
        bench.beat(9, product_id)
    bench.pool.backlog = False
    bench.run(2)
    assert (bench.gaps(), bench.pool.asked) == ([], [])
    assert all(body["trust"] in ("live", "quiet") for body in bench.sent)


def test_a_review_that_is_a_little_late_is_a_review(bench: Bench) -> None:
    bench.tick(7)
    bench.now += PAUSE_SECONDS + REVIEW_SECONDS - 0.05
    bench.beat(9)
    bench.now += 1.0
    bench.pool.backlog = True
    bench.watch.step()  # 2.15 s after the last one: skipped
    assert bench.gaps() == []
    bench.pool.backlog = False
    bench.now += PAUSE_SECONDS + REVIEW_SECONDS - 0.05
    bench.watch.step()
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 9, True)]


def test_a_hub_that_is_late_again_and_again_reviews_nevertheless(bench: Bench) -> None:
    bench.pool.backlog = True  # of one socket, that never catches up
    reviewed = total = 0
    for _ in range(17):
        for step in range(30):
            bench.now += 1.3 if step == 0 else REVIEW_SECONDS
            bench.tick(7 + total)
            bench.sent.clear()
            bench.book.set_catalogue({"BTC-USD": (Trust.HALTED, "")} if total % 2 else {})  # a change for each review
            bench.watch.step()
            total += 1
            reviewed += bool(bench.sent)
    assert reviewed > 0.7 * total


def test_a_hub_that_stands_still_while_it_settles_is_given_no_more_time(bench: Bench) -> None:
    bench.tick(7)
    bench.pool.backlog = True
    for _ in range(2):
        bench.now += 7.0
        bench.watch.step()
    assert [body["trust"] for body in bench.sent] == ["stale"]


def test_a_request_waits_two_seconds_at_most(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        bench.now += seconds + 1.3 * (bench.now > begun + 1.0)  # and now it is late again
        assert bench.now <= begun + REQUEST_SETTLE_SECONDS + 1.4

    monkeypatch.setattr(module.time, "sleep", sleep)
    bench.now += 30.0
    bench.pool.backlog = True
    begun = bench.now
    bench.watch.settle()
    assert bench.now >= begun + REQUEST_SETTLE_SECONDS
    bench.pool.backlog = False
    begun = bench.now
    bench.watch.settle()
    assert bench.now == begun


# -- escalation ----------------------------------------------------------------------------------------


def test_a_stuck_product_is_resubscribed_then_moved_and_nobody_else_notices(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    ticks = dict.fromkeys(("ETH-USD", "ADA-USD", "SOL-USD"), 100)
    begun = bench.now
    seen: dict[str, float] = {}
    while bench.now < begun + 60:
        bench.run(1, beats={"BTC-USD": 9}, ticks=ticks)
        for what, product_id in bench.pool.asked:
            assert product_id == "BTC-USD"
            seen.setdefault(what, bench.now - begun)
    assert [what for what, _ in bench.pool.asked][:2] == ["resubscribe", "move"]
    assert RESUBSCRIBE_SECONDS <= seen["resubscribe"] <= RESUBSCRIBE_SECONDS + 1.5
    assert MOVE_SECONDS <= seen["move"] <= MOVE_SECONDS + 1.5
    assert len(bench.pool.asked) <= 10


def test_a_product_that_was_fetched_meanwhile_is_stuck_nevertheless(bench: Bench) -> None:
    bench.tick(7)
    bench.beat(8)
    bench.tick(8, source=Source.BACKFILL)
    bench.run(RESUBSCRIBE_SECONDS + 0.5, beats={"BTC-USD": 8}, ticks={"ETH-USD": 100})
    assert bench.pool.asked == [("resubscribe", "BTC-USD")]


def test_a_product_that_comes_back_starts_over(bench: Bench) -> None:
    bench.tick(7)
    bench.run(RESUBSCRIBE_SECONDS + 0.5, beats={"BTC-USD": 8}, ticks={"ETH-USD": 100})
    bench.tick(8)
    bench.run(RETRY_SECONDS + 2, beats={"BTC-USD": 8}, ticks={"ETH-USD": 200})
    assert bench.pool.asked == [("resubscribe", "BTC-USD")]
    bench.run(RESUBSCRIBE_SECONDS + 0.5, beats={"BTC-USD": 20}, ticks={"ETH-USD": 1000})
    assert bench.pool.asked == [("resubscribe", "BTC-USD")] * 2


def test_the_last_ticker_that_a_subscription_brings_is_no_recovery(bench: Bench) -> None:
    bench.tick(7)
    bench.run(RESUBSCRIBE_SECONDS + 0.5, beats={"BTC-USD": 8}, ticks={"ETH-USD": 100})
    bench.tick(8)  # and nothing after it
    bench.run(MOVE_SECONDS + 0.5, beats={"BTC-USD": 20}, ticks={"ETH-USD": 300})
    assert [what for what, _ in bench.pool.asked] == ["resubscribe", "move"]


def test_a_product_that_stays_stuck_is_treated_every_half_minute(bench: Bench) -> None:
    bench.tick(7)
    begun, steps = bench.now, list[tuple[str, float]]()
    while bench.now < begun + 400:
        bench.run(1, beats={"BTC-USD": 9 + round(bench.now)}, ticks={"ETH-USD": 100, "ADA-USD": 100, "SOL-USD": 100})
        for what, product_id in bench.pool.asked:
            assert product_id == "BTC-USD"
            steps.append((what, bench.now))
            bench.tick(9 + round(bench.now))  # the last ticker comes with each, and nothing after it
        bench.pool.asked.clear()
    assert len(steps) >= 10
    assert {what for what, _ in steps[0::2]} == {"resubscribe"}
    assert {what for what, _ in steps[1::2]} == {"move"}
    waits = [after - before for (_, before), (_, after) in itertools.pairwise(steps)]
    assert all(RETRY_SECONDS - 1 <= one <= RETRY_SECONDS + 5 for one in waits[1:])


def test_a_connection_that_brings_no_data_for_anybody_is_replaced(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.run(RESUBSCRIBE_SECONDS + 0.3, beats={"BTC-USD": 9, "ETH-USD": 9}, ticks={"ADA-USD": 100, "SOL-USD": 100})
    assert bench.pool.asked
    assert set(bench.pool.asked) == {("replace", "conn_000 no_data")}


def test_the_products_of_a_connection_that_brings_no_data_need_not_be_owed_for_as_long(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    others = {"ADA-USD": 100, "SOL-USD": 100}
    bench.run(RESUBSCRIBE_SECONDS - 1, beats={"BTC-USD": 9, "ETH-USD": 7}, ticks=others)
    bench.run(1.3, beats={"BTC-USD": 9, "ETH-USD": 9}, ticks=dict.fromkeys(others, 200))
    assert set(bench.pool.asked) == {("replace", "conn_000 no_data")}


def test_a_connection_whose_only_product_is_mute_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(monkeypatch, StubSlot("conn_000", ("BTC-USD",)), StubSlot("conn_001", ("ETH-USD",)))
    bench.tick(7)
    bench.run(RESUBSCRIBE_SECONDS + 0.3, beats={"BTC-USD": 9}, ticks={"ETH-USD": 100})
    assert set(bench.pool.asked) == {("replace", "conn_000 no_data")}


def test_one_stuck_product_among_quiet_ones_does_not_cost_the_connection(bench: Bench) -> None:
    for product_id in bench.book.products:
        bench.tick(7, product_id)
    bench.run(RESUBSCRIBE_SECONDS + 3, beats={**dict.fromkeys(bench.book.products, 7), "BTC-USD": 9})
    assert bench.pool.asked == [("resubscribe", "BTC-USD")]


@pytest.mark.parametrize(
    ("status", "uptime"),
    [
        (ConnectionStatus.RECONNECTING, 0.0),
        (ConnectionStatus.CONNECTING, 0.0),
        (ConnectionStatus.FAILED, 1_000.0),
        (ConnectionStatus.CONNECTED, RESUBSCRIBE_SECONDS - 0.1),
    ],
)
def test_a_connection_that_has_just_opened_or_is_not_open_is_given_time(
    bench: Bench, status: ConnectionStatus, uptime: float
) -> None:
    slot = bench.pool.slots["conn_000"]
    slot.status, slot.uptime_seconds = status, uptime
    bench.tick(7)
    bench.tick(7, "ETH-USD")
    bench.run(20, beats={"BTC-USD": 9, "ETH-USD": 9})
    assert bench.pool.asked == []


def test_a_reconnect_starts_the_time_anew(bench: Bench) -> None:
    bench.tick(7)
    bench.run(2.8, beats={"BTC-USD": 9}, ticks={"ETH-USD": 100})
    bench.watch.lost("conn_000", ("BTC-USD", "ETH-USD"), "reset")
    bench.run(2.6, beats={"BTC-USD": 9}, ticks={"ETH-USD": 100})
    assert bench.pool.asked == []


def test_a_stuck_product_of_the_only_slot_is_resubscribed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(monkeypatch, StubSlot("conn_000", ("BTC-USD", "ETH-USD")))
    bench.tick(7)
    bench.run(300, beats={"BTC-USD": 9}, ticks={"ETH-USD": 100})
    resubscribed = [what for what, _ in bench.pool.asked].count("resubscribe")
    assert 2 <= resubscribed <= 20


@pytest.mark.parametrize("word", [Trust.HALTED, Trust.DELISTED])
def test_nothing_is_put_right_for_what_is_halted_until_it_is_back(bench: Bench, word: Trust) -> None:
    bench.tick(7)
    bench.run(2, beats={"BTC-USD": 9}, ticks={"ETH-USD": 100})
    bench.book.set_catalogue({"BTC-USD": (word, "the exchange says so")})
    bench.run(RETRY_SECONDS + 30, beats={"BTC-USD": 9}, ticks={"ETH-USD": 200})
    bench.run(60, ticks={"ETH-USD": 300})  # without heartbeats
    assert bench.pool.asked == []
    assert [body["trust"] for body in bench.sent if body["crypto"] == "BTC-USD"][-1] == word
    assert bench.gaps() == [("BTC-USD", "heartbeat", 8, 9, True)]  # fetched all the same
    bench.book.set_catalogue({})
    bench.run(RESUBSCRIBE_SECONDS + 1.5, beats={"BTC-USD": 9}, ticks={"ETH-USD": 400})
    assert bench.pool.asked == [("resubscribe", "BTC-USD")]  # from the end of the halt, and not moved at once


def test_a_silent_connection_is_doubted_until_it_speaks(bench: Bench) -> None:
    bench.tick(7)
    bench.pool.silent = ["BTC-USD"]
    bench.watch.step()
    assert [(body["previous"], body["trust"]) for body in bench.sent] == [("live", "behind")]
    bench.pool.silent = []
    bench.beat(7)
    bench.now += REVIEW_SECONDS
    bench.watch.step()
    assert [(body["previous"], body["trust"]) for body in bench.sent][1:] == [("behind", "live")]
