"""The way of a price through an unstarted hub: what leaves, what is noted, what heals."""

import json
import threading
import time
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask

from hub.feed.backoff import Backoff
from hub.feed.catalogue import Catalogue
from hub.feed.connection import Connection
from hub.feed.continuity import MAX_HOLES
from hub.feed.dialects import by_name
from hub.feed.transport import Transport
from hub.feed.watchdog import Limits
from hub.hub import PriceHub
from hub.ledger import Gap
from hub.model import Heartbeat, Product, Ticker, Trust, TrustChange
from hub.settings import Settings
from hub.web.rest import make_blueprint

TIME = "2026-11-20T01:02:03Z"
EVENTS = ("ticker_update", "trade_backfill", "trust_update", "priority_ticker_update", "volume_alert")


class Bench:
    """A hub that opens nothing; ``sent`` is every event, as (event, payload)."""

    def __init__(self) -> None:
        settings = Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9")
        self.hub = PriceHub(settings)
        self.hub.book.set_products(["BTC-USD", "ETH-USD"])
        self.sent: list[tuple[str, dict[str, Any]]] = []
        for event in EVENTS:
            self.hub.on(event, lambda payload, event=event: self.sent.append((event, payload)))

    def tick(self, *trade_ids: int, product_id: str = "BTC-USD", at: float = 100.0, now: float = 0.0) -> None:
        for trade_id in trade_ids:
            ticker = Ticker(product_id, f"{trade_id}.5", trade_id, TIME)
            self.hub.flow.on_event("conn_000", ticker, 1_000.0, at, now or at)

    def fetch(self, *trade_ids: int) -> None:
        self.hub.flow.on_fetched([Ticker("BTC-USD", f"{trade_id}.5", trade_id, TIME) for trade_id in trade_ids])

    def ids(self, event: str) -> list[int]:
        return [body["trade_id"] for name, body in self.sent if name == event]

    def open_ids(self) -> list[int]:
        ranges = [item for body in self.hub.ledger.query() for item in body["missing_ranges"]]
        return sorted(item for first, last in ranges for item in range(first, last + 1))


@pytest.fixture
def bench() -> Iterator[Bench]:
    built = Bench()
    yield built
    built.hub.stop()


def test_a_tick_leaves_once_and_carries_its_trust(bench: Bench) -> None:
    bench.tick(7, 8, 8)
    assert bench.ids("ticker_update") == [7, 8]
    ticks = [body for name, body in bench.sent if name == "ticker_update"]
    assert all((body["trust"], body["source"]) == ("live", "ws") for body in ticks)
    assert [body["trust"] for name, body in bench.sent if name == "trust_update"] == ["live"]
    assert bench.hub.counters == {"new": 2, "duplicate": 1}


def test_what_is_missed_is_noted_fetched_and_healed(bench: Bench) -> None:
    bench.tick(7, 11)
    assert bench.open_ids() == [8, 9, 10]
    assert bench.hub.repair.pending() == {"BTC-USD": 0}
    bench.tick(9)
    bench.fetch(8, 10)
    assert bench.open_ids() == []
    assert bench.ids("ticker_update") == [7, 11]
    assert bench.ids("trade_backfill") == [9, 8, 10]
    (body,) = bench.hub.ledger.query()
    assert (body["cause"], body["healed"], body["connection_id"]) == ("sequence", "backfill", "conn_000")
    assert bench.hub.counters["late"] == 3


def rest_price(price: str) -> Ticker:
    return Ticker("BTC-USD", price, 0, "")


def test_a_price_of_rest_that_was_wrong_is_put_right_and_no_id_leaves_twice(bench: Bench) -> None:
    bench.tick(7)
    bench.hub.flow.on_rest_price(rest_price("9.5"), 104.0)
    bench.tick(7, at=105.0)
    ticks = [body for name, body in bench.sent if name == "ticker_update"]
    assert [(body["price"], body["trade_id"], body["source"]) for body in ticks] == [
        (7.5, 7, "ws"), (9.5, 0, "rest"), (7.5, 0, "ws")
    ]  # fmt: skip
    assert [body["time"] for body in ticks] == [TIME] * 3
    current = bench.hub.get_current_ticker("BTC-USD")
    assert current is not None
    assert (current["trade_id"], current["source"]) == (7, "ws")
    assert bench.hub.counters == {"new": 1, "rest_prices": 1, "again": 1}


