"""What outlives a restart: written behind to a real file, read again; a disk that refuses costs only that."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import store as module
from hub.ledger import Gap, Ledger
from hub.model import Cause
from hub.store import Store


class Process:
    """One life of the hub: a ledger whose changes a store keeps."""

    def __init__(self, path: Path, epoch: str) -> None:
        self.last_ids: dict[str, int] = {}
        self.store = Store(path, lambda: dict(self.last_ids))
        self.ledger = Ledger(epoch, self._keep)
        self.gaps, self.ids_before = self.store.load()
        self.ledger.restore(self.gaps)

    def _keep(self, gaps: list[Gap]) -> None:
        for gap in gaps:
            self.store.keep(gap)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "below" / "ledger.sqlite"


@pytest.fixture
def first(path: Path) -> Iterator[Process]:
    process = Process(path, "epoch-1")
    yield process
    process.store.stop(5)


def rows(path: Path) -> list[tuple[int, str]]:
    db = sqlite3.connect(path)
    try:
        return db.execute("select id, body from gaps order by id").fetchall()
    finally:
        db.close()


def test_a_new_place_holds_nothing(first: Process, path: Path) -> None:
    assert (first.gaps, first.ids_before) == ([], {})
    assert path.exists()
    assert first.store.failures_total == 0


def test_gaps_and_last_ids_come_back_as_they_were(first: Process, path: Path) -> None:
    first.ledger.open_ids("BTC-USD", "conn_000", Cause.SEQUENCE, (8, 12))
    first.ledger.arrived("BTC-USD", 10, "late")
    first.ledger.open_ids("ETH-USD", None, Cause.HEARTBEAT, (5, 5))
    first.ledger.arrived("ETH-USD", 5, "backfill")
    first.ledger.close(first.ledger.open_connection("conn_001", Cause.DISCONNECT), "reconnected")
    first.last_ids.update({"BTC-USD": 4711, "ETH-USD": 2**53 - 1})
    before = first.ledger.query()
    first.store.stop(5)

    second = Process(path, "epoch-2")
    assert second.ledger.query() == before
    assert second.ids_before == {"BTC-USD": 4711, "ETH-USD": 2**53 - 1}
    (open_gap,) = [gap for gap in second.gaps if gap.closed_at is None]
    assert (open_gap.epoch, open_gap.missing) == ("epoch-1", [(8, 9), (11, 12)])
    for trade_id in (8, 9, 11, 12):
        second.ledger.arrived("BTC-USD", trade_id, "backfill")
    (new,) = second.ledger.open_ids("BTC-USD", None, Cause.RESTART, (20, 21))
    assert new.id > open_gap.id
    second.store.stop(5)

    third = Process(path, "epoch-3")
    left = third.ledger.query(is_open=True)
    assert [(body["epoch"], body["missing_ranges"]) for body in left] == [("epoch-2", [[20, 21]])]
    healed = next(body for body in third.ledger.query(product="BTC-USD") if body["id"] == open_gap.id)
    assert (healed["epoch"], healed["healed"], healed["open"]) == ("epoch-1", "backfill", False)
    third.store.stop(5)


def test_a_kill_loses_only_what_was_not_written_yet(first: Process, path: Path) -> None:
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    first.last_ids["BTC-USD"] = 10
    first.store._step()
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (18, 19))
    after_the_kill = Process(path, "epoch-2")  # nobody stopped the first one
    assert [gap.missing for gap in after_the_kill.gaps] == [[(8, 9)]]
    assert after_the_kill.ids_before == {"BTC-USD": 10}
    after_the_kill.store.stop(5)


def test_a_change_that_comes_later_replaces_what_was_written(first: Process, path: Path) -> None:
    (gap,) = first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.store._step()
    assert '"closed_at": null' in rows(path)[0][1]
    first.ledger.arrived("BTC-USD", 8, "late")
    first.store._step()
    ((gap_id, body),) = rows(path)
    assert gap_id == gap.id
    assert '"healed": "late"' in body


def test_ids_are_written_when_they_change(first: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[tuple[str, int]]] = []
    write = first.store._write

    def counting(gaps: list[tuple[object, ...]], ids: list[tuple[str, int]]) -> None:
        written.append(ids)
        write(gaps, ids)

    monkeypatch.setattr(first.store, "_write", counting)
    first.last_ids.update({"BTC-USD": 1, "ETH-USD": 1})
    first.store._step()
    first.store._step()
    first.last_ids["ETH-USD"] = 2
    first.store._step()
    assert written == [[("BTC-USD", 1), ("ETH-USD", 1)], [("ETH-USD", 2)]]


def test_the_worker_writes_by_itself_and_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    process = Process(path, "epoch-1")
    process.store.start()
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    give_up_at = time.monotonic() + 5
    while not rows(path) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert len(rows(path)) == 1
    process.store.stop(5)
    process.store.stop(5)
    assert "store" not in {thread.name for thread in threading.enumerate()}


def test_a_stop_leaves_no_descriptor(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        process = Process(path, "epoch-1")
        process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
        process.store.stop(5)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_only_the_latest_gaps_come_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTORED_GAPS", 3)
    monkeypatch.setattr(module, "KEPT_GAPS", 5)
    process = Process(path, "epoch-1")
    for number in range(1, 11):
        process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
        if number != 2:
            process.ledger.arrived("BTC-USD", number * 10, "late")
    process.store.stop(5)
    again = Process(path, "epoch-2")
    assert [gap.id for gap in again.gaps] == [2, 8, 9, 10]  # what is open comes back however old it is
    again.store.stop(5)
    assert [gap_id for gap_id, _ in rows(path)] == [2, 6, 7, 8, 9, 10]


# -- a disk that refuses -------------------------------------------------------------------------------


def lives_on_without(process: Process) -> None:
    """Check that a store without a file costs nothing but the memory."""
    assert (process.gaps, process.ids_before) == ([], {})
    assert process.store.failures_total == 1
    process.last_ids["BTC-USD"] = 7
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    process.store._step()
    process.store.start()
    process.store.stop(5)
    assert process.ledger.open_count() == 1


def test_a_place_that_can_not_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    lives_on_without(Process(tmp_path / "file" / "below" / "ledger.sqlite", "epoch-1"))
    assert "can't be kept" in caplog.text


def test_a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir(parents=True)
    lives_on_without(Process(path, "epoch-1"))


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 8_000])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    lives_on_without(Process(path, "epoch-1"))


@pytest.mark.parametrize("body", ["{", "[]", '"x"', "{}", '{"id": 1, "unknown": 2}', "null"])
def test_a_row_that_can_not_be_read_costs_itself_alone(first: Process, path: Path, body: str) -> None:
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    first.ledger.open_ids("ETH-USD", None, Cause.SEQUENCE, (8, 9))
    first.last_ids["BTC-USD"] = 10
    first.store.stop(5)
    db = sqlite3.connect(path)
    with db:
        db.execute("update gaps set body = ? where id = 1", (body,))
    db.close()
    again = Process(path, "epoch-2")
    assert [gap.product for gap in again.gaps] == ["ETH-USD"]
    assert again.ids_before == {"BTC-USD": 10}
    assert again.ledger.open_ids("ADA-USD", None, Cause.SEQUENCE, (1, 1))[0].id == 3
    again.store.stop(5)


def test_a_write_that_fails_is_tried_again_with_what_is_newer(
    first: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = first.store._write

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    (gap,) = first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.last_ids["BTC-USD"] = 9
    monkeypatch.setattr(first.store, "_write", full)
    for _ in range(3):
        first.store._step()
    assert first.store.failures_total == 3
    first.ledger.arrived("BTC-USD", 8, "late")
    monkeypatch.setattr(first.store, "_write", write)
    first.store._step()
    ((gap_id, body),) = rows(path)
    assert gap_id == gap.id
    assert '"healed": "late"' in body
    assert Process(path, "epoch-2").ids_before == {"BTC-USD": 9}


def test_a_database_that_is_locked_is_waited_for_only_so_long(first: Process, path: Path) -> None:
    assert first.store._db is not None
    first.store._db.execute("pragma busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin exclusive")
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.store._step()
    assert first.store.failures_total == 1
    other.execute("rollback")
    other.close()
    first.store._step()
    assert len(rows(path)) == 1


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted(
    first: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 3)
    for number in range(1, 6):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    assert first.store.dropped_total == 2
    first.ledger.arrived("BTC-USD", 10, "late")  # one that is queued: its change fits
    assert first.store.dropped_total == 2
    first.store._step()
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2, 3]
    first.ledger.arrived("BTC-USD", 50, "late")  # there is room again
    first.store._step()
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2, 3, 5]


def test_to_keep_a_gap_never_waits_for_the_disk(first: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    write = first.store._write

    def slow(gaps: list[tuple[object, ...]], ids: list[tuple[str, int]]) -> None:
        inside.set()
        assert go_on.wait(5)
        write(gaps, ids)

    monkeypatch.setattr(first.store, "_write", slow)
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.store.start()
    assert inside.wait(5)
    begun = time.monotonic()
    for number in range(1_000):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10 + 100, number * 10 + 100))
    assert time.monotonic() - begun < 2
    go_on.set()
    first.store.stop(5)
    assert first.store.dropped_total == 0
