"""What outlives a restart: written behind to a real file, read again; a disk that refuses costs only that."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import store as module
from hub.ledger import Gap, Ledger
from hub.logs import Cooldown
from hub.model import Cause
from hub.store import Store


class Process:
    """One life of the hub: a ledger whose changes a store keeps."""

    def __init__(self, path: Path, epoch: str, next_id: int = 1) -> None:
        self.last_ids: dict[str, int] = {}
        self.gaps: list[Gap] = []
        self.ids_before: dict[str, int] = {}
        self.store = Store(path, lambda: dict(self.last_ids), self._restore)
        self.ledger = Ledger(epoch, self._keep, next_id)
        self.store.step()

    def _restore(self, gaps: list[Gap], last_ids: dict[str, int]) -> None:
        self.gaps, self.ids_before = gaps, last_ids
        self.ledger.restore(gaps)

    def _keep(self, gaps: list[Gap]) -> None:
        for gap in gaps:
            self.store.keep(gap)


@pytest.fixture(autouse=True)
def _no_cooldown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test log the first of its lines, whatever the one before it logged."""
    monkeypatch.setattr(module, "_warn", Cooldown(module.log))


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
    first.store.step()
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (18, 19))
    after_the_kill = Process(path, "epoch-2")  # nobody stopped the first one
    assert [gap.missing for gap in after_the_kill.gaps] == [[(8, 9)]]
    assert after_the_kill.ids_before == {"BTC-USD": 10}
    after_the_kill.store.stop(5)


def test_a_change_that_comes_later_replaces_what_was_written(first: Process, path: Path) -> None:
    (gap,) = first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.store.step()
    assert '"closed_at": null' in rows(path)[0][1]
    first.ledger.arrived("BTC-USD", 8, "late")
    first.store.step()
    ((gap_id, body),) = rows(path)
    assert gap_id == gap.id
    assert '"healed": "late"' in body


def test_ids_are_written_when_they_change(first: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[tuple[str, int]]] = []
    write = first.store._write

    def counting(gaps: list[tuple[object, ...]], ids: list[tuple[str, int]], only: frozenset[str] | None) -> None:
        written.append(ids)
        write(gaps, ids, only)

    monkeypatch.setattr(first.store, "_write", counting)
    first.last_ids.update({"BTC-USD": 1, "ETH-USD": 1})
    first.store.step()
    first.store.step()
    first.last_ids["ETH-USD"] = 2
    first.store.step()
    assert written == [[("BTC-USD", 1), ("ETH-USD", 1)], [("ETH-USD", 2)]]


def test_last_ids_of_products_that_are_not_watched_are_forgotten_once(
    first: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.last_ids.update({"BTC-USD": 1, "ETH-USD": 2, "ADA-USD": 3})
    first.store.step()
    first.store.keep_only({"BTC-USD", "ADA-USD", "NEW-USD"})
    first.last_ids = {"BTC-USD": 5}  # ADA has not ticked yet
    write = first.store._write

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(first.store, "_write", full)
    first.store.step()
    monkeypatch.setattr(first.store, "_write", write)
    first.store.step()
    again = Process(path, "epoch-2")
    assert again.ids_before == {"BTC-USD": 5, "ADA-USD": 3}
    again.store.stop(5)
    monkeypatch.setattr(first.store, "_write", full)
    first.store.step()  # there is nothing to write any more
    assert first.store.failures_total == 1


def test_the_worker_writes_by_itself_and_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)
    process = Process(path, "epoch-1")
    process.store.worker.start()
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


def test_open_gaps_that_no_ledger_could_hold_are_pruned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    monkeypatch.setattr(module, "RESTORED_GAPS", 2)
    process = Process(path, "epoch-1")
    for number in range(1, 8):
        process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    process.ledger.arrived("BTC-USD", 10, "late")
    process.store.stop(5)
    again = Process(path, "epoch-2")
    assert [gap.id for gap in again.gaps] == [5, 6, 7]
    again.store.stop(5)
    assert [gap_id for gap_id, _ in rows(path)] == [1, 5, 6, 7]


