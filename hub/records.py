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

from hub import kept_entry
from hub.journal import Entry, Journal
from hub.logs import Cooldown
from hub.rings import STEPS, Point, Rings

MAX_ROWS = 500  # of each table in one write
PRUNE_EVERY = 600  # writes
SCHEMA = """
create table if not exists journal (id integer primary key, body text not null);
create table if not exists firing (body text not null);
create table if not exists points (step integer, time integer, body text not null, primary key (step, time));
"""
Recorded = tuple[list[tuple[str]], list[tuple[int, int, str]], list[tuple[str]]]
"""Rows as they were read: bodies of the journal's entries; (step, time, body) of the history's points; alerts."""
MAX_FIRING = 5_000
log = logging.getLogger(__name__)
_warn = Cooldown(log)


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

    def read(self, db: sqlite3.Connection) -> Recorded:
        """Make the tables if need be; return the rows of both."""
        db.executescript(SCHEMA)
        _prune_points(db)
        db.commit()
        entries = db.execute("select body from journal order by id").fetchall()
        points = db.execute("select step, time, body from points order by time").fetchall()
        return entries, points, db.execute("select body from firing limit ?", (MAX_FIRING,)).fetchall()

    def restore(
        self, entries: list[tuple[str]], points: list[tuple[int, int, str]], firing: list[tuple[str]]
    ) -> None:  # fmt: skip
        """Take in what was read, whenever the file was opened."""
        self._written_firing = [body for (body,) in firing]
        self._restore_firing(self._written_firing)
        found = [entry for (body,) in entries if (entry := _entry(body)) is not None]
        self._written_id = max((entry.id for entry in found), default=0)
        self._writes = 0  # the first of them forgets what the journal has no room for
        self._journal.restore(found)
        for step in reversed(STEPS):  # the coarsest first: the finer points that it lacks are open
            of_step = [_point(at, body) for kind, at, body in points if kind == step]
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
            frozenset(entry.id for entry in self._journal.after(0)) if self._writes % PRUNE_EVERY == 0 else None,
            firing if firing != self._written_firing else None,
        )

    def write(self, db: sqlite3.Connection, rows: Rows) -> None:
        """Write them."""
        with db:
            if rows.remembered is not None:
                # not the oldest: the journal forgets by kind, and a lost connection outlives newer alerts
                ids = db.execute("select id from journal").fetchall()
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
        if rows.firing is not None:
            self._written_firing = rows.firing
        if rows.entries:
            self._written_id = rows.entries[-1][0]
        for item in rows.written:
            item.kept = True


def _prune_points(db: sqlite3.Connection) -> None:
    now = time.time()
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
            stage: Counter({int(bucket): count for bucket, count in histogram.items()})
            for stage, histogram in (found["counts"] or {}).items()
        }
        return Point(at, found["seconds"], found["values"], counts, kept=True)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _warn.warning("history", "a point of the history can't be read: %s", error)
        return None
