"""The ledger: what could have been missed, noted once, until it is healed; in bounds, over a restart."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import ledger as module
from hub.feed.repair import MAX_IDS
from hub.ledger import Gap, Incidents, Ledger
from hub.model import Cause


class Changes:
    """Remembers what the ledger told, as (gap id, whether it was open then)."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

    def __call__(self, gaps: list[Gap]) -> None:
        self.seen.extend((gap.id, gap.closed_at is None) for gap in gaps)


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def ledger(changes: Changes) -> Ledger:
    return Ledger("epoch-1", changes)


def ids_of(gaps: list[Gap]) -> list[int]:
    return [item for gap in gaps for first, last in gap.missing for item in range(first, last + 1)]


def open_of(ledger: Ledger, product: str = "BTC-USD") -> list[int]:
    """Return every id that is open for a product, as often as it is noted."""
    return [item for first, last in ledger.missing_of(product) for item in range(first, last + 1)]


def open_gaps(ledger: Ledger) -> list[int]:
    """Return the open gaps of products, the oldest first."""
    return [body["id"] for body in reversed(ledger.query(is_open=True)) if body["product"] is not None]


# -- of a product --------------------------------------------------------------------------------------


def test_a_gap_from_its_opening_to_its_end(ledger: Ledger, changes: Changes) -> None:
    (gap,) = ledger.open_ids("BTC-USD", "conn_003", Cause.SEQUENCE, (8, 9))
    assert ledger.has_open("BTC-USD")
    assert not ledger.has_open("ETH-USD")
    (body,) = ledger.query()
    opened_at = body.pop("opened_at")
    assert body == {
        "id": gap.id, "epoch": "epoch-1", "product": "BTC-USD", "connection_id": "conn_003", "cause": "sequence",
        "first_id": 8, "last_id": 9, "missing": 2, "missing_ranges": [[8, 9]], "closed_at": None, "duration_ms": None,
        "open": True, "healed": None,
    }  # fmt: skip
    ledger.arrived("BTC-USD", 9, "late")
    (body,) = ledger.query()
    assert (body["open"], body["missing"], body["missing_ranges"]) == (True, 1, [[8, 8]])
    ledger.arrived("BTC-USD", 8, "backfill")
    (body,) = ledger.query()
    assert (body["open"], body["missing"], body["healed"], body["first_id"]) == (False, 0, "backfill", 8)
    assert body["opened_at"] == opened_at <= body["closed_at"]
    assert 0 <= body["duration_ms"] < 1_000
    assert not ledger.has_open("BTC-USD")
    assert changes.seen[0] == (gap.id, True)
    assert changes.seen[-1] == (gap.id, False)
    assert changes.seen.count((gap.id, False)) == 1
    assert (ledger.open_count(), open_gaps(ledger)) == (0, [])


def test_an_id_that_is_in_no_gap_changes_nothing(ledger: Ledger, changes: Changes) -> None:
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    ledger.arrived("BTC-USD", 10, "late")
    ledger.arrived("ETH-USD", 8, "late")
    assert open_of(ledger) == [8, 9]
    assert len(changes.seen) == 1


def test_what_is_noted_is_not_noted_again(ledger: Ledger) -> None:
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 12))
    assert ledger.open_ids("BTC-USD", None, Cause.HEARTBEAT, (9, 11)) == []
    ledger.arrived("BTC-USD", 10, "late")
    made = ledger.open_ids("BTC-USD", None, Cause.HEARTBEAT, (6, 14))
    assert sorted(ids_of(made)) == [6, 7, 10, 13, 14]  # 10 came, and is said to be missing again
    assert ledger.totals == {"sequence": 1, "heartbeat": 3}