def test_a_fetched_trade_that_a_socket_sends_again_after_rest_does_not_leave_twice(bench: Bench) -> None:
    bench.tick(7)
    bench.hub.flow.on_event("conn_000", Heartbeat("BTC-USD", 8, 1, TIME), 1_001.0, 101.0, 101.0)
    bench.hub.flow.on_rest_price(rest_price("9.5"), 104.0)
    bench.fetch(8)
    bench.tick(8, at=105.0)
    assert (bench.ids("ticker_update"), bench.ids("trade_backfill")) == ([7, 0, 0], [8])


def snapshot(bench: Bench, *trade_ids: int, at: float) -> None:
    for trade_id in trade_ids:
        ticker = Ticker("BTC-USD", f"{trade_id}.5", trade_id, TIME, history=trade_id != trade_ids[-1])
        bench.hub.flow.on_event("conn_000", ticker, 1_000.0, at, at)


def test_a_snapshot_s_history_is_live_where_it_follows_on_and_late_behind_a_price_of_rest(bench: Bench) -> None:
    snapshot(bench, 5, 6, 7, at=100.0)  # of before our time, but for the last
    snapshot(bench, 7, 8, 9, at=101.0)
    assert (bench.ids("ticker_update"), bench.ids("trade_backfill")) == ([7, 8, 9], [])
    bench.hub.flow.on_rest_price(rest_price("11.5"), 105.0)
    snapshot(bench, 9, 10, 11, 12, at=106.0)
    told = [body["price"] for name, body in bench.sent if name == "ticker_update"]
    assert told == [7.5, 8.5, 9.5, 11.5, 12.5]  # never back
    assert bench.ids("trade_backfill") == [10, 11]
    assert bench.open_ids() == []
    assert bench.hub.book.by_rest() == 0


def test_a_price_of_rest_leaves_with_the_trust_that_it_gives(bench: Bench) -> None:
    bench.tick(7)
    bench.hub.watch.tell(bench.hub.book.review(110.0, 0.0))
    bench.hub.flow.on_rest_price(rest_price("9.5"), 110.0)
    told = [body for name, body in bench.sent if name == "ticker_update"]
    assert [body["trust"] for body in told] == ["live", "live"]


def test_lost_frames_beside_a_path_without_sockets_put_its_products_in_doubt(bench: Bench) -> None:
    bench.tick(7)
    slot = SimpleNamespace(products=("BTC-USD",), is_open=True)
    bench.hub.pool._slots = cast("list[Connection]", [slot])
    bench.hub.flow.on_skipped("adv_000", ("BTC-USD",))
    assert bench.hub.book.standing("BTC-USD", 100.1).trust is Trust.LIVE  # type: ignore[union-attr]
    slot.is_open = False
    bench.hub.flow.on_skipped("adv_000", ("BTC-USD",))
    assert bench.hub.book.standing("BTC-USD", 100.1).trust is Trust.BEHIND  # type: ignore[union-attr]
    bench.hub.pool._slots = []


def test_a_connection_that_waits_for_its_turn_to_send_is_not_silent(bench: Bench) -> None:
    during: list[bool] = []

    def may_send(_: object) -> bool:
        connection.watch(100.0, 0.0)
        during.append(connection._interrupted is None)
        return True

    connection = Connection(
        "adv_000", "ws://localhost:9", by_name("advanced_trade"), Limits(3.0, 10.0),
        Backoff(1.0, 60.0, 30.0, Random(1)), bench.hub.pool._callbacks, lambda _: True, None, None, may_send,
    )  # fmt: skip
    connection.want(("BTC-USD",))
    connection._attempt_at = connection._opened_at = 2.0
    connection._subscribe(cast("Transport", SimpleNamespace(send=lambda _: None)), 2.0)
    assert during == [True] * 3
    connection.watch(time.monotonic() + 2.9, 0.0)
    assert connection._interrupted is None
    connection.watch(time.monotonic() + 3.1, 0.0)
    assert connection._interrupted == "silent"


