"""The tables of the journal, the history and the alerts that fire in the store's file.

What is in memory is the truth; the file follows it. Nothing is queued: what the file does not have yet is looked up at
each write, so that one that failed costs nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from hub import kept_entry, state_file
from hub.fanout.latency import Stage
from hub.journal import MAX_ENTRIES, Entry, Journal
from hub.logs import Cooldown
from hub.rings import SERIES, STEPS, Point, Rings

MAX_ROWS = 500  # of each table in one write
PRUNE_EVERY = 600  # writes
PRUNE_ENTRIES = MAX_ENTRIES  # written: what the journal may have forgotten of them must not pile up in the file
READ_ENTRIES = MAX_ENTRIES + PRUNE_ENTRIES + MAX_ROWS  # so that all that the journal would keep is among them
JOURNAL_BYTES = 8_000_000  # as many entries of the usual length have 6 MB
MAX_ID = 2**63 - 1
POINTS_BYTES = 4_000_000  # of each step
MAX_FIRING = 5_000
FIRING_BYTES = 2_000_000
ENTRIES = "select body from journal order by id desc limit ?"
POINTS = "select step, time, body from points where step = ? order by time desc limit ?"
FIRING = "select body from firing order by rowid desc limit ?"
PRUNE_STEPS = "delete from points where step not in (1, 10, 300)"  # those of STEPS
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Recorded(NamedTuple):
    """Rows as they were read: bodies of the journal's entries; (step, time, body) of the history's points; alerts.

    ``cut``: there were more than are read.
    """

    entries: list[tuple[Any, ...]]
    points: list[tuple[Any, ...]]
    firing: list[tuple[Any, ...]]
    cut: bool


class Rows(NamedTuple):
    """What one write brings: the journal's and the history's rows, and the points that they are of.

    ``remembered``: the ids of the journal, now and then; the file is to forget all others.
    """

    entries: list[tuple[int, str]]
    points: list[tuple[int, int, str]]
    written: list[Point]
    remembered: frozenset[int] | None
    firing: list[str] | None  # where the file has others

    @property
    def are_new(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.entries or self.points) or self.firing is not None


class Records:
    """Owner of which entries were written. ``read`` and ``write`` run on a native thread, where nothing is logged."""

    def __init__(
        self, journal: Journal, rings: Rings, firing: Callable[[], list[str]] = list,
        restore_firing: Callable[[list[str]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """``firing()`` returns a row for each alert that fires; ``restore_firing`` is told those that were kept."""
        self._journal = journal
        self._rings = rings
        self._firing = firing
        self._restore_firing = restore_firing
        self._written_firing: list[str] = []
        self._written_id = 0
        self._writes = 0
        self._not_pruned = 0  # entries that were written since the file was to forget any

    def read(self, db: sqlite3.Connection) -> Recorded:
        """Return the rows of both, the oldest first: the newest, and not more than the memory has room for."""
        _prune_points(db)
        db.commit()
        entries, cut = state_file.newest(db.execute(ENTRIES, (READ_ENTRIES,)), JOURNAL_BYTES)
        points = []
        for step, size in STEPS.items():
            of_step, cut_points = state_file.newest(db.execute(POINTS, (step, size)), POINTS_BYTES)
            points += of_step
            cut |= cut_points
        firing, cut_firing = state_file.newest(db.execute(FIRING, (MAX_FIRING,)), FIRING_BYTES)
        return Recorded(entries, points, firing, cut or cut_firing)

    def restore(self, recorded: Recorded) -> None:
        """Take in what was read, whenever the file was opened."""
        self._written_firing = [body for (body,) in recorded.firing]
        self._restore_firing(self._written_firing)
        found = [entry for (body,) in recorded.entries if (entry := _entry(body)) is not None]
        self._written_id = max((entry.id for entry in found), default=0)
        self._writes = 0  # the first of them forgets what the journal has no room for
        self._journal.restore(found)
        for step in reversed(STEPS):  # the coarsest first: the finer points that it lacks are open
            of_step = [_point(at, body) for kind, at, body in recorded.points if kind == step]
            self._rings.restore(step, [item for item in of_step if item is not None], time.time())

    def rows(self) -> Rows:
        """Return what the file does not have, the oldest first, and not more than one write may bring."""
        entries = self._journal.after(self._written_id, MAX_ROWS)
        points = self._rings.not_kept()[:MAX_ROWS]
        firing = self._firing()
        return Rows(
            [(entry.id, orjson.dumps(entry, default=_plain).decode()) for entry in entries],
            [(step, item.time, _body(item)) for step, item in points],
            [item for _, item in points],
            frozenset(entry.id for entry in self._journal.after(0)) if self._prunes() else None,
            firing if firing != self._written_firing else None,
        )

    def write(self, db: sqlite3.Connection, rows: Rows) -> None:
        """Write them."""
        with db:
            if rows.remembered is not None:
                # not only the oldest: the journal forgets by kind, and a lost connection outlives newer alerts
                db.execute("delete from journal where id < ?", (min(rows.remembered, default=MAX_ID),))
                ids = db.execute("select id from journal limit ?", (2 * READ_ENTRIES,)).fetchall()
                gone = [row for row in ids if row[0] not in rows.remembered]
                db.executemany("delete from journal where id = ?", gone)
                _prune_points(db)
            db.executemany("insert or replace into journal values (?, ?)", rows.entries)
            db.executemany("insert or replace into points values (?, ?, ?)", rows.points)
            if rows.firing is not None:
                db.execute("delete from firing")
                db.executemany("insert into firing values (?)", [(body,) for body in rows.firing])

    def written(self, rows: Rows) -> None:
        """Note that they were written."""
        self._writes += 1
        self._not_pruned = len(rows.entries) + (self._not_pruned if rows.remembered is None else 0)
        if rows.firing is not None:
            self._written_firing = rows.firing
        if rows.entries:
            self._written_id = rows.entries[-1][0]
        for item in rows.written:
            item.kept = True


    def _prunes(self) -> bool:
        return self._writes % PRUNE_EVERY == 0 or self._not_pruned >= PRUNE_ENTRIES


def _prune_points(db: sqlite3.Connection) -> None:
    now = time.time()
    db.execute(PRUNE_STEPS)
    for step, size in STEPS.items():  # one of a clock that was fast goes, too
        db.execute("delete from points where step = ? and not time between ? and ?", (step, now - step * size, now))


def _plain(value: object) -> Any:
    return list(value) if isinstance(value, tuple) else str(value)


def _entry(body: str) -> Entry | None:
    try:
        return kept_entry.parse(body)
    except (ValueError, TypeError) as error:
        _warn.warning("journal", "an entry of the journal can't be read: %s", error)
        return None


def _body(item: Point) -> str:
    kept = {"seconds": item.seconds, "values": item.values, "counts": item.counts}
    return orjson.dumps(kept, option=orjson.OPT_NON_STR_KEYS).decode()


def _point(at: int, body: str) -> Point | None:
    try:
        found = orjson.loads(body)
        counts = {
            stage.value: Counter({int(bucket): int(count) for bucket, count in found["counts"][stage].items()})
            for stage in Stage
            if stage in (found["counts"] or {})
        }
        values = {name: found["values"].get(name) for name in SERIES}
        if not all(value is None or type(value) in (int, float) for value in values.values()):
            raise TypeError("a value is no number")
        return Point(int(at), max(1, int(found["seconds"])), values, counts, kept=True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        _warn.warning("history", "a point of the history can't be read: %s", error)
        return None