def test_ids_right_after_an_open_gap_of_the_same_kind_make_it_grow(ledger: Ledger, changes: Changes) -> None:
    (gap,) = ledger.open_ids("BTC-USD", "conn_000", Cause.HEARTBEAT, (8, 9))
    assert ledger.open_ids("BTC-USD", "conn_000", Cause.HEARTBEAT, (8, 12)) == [gap]
    ledger.arrived("BTC-USD", 12, "late")
    assert ledger.open_ids("BTC-USD", "conn_000", Cause.HEARTBEAT, (13, 14)) == [gap]
    (body,) = ledger.query()
    assert (body["first_id"], body["last_id"], body["missing_ranges"]) == (8, 14, [[8, 11], [13, 14]])
    assert changes.seen == [(gap.id, True)] * 4
    assert ledger.missing_of("BTC-USD") == [(8, 11), (13, 14)]
    assert ledger.totals == {"heartbeat": 1}
    for trade_id in (8, 9, 10, 11, 13, 14):
        assert ledger.arrived("BTC-USD", trade_id, "backfill")
    assert (ledger.open_count(), ledger.query()[0]["healed"]) == (0, "backfill")
    assert ledger.open_ids("BTC-USD", "conn_000", Cause.HEARTBEAT, (15, 15)) != [gap]  # it is over


def test_ids_after_a_gap_of_another_kind_are_a_gap_of_their_own(ledger: Ledger) -> None:
    ledger.restore([kept(1, 1, 7)])  # of another epoch
    for number, (connection_id, cause, missing) in enumerate([
        ("conn_000", Cause.SEQUENCE, (8, 9)),
        ("conn_001", Cause.SEQUENCE, (10, 11)),
        ("conn_001", Cause.HEARTBEAT, (12, 13)),
        ("conn_001", Cause.HEARTBEAT, (15, 15)),
        ("conn_001", Cause.HEARTBEAT, (5_000, 10_010)),
        ("conn_001", Cause.HEARTBEAT, (10_011, 15_000)),  # what grew too long might not be fetched
    ], 2):  # fmt: skip
        ledger.open_ids("BTC-USD", connection_id, cause, missing)
        assert ledger.open_count() == number
    assert ledger.open_ids("BTC-USD", "conn_001", Cause.HEARTBEAT, (15_001, 15_001))
    assert ledger.open_count() == 7


def test_what_grew_is_never_more_than_is_fetched(ledger: Ledger) -> None:
    for first in range(1, 100_000, 10):
        ledger.open_ids("BTC-USD", None, Cause.HEARTBEAT, (1, first + 9))
    assert ledger.open_count() == 10
    assert all(last - first < MAX_IDS for first, last in ledger.missing_of("BTC-USD"))


ranges = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda item: (item[0], item[0] + item[1]))


@given(st.lists(ranges, max_size=12))
def test_ids_are_noted_once_whatever_overlaps(missing: list[tuple[int, int]]) -> None:
    ledger = Ledger("epoch-1", Changes())
    wanted: set[int] = set()
    for item in missing:
        made = ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, item)
        new = set(range(item[0], item[1] + 1)) - wanted
        assert bool(made) == bool(new)
        assert new <= set(ids_of(made)) <= new | wanted  # with those of gaps that grew
        wanted |= new
        ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, item)
    assert open_of(ledger) == sorted(wanted)
    assert open_of(ledger, "ETH-USD") == sorted(wanted)
    for body in ledger.query():
        assert body["missing_ranges"] == [[body["first_id"], body["last_id"]]]


@given(st.lists(st.one_of(ranges, st.integers(0, 55)), max_size=40))
def test_what_is_open_is_what_was_noted_and_did_not_come(steps: list[tuple[int, int] | int]) -> None:
    changes = Changes()
    ledger = Ledger("epoch-1", changes)
    left: set[int] = set()
    for step in steps:
        if isinstance(step, int):
            ledger.arrived("BTC-USD", step, "backfill")
            left.discard(step)
        else:
            ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, step)
            left.update(range(step[0], step[1] + 1))
        assert open_of(ledger) == sorted(left)
        assert ledger.has_open("BTC-USD") == bool(left)
        assert ledger.open_count() == len(open_gaps(ledger))
        assert sum(body["missing"] for body in ledger.query()) == len(left)
    opened = {gap_id for gap_id, is_open in changes.seen if is_open}  # told again with each trade that comes
    closed = [gap_id for gap_id, is_open in changes.seen if not is_open]
    assert len(closed) == len(set(closed)) == len(opened) - ledger.open_count()


