"""What outlives a restart: the ledger, the last trade id of each product, and ``hub.records``. Written behind.

It is embedded SQLite. Nobody waits for the disk: changes are queued (bounded; what does not fit is counted) and written
by one worker, through a native thread, because a database call blocks every green one. A file that can't be opened is
tried again, later and later; one that is corrupt, or not the hub's, is renamed aside and begun anew. What is read at
the start is bounded, whatever the file holds.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from hub import green, kept_gap, state_file, state_folder
from hub.ledger import MAX_ENTRIES, Gap
from hub.logs import Cooldown
from hub.records import MAX_ROWS, Recorded, Records
from hub.worker import Worker

WRITE_SECONDS = 1.0
WRITE_ROWS = 2_000  # in one step: to make them ready stops every other green thread for some ms
REOPEN_SECONDS = (1.0, 60.0)  # first and longest wait for the next try to open the file
MAX_QUEUED = 20_000
RESTORED_GAPS = 2_000
KEPT_GAPS = 100_000
GAPS_BYTES = 8_000_000  # that are restored at the most: 12,000 of the usual length have 4 MB
LAST_IDS = 20_000
LATEST = """
select body from gaps where closed_at is null or id in (select id from gaps order by id desc limit ?) order by id desc
"""
LATEST_IDS = """
select product, trade_id from last_ids
    where typeof(product) = 'text' and length(product) <= 41 and typeof(trade_id) = 'integer'
    and trade_id between 0 and 9007199254740991 limit ?
"""
FORGET_IDS = "delete from last_ids where product not in (select value from json_each(?))"
PRUNE = "delete from gaps where closed_at is not null and id <= (select id from gaps order by id desc limit 1 offset ?)"
PRUNE_OPEN = """
delete from gaps where closed_at is null
    and id <= (select id from gaps where closed_at is null order by id desc limit 1 offset ?)