class Slot:
    """A slot that may be open, in backoff, or between the two."""

    def __init__(self) -> None:
        self.is_open, self.wait, self.hurried = False, 30.0, 0

    def attempt_in_seconds(self, _: float) -> float:
        return self.wait

    def hurry(self, _: float) -> None:
        self.hurried += 1


def test_while_no_socket_is_open_one_is_tried_and_when_it_is_back_all_but_not_again_and_again(bench: Bench) -> None:
    pool, slots = bench.hub.pool, [Slot() for _ in range(3)]
    pool._slots = cast("list[Connection]", slots)
    for now in (100.0, 102.0, 104.1):
        pool._probe(now)
    assert sum(slot.hurried for slot in slots) == 2  # every 4 s
    slots[0].is_open = True
    before = [slot.hurried for slot in slots]
    pool._probe(105.0)
    pool._probe(105.1)
    assert [slot.hurried - count for slot, count in zip(slots, before, strict=True)] == [0, 1, 1]
    for lost_at in (107.0, 110.0, 113.0):  # an endpoint that hangs up after 2 s
        slots[0].is_open = False
        pool._probe(lost_at)
        slots[0].is_open = True
        before = [slot.hurried for slot in slots]
        pool._probe(lost_at + 1.0)
        assert [slot.hurried for slot in slots] == before
    pool._slots = []


def test_on_native_threads_two_paths_keep_a_product_s_order(bench: Bench) -> None:
    told, go_on = threading.Event(), threading.Event()

    def slow(body: dict[str, Any]) -> None:
        if body["trade_id"] == 7:
            told.set()
            assert go_on.wait(5)

    bench.hub._listeners["ticker_update"].insert(0, slow)
    first = threading.Thread(target=lambda: bench.tick(7))
    first.start()
    assert told.wait(5)
    ticker = Ticker("BTC-USD", "8.5", 8, TIME)
    other = threading.Thread(target=lambda: bench.hub.flow.on_event("adv_000", ticker, 1_000.0, 100.0, 100.0))
    other.start()
    other.join(5)
    assert not other.is_alive()  # it did not wait
    go_on.set()
    first.join(5)
    assert bench.ids("ticker_update") == [7, 8]


def test_a_late_tick_alone_heals_too(bench: Bench) -> None:
    bench.tick(7, 9, 8)
    assert [body["healed"] for body in bench.hub.ledger.query()] == ["late"]


def test_every_trade_leaves_once_or_is_open(bench: Bench) -> None:
    bench.tick(*range(10, 200, 3))
    bench.tick(*range(11, 100, 3))
    bench.fetch(*range(10, 160))
    bench.fetch(*range(10, 160))
    bench.tick(*range(150, 170))
    left = bench.ids("ticker_update") + bench.ids("trade_backfill")
    assert len(left) == len(set(left))
    assert sorted(left + bench.open_ids()) == list(range(10, 200))


def test_a_fetched_trade_that_is_ahead_leaves_as_a_backfill_and_is_the_price(bench: Bench) -> None:
    bench.tick(7)
    bench.hub.flow.on_event("conn_000", Heartbeat("BTC-USD", 8, 1, TIME), 1_001.0, 101.0, 101.0)
    bench.fetch(8)
    assert bench.ids("ticker_update") == [7]
    assert bench.ids("trade_backfill") == [8]
    ticker = bench.hub.get_current_ticker("BTC-USD")
    assert ticker is not None
    assert (ticker["price"], ticker["source"]) == (8.5, "backfill")
    bench.tick(8)
    assert bench.ids("ticker_update") == [7]  # it left already