def test_the_missing_ids_of_a_product_are_a_sorted_copy_over_its_gaps(ledger: Ledger) -> None:
    for missing in ((20, 21), (8, 12), (3, 3)):
        ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, missing)
    ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, (5, 5))
    ledger.arrived("BTC-USD", 10, "late")
    ledger.missing_of("BTC-USD").clear()
    assert ledger.missing_of("BTC-USD") == [(3, 3), (8, 9), (11, 12), (20, 21)]
    assert ledger.missing_of("XRP-USD") == []


def test_gaps_of_products_that_are_not_watched_end_unhealed(ledger: Ledger, changes: Changes) -> None:
    (gone,) = ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 12))
    ledger.arrived("BTC-USD", 10, "late")
    (kept,) = ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, (5, 5))
    ledger.keep({"ETH-USD", "ADA-USD"})
    assert changes.seen[-1] == (gone.id, False)
    assert not ledger.has_open("BTC-USD")
    (body,) = ledger.query(is_open=False)
    assert (body["healed"], body["missing"], body["missing_ranges"]) == ("not watched", 4, [[8, 9], [11, 12]])
    assert [body["id"] for body in ledger.query(is_open=True)] == [kept.id]
    assert not ledger.arrived("BTC-USD", 8, "late")


def test_ids_that_are_denied_are_missing_no_more(ledger: Ledger, changes: Changes) -> None:
    for missing in ((90, 91), (101, 15_099), (15_101, 15_110)):
        ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, missing)
    ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, (15_000, 15_001))
    del changes.seen[:]
    ledger.deny("BTC-USD", 104)
    assert ledger.missing_of("BTC-USD") == [(90, 91), (101, 104)]
    assert ledger.missing_of("ETH-USD") == [(15_000, 15_001)]
    assert [(body["first_id"], body["missing_ranges"], body["healed"]) for body in ledger.query("BTC-USD")] == [
        (15_101, [], "denied"), (101, [[101, 104]], None), (90, [[90, 91]], None),
    ]  # fmt: skip
    assert len(changes.seen) == 2
    ledger.deny("BTC-USD", 80)
    assert not ledger.has_open("BTC-USD")
    ledger.deny("BTC-USD", 0)
    assert (ledger.open_count(), len(changes.seen)) == (1, 4)


# -- of a connection -----------------------------------------------------------------------------------


def test_a_connections_gap_has_no_ids_and_ends_once(ledger: Ledger, changes: Changes) -> None:
    gap = ledger.open_connection("conn_001", Cause.DISCONNECT)
    (body,) = ledger.query()
    assert (body["product"], body["connection_id"], body["cause"]) == (None, "conn_001", "disconnect")
    assert (body["first_id"], body["last_id"], body["missing"], body["open"]) == (None, None, 0, True)
    assert (ledger.open_count(), open_gaps(ledger)) == (1, [])  # nothing of it can be fetched
    ledger.close(gap, "reconnected")
    ledger.close(gap, "again")
    (body,) = ledger.query()
    assert (body["healed"], body["open"]) == ("reconnected", False)
    assert changes.seen == [(gap.id, True), (gap.id, False)]


def test_a_length_that_is_known_better(ledger: Ledger) -> None:
    gap = ledger.open_connection(None, Cause.PAUSE)
    ledger.close(gap, "read from the buffers", 12.5)
    (body,) = ledger.query()
    assert (body["connection_id"], body["duration_ms"], body["cause"]) == (None, 12_500, "pause")
    assert gap.opened_at == pytest.approx(time.time() - 12.5, abs=1)
    assert gap.closed_at is not None
    assert gap.closed_at - gap.opened_at == pytest.approx(12.5, abs=0.1)