def test_a_long_queue_is_written_in_parts_and_the_last_ids_with_the_last(
    first: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_ROWS", 2)
    for number in range(1, 6):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    first.last_ids["BTC-USD"] = 51
    assert first.store.step() == 0.0
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2]
    killed = Process(path, "epoch-2")
    assert killed.ids_before == {}  # of an id that is kept, no gap below it may be lost
    killed.store.stop(5)
    assert first.store.step() == 0.0
    assert first.store.step() == module.WRITE_SECONDS
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2, 3, 4, 5]
    for number in range(6, 11):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    first.store.stop(5)
    assert len(rows(path)) == 10
    again = Process(path, "epoch-3")
    assert again.ids_before == {"BTC-USD": 51}
    again.store.stop(5)


def test_a_file_that_can_not_be_written_costs_one_part_a_step(
    first: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_ROWS", 2)
    ready: list[object] = []

    def full(rows: list[object], *_: object) -> None:
        ready.extend(rows)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(first.store, "_write", full)
    for number in range(1, 6):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    assert first.store.step() == module.WRITE_SECONDS
    assert len(ready) == 2
    assert list(first.store._queue) == [1, 2, 3, 4, 5]


# -- a disk that refuses -------------------------------------------------------------------------------


def lives_on_without(process: Process) -> None:
    """Check that a store without a file costs nothing but the memory, and tries again later and later."""
    assert (process.gaps, process.ids_before) == ([], {})
    assert process.store.failures_total == 1
    process.last_ids["BTC-USD"] = 7
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    assert [process.store.step() for _ in range(7)] == [2, 4, 8, 16, 32, 60, 60]
    assert process.store.failures_total == 8
    assert process.ledger.open_count() == 1


def has_found_its_file(process: Process, path: Path) -> None:
    """Check that what a store kept while it had no file is in the file now."""
    assert process.store.step() == module.WRITE_SECONDS
    assert '"missing": [[8, 9]]' in rows(path)[-1][1]
    process.store.stop(5)
    again = Process(path, "epoch-2")
    assert again.ids_before == {"BTC-USD": 7}
    again.store.stop(5)


def test_a_place_that_can_not_be_written_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "below" / "ledger.sqlite"
    process = Process(path, "epoch-1")
    lives_on_without(process)
    assert caplog.text.count("can't be kept") == 1
    (tmp_path / "file").unlink()
    has_found_its_file(process, path)


def lay_folder(path: Path) -> None:
    path.mkdir()


def lay_link(path: Path) -> None:
    path.with_name("elsewhere").write_text("of somebody else")
    path.symlink_to("elsewhere")


def lay_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("lay", [lay_folder, lay_link, lay_pipe])
def test_what_is_no_regular_file_is_never_opened_and_set_aside(
    path: Path, lay: Callable[[Path], None], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir(mode=0o700)
    lay(path.with_name(path.name + end))
    process = Process(path, "epoch-1")  # a pipe that is opened would hang it
    assert process.store.failures_total == 1
    assert "is no regular file; it is " in caplog.text
    process.last_ids["BTC-USD"] = 7
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    has_found_its_file(process, path)
    assert [item.name for item in path.parent.glob(f"*.corrupt-*[0-9]{end}")]
    if lay is lay_link:
        assert path.with_name("elsewhere").read_text() == "of somebody else"


def made(path: Path, *statements: str) -> None:
    path.parent.mkdir(mode=0o700)
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


GAPS = "create table gaps (id integer primary key, closed_at real, body text not null)"


@pytest.mark.parametrize(
    "statements",
    [
        ("create table users (name text)", "insert into users values ('somebody')"),
        (GAPS, "create table more (id integer)"),
        ("create table gaps (id integer primary key, closed_at real, body text not null, more text)",),
        ("create view gaps as select 1 as id, null as closed_at, '{}' as body",),
        (GAPS, "create trigger t after insert on gaps begin insert into gaps select * from gaps; end"),
        (GAPS, "create index i on gaps (hex(body))"),
        (GAPS, "pragma user_version = 1"),
        ("pragma user_version = 7",),
    ],
)
def test_a_database_that_is_not_the_hubs_is_set_aside_as_it_was(
    path: Path, statements: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    made(path, *statements)
    before = path.read_bytes()
    process = Process(path, "epoch-1")
    process.last_ids["BTC-USD"] = 7
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == before, "nothing was written to it"
    assert aside.name in caplog.text
    assert process.store.failures_total == 1
    has_found_its_file(process, path)


def test_a_file_of_an_older_hub_is_taken_over(path: Path) -> None:
    made(path, GAPS, "create table last_ids (product text primary key, trade_id integer not null)",
         "insert into last_ids values ('BTC-USD', 10)", "analyze")  # fmt: skip
    process = Process(path, "epoch-1")
    assert (process.ids_before, process.store.failures_total) == ({"BTC-USD": 10}, 0)
    process.store.stop(5)


def test_folder_and_files_are_for_this_user_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = os.umask(0)
    try:
        process = Process(path, "epoch-1")
        process.last_ids["BTC-USD"] = 7
        process.store.step()
        modes = {item.name.removeprefix(path.name): item.stat().st_mode & 0o777 for item in path.parent.iterdir()}
        assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert caplog.text == ""
        process.store.stop(5)
        path.chmod(0o644)
        path.parent.chmod(0o755)
        Process(path, "epoch-2").store.stop(5)
        assert path.stat().st_mode & 0o777 == 0o600, "of a file of ours the rights are taken away"
        assert path.parent.stat().st_mode & 0o777 == 0o755, "a folder may be shared: that is told"
        assert f"is open to others (mode 755): chmod 700 {path.parent}" in caplog.text
    finally:
        os.umask(before)


def test_a_row_or_a_file_that_is_too_large_is_not_the_hubs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, GAPS, "insert into gaps values (1, null, printf('%.*c', 1100000, 'x'))")
    process = Process(path, "epoch-1")
    assert process.store.failures_total == 1
    assert process.store.step() == module.WRITE_SECONDS
    process.store.stop(5)
    monkeypatch.setattr("hub.state_file.MAX_FILE_BYTES", 10_000)
    again = Process(path, "epoch-2")
    assert again.store.failures_total == 1
    again.store.step()
    again.store.stop(5)
    assert len(list(path.parent.glob("*.corrupt-*[0-9]"))) == 2


def test_only_so_many_bytes_of_gaps_are_restored_the_newest(
    first: Process, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 101):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    first.store.stop(5)
    size = len(rows(path)[-1][1])
    monkeypatch.setattr(module, "GAPS_BYTES", size * 20)
    again = Process(path, "epoch-2")
    assert [gap.id for gap in again.gaps] == list(range(81, 101))
    assert "the oldest is left out" in caplog.text
    again.store.stop(5)


def test_last_ids_that_are_none_are_passed_over(first: Process, path: Path) -> None:
    first.store.stop(5)
    db = sqlite3.connect(path)
    with db:
        for product, trade_id in (("BTC-USD", 7), ("ETH-USD", "x"), ("ADA-USD", -1), ("A" * 50, 7), (b"B-USD", 7),
                                  ("XRP-USD", 2**60)):  # fmt: skip
            db.execute("insert into last_ids values (?, ?)", (product, trade_id))
    db.close()
    again = Process(path, "epoch-2")
    assert again.ids_before == {"BTC-USD": 7}
    again.store.stop(5)


def test_tries_leave_no_descriptor(path: Path) -> None:
    path.parent.write_text("no folder")
    process = Process(path, "epoch-1")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        process.store.step()
    process.store.stop(5)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_file_that_is_locked_is_restored_as_soon_as_it_can_be(first: Process, path: Path) -> None:
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    first.last_ids["BTC-USD"] = 10
    first.store.stop(5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin exclusive")
    other.execute("update last_ids set trade_id = trade_id")
    second = Process(path, "epoch-2", next_id=1_000)
    assert (second.gaps, second.store.failures_total) == ([], 1)
    second.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (18, 19))
    second.last_ids["BTC-USD"] = 20
    other.close()
    assert second.store.step() == module.WRITE_SECONDS
    assert second.ids_before == {"BTC-USD": 10}
    assert [(body["epoch"], body["first_id"]) for body in second.ledger.query()] == [("epoch-2", 18), ("epoch-1", 8)]
    assert second.ledger.missing_of("BTC-USD") == [(8, 9), (18, 19)]
    assert [gap_id for gap_id, _ in rows(path)] == [1, 1_000]
    second.store.stop(5)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 8_000])