def test_more_holes_than_are_remembered_heal_all_the_same(bench: Bench) -> None:
    last = 2 * MAX_HOLES + 100
    bench.tick(*range(1, last, 2))
    missing = bench.open_ids()
    assert len(missing) > MAX_HOLES
    bench.fetch(*missing)
    assert bench.open_ids() == []
    assert sorted(bench.ids("trade_backfill")) == missing


def test_a_late_tick_that_overtakes_the_noting_of_its_gap_leaves_once(bench: Bench) -> None:
    def overtaken(payload: dict[str, Any]) -> None:  # by a late frame of another thread, before the jump is noted
        if payload["trade_id"] == 11:
            bench.tick(9)

    bench.hub.on("ticker_update", overtaken)
    bench.tick(7, 11)
    assert bench.ids("trade_backfill") == [9]
    bench.fetch(8, 9, 10)
    bench.tick(9)
    assert bench.ids("trade_backfill") == [9, 8, 10]
    assert bench.open_ids() == []
    assert bench.hub.counters == {"new": 2, "late": 3, "duplicate": 2}


def test_a_product_that_is_not_watched_is_counted_and_leaves_nowhere(bench: Bench) -> None:
    bench.tick(7, product_id="XRP-USD")
    assert bench.sent == []
    assert bench.hub.counters == {"unexpected": 1}


# -- after a restart -----------------------------------------------------------------------------------


def left_open(bench: Bench, first: int, last: int) -> Gap:
    """Give the hub a gap that the process before it left open."""
    gap = Gap(1, "epoch-0", "BTC-USD", None, "sequence", first, last, 1_000.0, [(first, last)])
    bench.hub.ledger.restore([gap])
    return gap


def test_what_was_missed_between_two_processes_is_noted(bench: Bench) -> None:
    bench.hub.past._ids = {"BTC-USD": 10, "ETH-USD": 5}
    bench.tick(14, 15)
    bench.tick(6, product_id="ETH-USD")
    assert [(body["cause"], body["first_id"], body["last_id"]) for body in bench.hub.ledger.query()] == [
        ("restart", 11, 13),
    ]
    bench.fetch(11, 12, 13)
    assert bench.open_ids() == []
    assert bench.ids("trade_backfill") == [11, 12, 13]


def test_a_gap_of_the_process_before_heals(bench: Bench) -> None:
    gap = left_open(bench, 3, 4)
    bench.hub.past._ids = {"BTC-USD": 10}
    bench.tick(7, product_id="ETH-USD")
    assert bench.hub.repair.pending() == {}  # before the first tick, fetched trades would be refused
    bench.tick(11)
    assert bench.hub.repair.pending() == {"BTC-USD": 0}
    bench.fetch(3, 4)
    assert bench.ids("trade_backfill") == [3, 4]
    assert (gap.healed, bench.open_ids()) == ("backfill", [])


def test_a_gap_that_heals_before_the_first_tick_is_history_and_no_price(bench: Bench) -> None:
    left_open(bench, 3, 4)
    bench.hub.past._ids = {"BTC-USD": 10}
    bench.fetch(3, 4)
    assert bench.hub.repair.pending() == {}
    ticker = bench.hub.get_current_ticker("BTC-USD")
    assert ticker is None or ticker["trust"] != "live"
    bench.tick(14)
    bench.fetch(3, 4)  # again, if it was not taken before
    assert bench.ids("trade_backfill") == [3, 4]
    assert bench.open_ids() == [11, 12, 13]
    assert bench.hub.ledger.query()[0]["cause"] == "restart"