def test_lengths_do_not_follow_the_wall_clock(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = ledger.open_connection("conn_001", Cause.DISCONNECT)
    wall = time.time()
    monkeypatch.setattr(module.time, "time", lambda: wall - 3_600.0)
    ledger.close(gap, "reconnected")
    assert gap.duration_ms is not None
    assert 0 <= gap.duration_ms < 1_000


# -- questions -----------------------------------------------------------------------------------------


def test_the_newest_come_first_and_the_filters_narrow(ledger: Ledger) -> None:
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (1, 1))
    ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, (1, 1))
    gone = ledger.open_connection("conn_000", Cause.DISCONNECT)
    ledger.open_ids("BTC-USD", None, Cause.HEARTBEAT, (5, 5))
    ledger.arrived("BTC-USD", 1, "late")
    ledger.close(gone, "reconnected")

    def found(**filters: object) -> list[int]:
        return [body["id"] for body in ledger.query(**filters)]  # type: ignore[arg-type]

    assert found() == [4, 3, 2, 1]
    assert found(product="BTC-USD") == [4, 1]
    assert found(is_open=True) == [4, 2]
    assert found(is_open=False) == [3, 1]
    assert found(product="BTC-USD", is_open=True) == [4]
    assert found(product="XRP-USD") == []
    assert found(limit=2) == [4, 3]
    assert found(limit=1, product="ETH-USD") == [2]
    assert found(since=time.time() - 60) == [4, 3, 2, 1]
    assert found(since=time.time() + 60) == [4, 2]  # what is open is not over


def test_bodies_are_copies(ledger: Ledger) -> None:
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (1, 5))
    (body,) = ledger.query()
    ledger.arrived("BTC-USD", 1, "late")
    assert body["missing_ranges"] == [[1, 5]]


# -- bounds --------------------------------------------------------------------------------------------


def test_the_oldest_closed_one_is_forgotten_first(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    for number in range(1, 5):
        ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    ledger.arrived("BTC-USD", 20, "late")
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (50, 50))
    assert [body["first_id"] for body in ledger.query()] == [50, 40, 30, 10]
    assert ledger.forgotten_total == 0
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (60, 60))  # all are open: the oldest goes, and is counted
    assert [body["first_id"] for body in ledger.query()] == [60, 50, 40, 30]
    assert ledger.forgotten_total == 1
    assert open_of(ledger) == [30, 40, 50, 60]
    assert ledger.open_count() == len(open_gaps(ledger)) == 4
    assert not ledger.arrived("BTC-USD", 10, "late")  # of the one that was forgotten


def test_an_open_one_that_is_forgotten_is_told_as_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    told: list[tuple[int, str | None]] = []
    ledger = Ledger("epoch-1", lambda gaps: told.extend((gap.id, gap.healed) for gap in gaps))
    ledger.restore([kept(number, number * 10, number * 10) for number in range(1, 4)])
    ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (50, 50))
    ledger.open_connection("conn_000", Cause.DISCONNECT)
    assert told == [(1, "forgotten"), (4, None), (2, "forgotten"), (5, None), (3, "forgotten")]


def test_a_flood_stays_in_bounds(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 50)
    for number in range(500):
        ledger.open_ids(f"P{number % 7}-USD", None, Cause.SEQUENCE, (number * 2, number * 2))
        ledger.close(ledger.open_connection("conn_000", Cause.DISCONNECT), "reconnected")
    assert len(ledger.query(limit=10**6)) == 50
    assert ledger.totals == {"sequence": 500, "disconnect": 500}
    assert len(open_gaps(ledger)) == ledger.open_count() <= 50


# -- over a restart ------------------------------------------------------------------------------------


def kept(gap_id: int, first: int | None, last: int | None, closed_at: float | None = None) -> Gap:
    missing = [(first, last)] if first is not None and last is not None and closed_at is None else []
    product, connection_id = ("BTC-USD", None) if first is not None else (None, "conn_000")
    return Gap(
        gap_id, "epoch-0", product, connection_id, "sequence" if product else "disconnect", first, last,
        time.time() - 60.0, missing, closed_at=closed_at, healed="late" if closed_at else None,
    )  # fmt: skip