"""
PRUNE_EVERY = 600  # writes
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Found(NamedTuple):
    """What the file held: gaps, the oldest first; product → last trade id; the records."""

    gaps: list[Gap]
    last_ids: dict[str, int]
    recorded: Recorded
    complaints: list[str]


class Store:
    """The file. ``last_ids()`` is called at each write for product → trade id.

    ``restore(gaps, last_ids)`` is called whenever the file was opened, before anything is written: with the latest
    gaps, oldest first, and product → last trade id.
    """

    def __init__(
        self, path: Path, last_ids: Callable[[], Mapping[str, int]],
        restore: Callable[[list[Gap], dict[str, int]], None], records: Records | None = None,
    ) -> None:  # fmt: skip
        self._path = path
        self._last_ids = last_ids
        self._restore = restore
        self._records = records
        self._queue: dict[int, Gap] = {}
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._reopen_seconds = REOPEN_SECONDS[0]
        self._written_ids: dict[str, int] = {}
        self._only: frozenset[str] | None = None  # products; what the file has of others is to be forgotten
        self._writes = 0
        self.worker = Worker("store", self.step)
        self.dropped_total = 0
        self.failures_total = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a file to write to."""
        return self._db is not None

    @property
    def queued(self) -> int:
        """How many gaps wait to be written."""
        return len(self._queue)

    def keep(self, gap: Gap) -> None:
        """Have a gap written soon, as it is then."""
        with self._lock:
            if gap.id in self._queue or len(self._queue) < MAX_QUEUED:
                self._queue[gap.id] = gap
            else:
                self.dropped_total += 1

    def keep_only(self, product_ids: Collection[str]) -> None:
        """Have the last ids of all other products forgotten soon."""
        self._only = frozenset(product_ids)

    def stop(self, timeout_seconds: float) -> None:
        """Write what is queued and close the file. Idempotent."""
        give_up_at = time.monotonic() + timeout_seconds
        if self.worker.stop(timeout_seconds) and self._db is not None:
            while self.step() == 0.0 and time.monotonic() < give_up_at:
                pass  # there is more
            green.call_native(self._close)

    def step(self) -> float:
        """Open the file if it is not open, and write what is queued; return the seconds until the next step."""
        try:
            if self._db is None:
                found: Found = green.call_native(self._guarded, self._open)
                for complaint in found.complaints:
                    _warn.warning(complaint, "%s", complaint)
                self._written_ids.clear()
                self._restore(found.gaps, found.last_ids)
                if self._records is not None:
                    self._records.restore(found.recorded)
            more = self._write_queued() | self._write_records()
            self._reopen_seconds = REOPEN_SECONDS[0]
            return 0.0 if more else WRITE_SECONDS
        except (OSError, sqlite3.Error) as error:
            self._failed(error)
            if self._db is None:
                seconds, self._reopen_seconds = self._reopen_seconds, min(2 * self._reopen_seconds, REOPEN_SECONDS[1])
                return seconds
        return WRITE_SECONDS

    def _write_queued(self) -> bool:
        """Write the oldest changes; tell whether there are more."""
        # ids first, and written with the last of the gaps: one that is kept must never be ahead of the gap that its
        # jump opened
        ids = {product: last for product, last in self._last_ids().items() if self._written_ids.get(product) != last}
        with self._lock:
            gaps = dict(islice(self._queue.items(), WRITE_ROWS))
            for gap_id in gaps:
                del self._queue[gap_id]
            more = bool(self._queue)
        if more:
            ids = {}
        rows = [(gap.id, gap.closed_at, json.dumps(_row(gap))) for gap in gaps.values()]
        only = self._only
        if not rows and not ids and only is None:
            return False
        try:
            green.call_native(self._guarded, self._write, rows, list(ids.items()), only)
        except (OSError, sqlite3.Error):
            with self._lock:  # newer changes win
                self._queue = {**gaps, **self._queue}
                while len(self._queue) > MAX_QUEUED:
                    del self._queue[next(iter(self._queue))]
                    self.dropped_total += 1
            raise
        self._written_ids.update(ids)
        if only is not None:
            self._written_ids = {item: last for item, last in self._written_ids.items() if item in only}
            if self._only is only:
                self._only = None
        return more

    def _write_records(self) -> bool:
        """Write of the journal and the history what is new; tell whether there is more."""
        if self._records is None:
            return False
        rows = self._records.rows()
        if rows.are_new:
            green.call_native(self._guarded, self._records.write, self._db, rows)
            self._records.written(rows)
        return max(len(rows.entries), len(rows.points)) == MAX_ROWS

    def _failed(self, error: Exception) -> None:
        self.failures_total += 1
        kind = type(error).__name__
        _warn.warning(kind, "the ledger can't be kept in %s: %s: %s", self._path, kind, error)

    # -- on a native thread, where nothing may be logged ------------------------------------------------

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``function``; a file that proves to be of no use is renamed aside, so that the next step begins anew."""
        try:
            return function(*arguments)
        except sqlite3.DatabaseError as error:
            if not state_file.is_unusable(error):
                raise
            self._close()
            raise sqlite3.DatabaseError(f"{error}; it is {state_file.set_aside(self._path)} now") from error

    def _open(self) -> Found:
        """Open the file; return what of it is kept in memory."""
        self._db = db = state_file.connect(self._path)
        try:
            self._prune(db)
            db.commit()
            bodies, gaps_cut = state_file.newest(db.execute(LATEST, (RESTORED_GAPS,)), GAPS_BYTES)
            gaps, broken = self._parse(bodies)
            found = Found(
                gaps,
                dict(db.execute(LATEST_IDS, (LAST_IDS,)).fetchall()),
                self._records.read(db) if self._records is not None else Recorded([], [], [], False),
                [text for text in (broken, state_folder.complaint(self._path.parent)) if text is not None],
            )
            if gaps_cut or found.recorded.cut:
                found.complaints.append(f"{self._path} holds more than is read at the start: the oldest is left out")
            state_file.let_all(db)
            return found
        except BaseException as error:
            self._close()
            if isinstance(error, sqlite3.DataError):
                raise state_file.NotOurs(f"a row is longer than the hub writes any: {error}") from error
            raise

    def _parse(self, bodies: list[tuple[Any, ...]]) -> tuple[list[Gap], str | None]:
        """Return the gaps of rows, and what is wrong with the last one that is none, if any."""
        gaps, broken = [], None
        for (body,) in bodies:
            try:
                gaps.append(kept_gap.parse(body))
            except (ValueError, TypeError, RecursionError) as error:
                self.failures_total += 1
                broken = f"a gap in {self._path} can't be read: {type(error).__name__}: {error}"
        return gaps, broken

    @staticmethod
    def _prune(db: sqlite3.Connection) -> None:
        """Delete what is closed and old, and of open gaps what a ledger could not hold."""
        db.execute(PRUNE, (KEPT_GAPS,))
        db.execute(PRUNE_OPEN, (MAX_ENTRIES,))

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _write(
        self, rows: list[tuple[Any, ...]], ids: list[tuple[str, int]], only: frozenset[str] | None = None
    ) -> None:  # fmt: skip
        assert self._db is not None
        self._writes += 1
        with self._db:
            if self._writes % PRUNE_EVERY == 0:
                self._prune(self._db)
            self._db.executemany("insert or replace into gaps values (?, ?, ?)", rows)
            self._db.executemany("insert or replace into last_ids values (?, ?)", ids)
            if only is not None:
                self._db.execute(FORGET_IDS, (json.dumps(sorted(only)),))


def _row(gap: Gap) -> dict[str, Any]:
    return {name: getattr(gap, name) for name in Gap.__slots__ if name != "opened_monotonic"}