def test_what_can_be_read_of_the_process_before_only_late_is_taken_in_all_the_same(bench: Bench) -> None:
    bench.tick(14, 15)
    gaps = [
        Gap(number, "epoch-0", item, None, "sequence", 3, 4, 1_000.0, [(3, 4)])
        for number, item in enumerate(("BTC-USD", "ETH-USD", "XRP-USD"))
    ]
    bench.hub.past.restore(gaps, {"BTC-USD": 10, "ETH-USD": 5})
    assert bench.hub.ledger.missing_of("BTC-USD") == [(3, 4), (11, 13)]
    assert [gap.healed for gap in gaps] == [None, None, "not watched"]
    assert bench.hub.repair.pending() == {"BTC-USD": 0}
    bench.tick(6, product_id="ETH-USD")
    assert bench.hub.repair.pending() == {"BTC-USD": 0, "ETH-USD": 0}
    bench.fetch(3, 4, 11, 12, 13)
    assert bench.ids("trade_backfill") == [3, 4, 11, 12, 13]
    ids = [body["id"] for body in bench.hub.ledger.query()]
    assert ids == sorted(ids, reverse=True)


def listed(*product_ids: str, old: bool = False) -> Catalogue:
    return Catalogue(tuple(Product(item, item[:3], "USD") for item in product_ids), (), 1_000.0, old)


@pytest.mark.parametrize("restored_first", [True, False])
def test_last_ids_of_products_that_were_not_watched_meanwhile_are_forgotten(
    bench: Bench, restored_first: bool
) -> None:
    bench.hub.pool.stop()  # opens nothing
    last_ids = {"BTC-USD": 10, "ETH-USD": 5, "XRP-USD": 7}
    if restored_first:
        bench.hub.past.restore([], last_ids)
    bench.hub._take_catalogue(listed("BTC-USD", old=True))
    if restored_first:  # the exchange's own list may be longer than the kept one
        assert bench.hub.past._ids == last_ids
    bench.hub._take_catalogue(listed("BTC-USD", "ETH-USD"))
    if not restored_first:
        bench.hub.past.restore([], last_ids)
    assert bench.hub.past._ids == {"BTC-USD": 10, "ETH-USD": 5}
    assert bench.hub.store is not None
    assert bench.hub.store._only == {"BTC-USD", "ETH-USD"}
    bench.tick(12)
    assert [body["cause"] for body in bench.hub.ledger.query()] == ["restart"]


def test_a_bug_of_the_stores_worker_shows_in_the_summary(bench: Bench) -> None:
    assert bench.hub.store is not None
    bench.hub.store.worker._failed_at = time.monotonic()
    assert any("1 of the hub's own workers" in reason for reason in bench.hub.get_health_summary()["reasons"])


# -- connections ---------------------------------------------------------------------------------------


def test_a_lost_connection_from_loss_to_data(bench: Bench) -> None:
    bench.tick(7)
    bench.hub.flow.on_lost("conn_000", ("BTC-USD",), "reset")
    assert bench.hub.counters["lost_reset"] == 1
    assert bench.hub.get_health_summary()["trust"]["behind"] == 0  # its price is of long ago on the test's clock
    bench.hub.flow.on_delivering("conn_000")
    bench.tick(10)  # the exchange's last ticker, which it sends first
    bench.tick(12)
    causes = [(body["cause"], body["open"]) for body in bench.hub.ledger.query()]
    assert causes == [("sequence", True), ("disconnect", True), ("disconnect", False)]
    assert bench.open_ids() == [8, 9, 11]


def test_a_lost_connection_whose_products_are_all_halted_is_back_with_its_acknowledgement(bench: Bench) -> None:
    connection = Connection(
        "conn_000", "ws://localhost:9", by_name("exchange"), Limits(3.0, 10.0), Backoff(1.0, 60.0, 30.0, Random(1)),
        bench.hub.pool._callbacks, lambda _: True, None,
    )  # fmt: skip
    connection.want(("BTC-USD",))
    bench.hub.flow.on_lost("conn_000", ("BTC-USD",), "reset")
    connection.watch(1.0, 0.0, may_be_silent=True)  # it is not open
    connection._opened_at = 2.0
    connection._subscribe(cast("Transport", SimpleNamespace(send=lambda _: None)), 2.0)
    connection.watch(2.0, 0.0, may_be_silent=True)  # nor acknowledged
    channels = [{"name": name, "product_ids": ["BTC-USD"]} for name in ("ticker", "heartbeat")]
    connection._intake.take(json.dumps({"type": "subscriptions", "channels": channels}).encode(), 3.0)
    connection.watch(3.0, 0.0, may_be_silent=False)  # it owes data
    assert [body["open"] for body in bench.hub.ledger.query()] == [True]
    connection.watch(3.5, 0.0, may_be_silent=True)
    assert [body["healed"] for body in bench.hub.ledger.query()] == ["reconnected"]