def test_what_was_left_open_stays_open_and_can_heal(ledger: Ledger, changes: Changes) -> None:
    ledger.restore([kept(3, 1, 1, closed_at=time.time()), kept(7, 8, 9)])
    assert [body["id"] for body in ledger.query()] == [7, 3]
    assert open_gaps(ledger) == [7]
    assert changes.seen == []
    assert ledger.open_ids("BTC-USD", None, Cause.RESTART, (9, 10))[0].id == 8  # ids go on, and are noted once
    assert open_of(ledger) == [8, 9, 10]
    for trade_id in (8, 9):
        ledger.arrived("BTC-USD", trade_id, "backfill")
    body = next(body for body in ledger.query() if body["id"] == 7)
    assert (body["epoch"], body["healed"], body["open"]) == ("epoch-0", "backfill", False)
    assert body["duration_ms"] == pytest.approx(60_000, abs=2_000)


def test_a_clock_that_was_set_back_makes_no_negative_length(ledger: Ledger) -> None:
    gap = kept(7, 8, 8)
    gap.opened_at = time.time() + 3_600
    ledger.restore([gap])
    ledger.arrived("BTC-USD", 8, "backfill")
    assert gap.duration_ms == 0


def test_a_connections_gap_ends_with_its_process(ledger: Ledger) -> None:
    ledger.restore([kept(5, None, None)])
    assert ledger.open_count() == 0
    assert ledger.query(is_open=True) == []


def test_more_than_the_bound_can_not_be_restored(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    ledger.restore([kept(number, number * 10, number * 10) for number in range(1, 7)])
    assert [body["id"] for body in ledger.query()] == [6, 5, 4]
    assert open_of(ledger) == [40, 50, 60]


# -- many threads --------------------------------------------------------------------------------------


def test_threads_lose_nothing() -> None:
    changes = Changes()
    ledger = Ledger("epoch-1", changes)
    ids = range(0, 400, 2)

    def note() -> None:
        for trade_id in ids:
            ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (trade_id, trade_id))

    def heal() -> None:
        for trade_id in ids:
            ledger.arrived("BTC-USD", trade_id, "late")
            ledger.query(limit=5)

    for work in (note, heal):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        if work is note:
            assert open_of(ledger) == list(ids)
    assert ledger.open_count() == 0
    assert not ledger.has_open("BTC-USD")
    assert len(changes.seen) == 2 * len(ids)


def test_open_gaps_are_counted_by_product_and_all_by_connection(ledger: Ledger) -> None:
    assert ledger.open_by_product() == {}
    ledger.open_ids("BTC-USD", "conn_000", Cause.SEQUENCE, (5, 9))
    ledger.open_ids("BTC-USD", "conn_000", Cause.SEQUENCE, (20, 21))
    ledger.open_ids("ETH-USD", None, Cause.RESTART, (7, 7))
    ledger.close(ledger.open_connection("conn_001", Cause.DISCONNECT), "reconnected")
    ledger.arrived("BTC-USD", 7, "late")  # in two parts now, and one gap still
    assert ledger.open_by_product() == {"BTC-USD": 2, "ETH-USD": 1}
    ledger.arrived("ETH-USD", 7, "late")
    assert ledger.open_by_product() == {"BTC-USD": 2}
    assert ledger.totals_of_slots == {"conn_000": 2, "conn_001": 1}


def test_incidents_are_counted_without_a_body_of_each(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gap, "body", None)
    now = time.time()
    assert ledger.incidents(now - 60) == Incidents(0, 0, 0, 0, None)
    old = ledger.open_connection("conn_000", Cause.DISCONNECT)
    pause = ledger.open_connection(None, Cause.PAUSE)
    ledger.open_ids("BTC-USD", "conn_000", Cause.SEQUENCE, (8, 9))
    ledger.open_ids("ETH-USD", "conn_000", Cause.SEQUENCE, (8, 8))
    old.opened_at, pause.opened_at = now - 500, now - 400
    assert ledger.incidents(now - 60) == Incidents(1, 1, 2, 2, now - 400)
    ledger.close(pause, "reconnect")
    ledger.arrived("ETH-USD", 8, "rest")
    assert ledger.incidents(now - 60) == Incidents(1, 1, 2, 1, now - 500)
    assert ledger.incidents(now + 60) == Incidents(1, 0, 1, 1, now - 500)  # what is open is of any time