def test_a_file_that_is_no_database_is_renamed_and_a_fresh_one_begun(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    process = Process(path, "epoch-1")
    process.last_ids["BTC-USD"] = 7
    process.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 9))
    (aside,) = path.parent.iterdir()
    assert aside.name.startswith(f"{path.name}.corrupt-")
    assert aside.read_bytes() == content
    (record,) = caplog.records
    assert aside.name in record.getMessage()
    assert process.store.failures_total == 1
    has_found_its_file(process, path)


def test_a_file_that_becomes_corrupt_is_written_anew_whole(first: Process, path: Path) -> None:
    for number in range(1, 400):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10, number * 10))
    first.last_ids["BTC-USD"] = 5_000
    first.store.step()
    assert first.store._db is not None
    first.store._db.execute("pragma wal_checkpoint(truncate)")
    first.store._db.execute("pragma cache_size = 0")
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))
    first.ledger.arrived("BTC-USD", 10, "late")
    assert first.store.step() == 1.0
    assert first.store.failures_total == 1
    assert first.store.step() == module.WRITE_SECONDS
    assert len(list(path.parent.glob("*.corrupt-*[0-9]"))) == 1
    first.store.stop(5)
    again = Process(path, "epoch-2")
    assert len(again.gaps) == 399
    assert again.ids_before == {"BTC-USD": 5_000}
    again.store.stop(5)