def test_what_an_acknowledgement_leaves_out_is_counted_by_product(bench: Bench) -> None:
    sent: list[bytes] = []
    connection = Connection(
        "conn_000", "ws://localhost:9", by_name("exchange"), Limits(3.0, 10.0), Backoff(1.0, 60.0, 30.0, Random(1)),
        bench.hub.pool._callbacks, lambda _: True, None,
    )  # fmt: skip
    transport = cast("Transport", SimpleNamespace(send=sent.append))
    connection.want(("BTC-USD", "ETH-USD"))
    connection._subscribe(transport, 0.0)
    for held in ([], ["BTC-USD"], ["BTC-USD", "ETH-USD"]):
        channels = [{"name": name, "product_ids": held} for name in ("ticker", "heartbeat")]
        connection._intake.take(json.dumps({"type": "subscriptions", "channels": channels}).encode(), 1.0)
        connection._subscribe(transport, 1.0)
    assert len(sent) == 3
    assert bench.hub.get_health_summary()["counters"]["asked_again"] == 3


def test_a_trade_that_refutes_the_product_list_has_it_read_again_and_its_connection_watched(bench: Bench) -> None:
    slots = [SimpleNamespace(products=("BTC-USD",)), SimpleNamespace(products=("ETH-USD",))]
    bench.hub.pool._slots = cast("list[Connection]", slots)
    bench.tick(7)
    halted = dict.fromkeys(("BTC-USD", "ETH-USD"), (Trust.HALTED, "offline"))
    bench.hub.book.set_catalogue(halted, 1_000.0)
    bench.hub.pool.set_idle(halted)
    bench.hub.pool._resumed_at = 0.0
    bench.tick(7)
    assert not bench.hub.catalogue._refuted
    bench.tick(8)
    assert bench.hub.catalogue._refuted
    assert bench.hub.pool._idle == {"ETH-USD"}
    assert bench.hub.pool._resumed_at > 0.0  # its connection has as long for data as a new one
    bench.hub.pool._resumed_at = 0.0
    bench.hub.pool.set_idle(["ETH-USD"])
    bench.hub.pool.set_idle(halted)
    assert bench.hub.pool._resumed_at == 0.0  # no connection must bring more than before
    bench.hub.pool._slots = []


def test_a_pause_is_counted_and_noted(bench: Bench) -> None:
    bench.hub.flow.on_pause(7.25)
    assert bench.hub.counters["pauses"] == 1
    assert bench.hub.ledger.query()[0]["duration_ms"] == 7_250
    assert bench.hub.get_health_summary()["counters"]["gaps_pause"] == 1


def test_what_is_not_proved_is_no_quiet_market(bench: Bench) -> None:
    flow, window_of = bench.hub.flow, lambda: bench.hub.flow.volume._windows["BTC-USD"]
    bench.tick(1, 2, 3)
    assert window_of().doubted is False
    flow.on_trust(TrustChange("BTC-USD", Trust.QUIET, Trust.LIVE, "no trades", 0.0, 10))
    assert window_of().doubted is False
    flow.on_trust(TrustChange("BTC-USD", Trust.BEHIND, Trust.LIVE, "lost", 0.0, 10))
    assert window_of().doubted is True
    bench.tick(4)
    assert window_of().doubted is False
    flow.on_pause(3.0)
    assert window_of().doubted is True


