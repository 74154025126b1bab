"""The journal and the history in a real file: they come back, follow the memory, and are pruned."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from hub import records as module
from hub.journal import Journal
from hub.records import Records
from hub.rings import NUMBERS, STEPS, Rings, point
from hub.store import Store


def ago(seconds: int) -> int:
    """Return a whole ten seconds of then."""
    return (int(time.time()) - seconds) // 10 * 10


class Process:
    """One life of the hub: a journal and rings that a store keeps."""

    def __init__(self, path: Path, next_id: int = 1) -> None:
        self.now = 0.0
        self.journal = Journal(next_id, lambda: self.now)
        self.rings = Rings()
        self.store = Store(path, dict, lambda _, __: None, Records(self.journal, self.rings))
        self.store.step()

    def note(self, *texts: str) -> None:
        for text in texts:
            self.now += 2
            self.journal.note("alert", text, product="BTC-USD", payload='{"a":[1]}', event="spike_alert")

    def texts(self) -> list[str]:
        return [entry.text for entry in self.journal.query(limit=10_000)][::-1]

    def fill(self, begin: int, count: int, live: int) -> None:
        for second in range(begin, begin + count):
            numbers = {**dict.fromkeys(NUMBERS, 0), "live": live}
            self.rings.add(point(second, numbers, {"round_trip": Counter({3: 2})}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def rows(path: Path, table: str) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute(f"select count(*) from {table}").fetchone()[0])
    finally:
        db.close()


def test_all_of_it_comes_back(path: Path) -> None:
    begin = ago(90)
    first = Process(path)
    first.note("one", "two")
    first.fill(begin, 45, live=7)
    entries, tables = first.journal.query(), {step: first.rings.table(step) for step in STEPS}
    first.store.stop(5)
    again = Process(path, 1_000)
    assert again.journal.query() == entries
    assert {step: again.rings.table(step) for step in STEPS} == tables
    again.note("three")
    again.fill(begin + 47, 4, live=8)
    assert [entry.id for entry in again.journal.query()] == [1_000, 2, 1]
    times, series = again.rings.table(10)
    assert (times, series["live"]) == (list(range(begin, begin + 41, 10)), [7, 7, 7, 7, 8])
    assert series["round_trip_p50_ms"][4] is not None  # of seconds before the restart, and after it
    again.store.stop(5)


def test_what_fires_comes_back_and_is_written_when_it_changes(path: Path) -> None:
    firing, restored = ["a", "b"], []

    def records() -> Records:
        return Records(Journal(), Rings(), lambda: firing, restored.append)

    store = Store(path, dict, lambda _, __: None, records())
    store.step()
    assert (restored, rows(path, "firing")) == ([[]], 2)
    firing = ["b"]
    store.step()
    assert rows(path, "firing") == 1
    store.stop(5)
    Store(path, dict, lambda _, __: None, records()).step()
    assert restored == [[], ["b"]]


def test_only_what_is_new_is_written_and_a_write_that_failed_costs_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(path)
    records = process.store._records
    assert records is not None
    process.note("one")
    process.fill(ago(20), 2, live=1)
    write = records.write

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(records, "write", full)
    process.store.step()
    assert (process.store.failures_total, rows(path, "journal")) == (1, 0)
    monkeypatch.setattr(records, "write", write)
    process.store.step()
    assert (rows(path, "journal"), rows(path, "points")) == (1, 2)
    monkeypatch.setattr(records, "write", full)
    process.store.step()  # there is nothing more
    assert process.store.failures_total == 1
    process.store.stop(5)


def test_much_of_it_is_written_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    monkeypatch.setattr("hub.store.MAX_ROWS", 2)
    process = Process(path)
    process.note("1", "2", "3", "4", "5")
    assert process.store.step() == 0.0
    assert rows(path, "journal") == 2
    process.store.stop(5)
    assert rows(path, "journal") == 5


def test_old_rows_are_pruned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.MAX_ENTRIES", 5)
    monkeypatch.setattr(module, "PRUNE_EVERY", 2)
    process = Process(path)
    process.fill(ago(5_000), 2, live=1)
    process.fill(ago(20), 2, live=1)
    process.note("1", "2", "3", "4", "5")
    process.store.step()
    assert (rows(path, "journal"), rows(path, "points")) == (5, 6)
    for text in ("6", "7"):
        process.note(text)
        process.store.step()
    assert rows(path, "journal") == 5  # of the seven two were deleted
    process.store.stop(5)
    again = Process(path)
    assert again.texts() == ["3", "4", "5", "6", "7"]
    assert rows(path, "points") == 3  # two seconds, and the five minutes of the day's ring
    again.store.stop(5)


def test_the_file_keeps_what_memory_keeps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.MAX_ENTRIES", 3)
    process = Process(path)
    process.journal.note("lost", "the lost one")
    for text in ("1", "2", "3", "4", "5", "6"):
        process.note(text)
        process.store.step()
    assert process.texts() == ["the lost one", "5", "6"]
    process.store.stop(5)
    for number in range(3):  # lives that are short: the file does not grow with them
        again = Process(path, 100 * (number + 1))
        assert again.texts()[0] == "the lost one"
        again.note(f"of life {number}")
        again.store.stop(5)
    assert rows(path, "journal") <= 4
    again = Process(path, 1_000)
    assert again.texts() == ["the lost one", "of life 1", "of life 2"]
    again.store.stop(5)


def test_a_row_that_can_not_be_read_costs_only_itself(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = Process(path)
    process.note("1", "2")
    process.fill(ago(20), 2, live=1)
    process.store.stop(5)
    db = sqlite3.connect(path)
    with db:
        db.execute("update journal set body = '[1, 2]' where id = 1")
        db.execute("update points set body = '{}' where time = (select min(time) from points)")
    db.close()
    again = Process(path)
    assert again.texts() == ["2"]
    assert len(again.rings.table(1)[0]) == 1
    assert caplog.text.count("can't be read") == 2
    again.store.stop(5)


def test_a_file_that_was_lost_is_written_anew_whole(path: Path) -> None:
    process = Process(path)
    process.note("1", "2")
    process.fill(ago(20), 2, live=1)
    process.store.step()
    path.write_bytes(b"no database" * 1_000)
    assert process.store._db is not None
    process.store._close()
    process.store.step()  # sets it aside
    process.store.step()
    process.store.stop(5)
    assert (rows(path, "journal"), rows(path, "points")) == (2, 2)


def test_only_so_much_is_read_the_newest(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(path)
    process.note(*map(str, range(50)))
    process.store.stop(5)
    db = sqlite3.connect(path)
    with db:
        (size,) = db.execute("select length(body) from journal where id = 50").fetchone()
        for step in (2, 60):
            db.execute("insert into points values (?, ?, '{}')", (step, int(time.time())))
    db.close()
    monkeypatch.setattr(module, "JOURNAL_BYTES", 10 * (size + 2))
    again = Process(path, 1_000)
    assert again.texts() == [str(number) for number in range(40, 50)]
    assert "the oldest is left out" in caplog.text
    again.note("one more")
    again.store.stop(5)
    assert rows(path, "journal") == 11, "what was not read is deleted"
    assert rows(path, "points") == 0, "of steps that nobody has"
    monkeypatch.setattr(module, "READ_ENTRIES", 3)
    last = Process(path, 2_000)
    assert last.texts() == ["48", "49", "one more"]
    last.store.stop(5)


def test_a_flood_between_two_prunings_is_pruned_sooner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.journal.MAX_ENTRIES", 5)
    monkeypatch.setattr(module, "PRUNE_ENTRIES", 10)
    process = Process(path)
    for number in range(60):
        process.note(str(number))
        process.store.step()
    assert rows(path, "journal") <= 5 + 10 + 1
    process.store.stop(5)


POINT = {"seconds": 1, "values": {}, "counts": {}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": "x"}, {"seconds": None}, {"values": []}, {"values": {"clients": "x"}}, {"values": {"clients": [1]}},
        {"counts": {"round_trip": 5}}, {"counts": {"round_trip": {"x": 1}}}, {"counts": {"round_trip": {"1": "x"}}},
    ],
)  # fmt: skip
def test_a_point_of_another_shape_costs_only_itself(path: Path, wrong: dict) -> None:
    Process(path).store.stop(5)
    db, begin = sqlite3.connect(path), ago(40)
    with db:
        for at, body in ((begin, {**POINT, **wrong}), (begin + 1, POINT)):
            db.execute("insert into points values (1, ?, ?)", (at, orjson.dumps(body).decode()))
    db.close()
    again = Process(path)
    assert again.rings.table(1)[0] == [begin + 1]
    again.fill(begin + 20, 15, live=1)  # and coarser points can be made
    again.store.stop(5)


def test_the_steps_that_stay_in_the_file_are_those_of_the_rings() -> None:
    assert module.PRUNE_STEPS.endswith(f"not in {tuple(STEPS)}")