def test_only_the_latest_corrupt_files_are_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(6):
        path.write_bytes(b"no database %d " % number * 100)
        process = Process(path, "epoch-1")
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).write_bytes(b"")
        process.store.stop(5)
    left = sorted(path.parent.glob("*.corrupt-*[0-9]"))
    assert [item.read_bytes()[:13] for item in left] == [b"no database %d" % number for number in (3, 4, 5)]
    assert len(list(path.parent.glob("*.corrupt-*"))) <= 3 * len(left)


def test_a_folder_that_was_set_aside_stays(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    for _ in range(5):
        path.unlink(missing_ok=True)
        path.mkdir()
        process = Process(path, "epoch-1")
        assert process.store.step() == module.WRITE_SECONDS
        process.store.stop(5)
    assert len(list(path.parent.glob("*.corrupt-*"))) == 5


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
        first.store.step()
    assert first.store.failures_total == 3
    first.ledger.arrived("BTC-USD", 8, "late")
    monkeypatch.setattr(first.store, "_write", write)
    first.store.step()
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
    first.store.step()
    assert first.store.failures_total == 1
    other.execute("rollback")
    other.close()
    first.store.step()
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
    first.store.step()
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2, 3]
    first.ledger.arrived("BTC-USD", 50, "late")  # there is room again
    first.store.step()
    assert [gap_id for gap_id, _ in rows(path)] == [1, 2, 3, 5]


def test_to_keep_a_gap_never_waits_for_the_disk(first: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    write = first.store._write

    def slow(*arguments: Any) -> None:
        inside.set()
        assert go_on.wait(5)
        write(*arguments)

    monkeypatch.setattr(first.store, "_write", slow)
    first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (8, 8))
    first.store.worker.start()
    assert inside.wait(5)
    begun = time.monotonic()
    for number in range(1_000):
        first.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (number * 10 + 100, number * 10 + 100))
    assert time.monotonic() - begun < 2
    go_on.set()
    first.store.stop(5)
    assert first.store.dropped_total == 0