def test_the_watch_tells_the_volume_windows_what_is_in_doubt(bench: Bench) -> None:
    bench.tick(1, 2, at=time.monotonic())
    bench.hub.book.doubt(("BTC-USD",))
    bench.hub.watch.tell(bench.hub.book.review(time.monotonic(), time.time()))
    assert bench.hub.flow.volume._windows["BTC-USD"].doubted is True


def test_the_spike_of_a_product_that_leaves_is_told_to_be_over() -> None:
    settings = Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9")
    hub, told = PriceHub(settings.replace(price_spike_percent=5.0)), []
    hub.alerts.signal = told.append  # type: ignore[method-assign]
    spikes = hub.flow._spikes
    assert spikes is not None
    for price in (100.0, 120.0):
        for product_id in ("BTC-USD", "ETH-USD"):
            spikes.trade(product_id, price, 1.0)
    hub.flow.keep(("BTC-USD",))
    assert [(alert.key, alert.state) for alert in told] == [("price:ETH-USD", "resolved")]
    assert spikes.spiking() == ["BTC-USD"]


def test_a_product_without_a_price_says_why(bench: Bench) -> None:
    app = Flask(__name__)
    app.register_blueprint(make_blueprint(bench.hub, "root"))
    bench.hub.book.set_catalogue({"ETH-USD": (Trust.HALTED, "the exchange says status=offline")})
    reasons = {}
    for product_id in ("BTC-USD", "eth-usd", "XRP-USD"):
        for route in ("price", "tickers"):
            answer = app.test_client().get(f"/{route}/{product_id}")
            assert answer.status_code == 404
            reasons[product_id] = answer.get_json().get("reason")
    assert reasons == {
        "BTC-USD": "it is watched, but has no price yet",
        "eth-usd": "it is watched, but has no price yet: the exchange says status=offline",
        "XRP-USD": None,
    }


def test_a_payload_of_the_book_has_its_ages(bench: Bench) -> None:
    bench.tick(7, at=100.0)
    quote = bench.hub.book.quote("BTC-USD")
    assert quote is not None
    body = json.loads(bench.hub.payload(quote, 101.5))
    assert (body["age_ms"], body["verified_ms"], body["quote_age_ms"]) == (1_500, 1_500, 1_500)


def test_what_waited_to_be_read_is_judged_when_it_leaves(bench: Bench) -> None:
    bench.tick(7)
    for trade_id in range(8, 12):  # read 25 s after they arrived, with no review in between
        bench.tick(trade_id, at=100.0 + trade_id, now=125.0 + trade_id)
    ticks = [body["trust"] for name, body in bench.sent if name == "ticker_update"]
    assert ticks == ["live", "stale", "stale", "stale", "stale"]
    bench.hub.watch.tell(bench.hub.book.review(136.5, 1_036.5))
    assert [body["trust"] for name, body in bench.sent if name == "trust_update"] == ["live", "stale"]  # no flapping
    bench.tick(12, at=137.0)
    assert [body["trust"] for name, body in bench.sent if name == "trust_update"] == ["live", "stale", "live"]


def test_what_a_wrong_trade_id_made_missing_is_missing_no_more_when_it_is_denied(bench: Bench) -> None:
    bench.tick(100)
    bench.tick(15_100, at=101.0)
    assert len(bench.open_ids()) == 14_999
    for second in range(3, 9):
        last_id = 100 + 2 * second  # of the trades between, half come
        bench.tick(last_id, at=100.0 + second)
        beat = Heartbeat("BTC-USD", last_id, 1, TIME)
        bench.hub.flow.on_event("conn_000", beat, 1_000.0, 100.0 + second, 100.0 + second)
    assert bench.open_ids() == [101, 102, 103, 104, 105, 107, 109, 111, 113, 115]  # those below did not come yet
    bench.fetch(*bench.open_ids())
    assert bench.ids("ticker_update") == [100, 15_100]
    bench.tick(117, at=109.0)
    bench.fetch(*bench.open_ids())
    assert [body["healed"] for body in bench.hub.ledger.query()] == ["backfill"]
    assert bench.ids("ticker_update") == [100, 15_100, 117]
