"""What outlives a restart: the ledger, and the last trade id of each product. Embedded SQLite, written behind.

Nobody waits for the disk: changes are queued (bounded; what does not fit is counted) and written by one worker, through
a native thread, because a database call blocks every green one. A disk that refuses costs the memory of a restart.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hub import green
from hub.ledger import Gap
from hub.logs import Cooldown
from hub.worker import Worker

WRITE_SECONDS = 1.0
MAX_QUEUED = 20_000
RESTORED_GAPS = 2_000
KEPT_GAPS = 100_000
SCHEMA = """
create table if not exists gaps (id integer primary key, closed_at real, body text not null);
create table if not exists last_ids (product text primary key, trade_id integer not null);
"""
PRUNE = "delete from gaps where closed_at is not null and id <= (select max(id) from gaps) - ?"
PRUNE_EVERY = 600  # writes
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Store:
    """The file. ``last_ids`` is called at each write for product → trade id."""

    def __init__(self, path: Path, last_ids: Callable[[], Mapping[str, int]]) -> None:
        self._path = path
        self._last_ids = last_ids
        self._queue: dict[int, Gap] = {}
        self._lock = threading.Lock()
        self._worker = Worker("store", self._step)
        self._db: sqlite3.Connection | None = None
        self._written_ids: dict[str, int] = {}
        self._writes = 0
        self.dropped_total = 0
        self.failures_total = 0

    def load(self) -> tuple[list[Gap], dict[str, int]]:
        """Open the file; return (the latest gaps, oldest first; product → last trade id). Empty where it can't be."""
        try:
            return green.call_native(self._load)
        except (OSError, sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._failed(error)
            return [], {}

    def start(self) -> None:
        """Start writing behind."""
        self._worker.start()

    def keep(self, gap: Gap) -> None:
        """Have a gap written soon, as it is then."""
        with self._lock:
            if gap.id in self._queue or len(self._queue) < MAX_QUEUED:
                self._queue[gap.id] = gap
            else:
                self.dropped_total += 1

    def stop(self, timeout_seconds: float) -> None:
        """Write what is queued and close the file. Idempotent."""
        if self._worker.stop(timeout_seconds) and self._db is not None:
            self._step()
            green.call_native(self._db.close)
            self._db = None

    def _step(self) -> float:
        if self._db is None:
            return WRITE_SECONDS
        # ids first: one that is kept must never be ahead of the gap that its jump opened
        ids = {product: last for product, last in self._last_ids().items() if self._written_ids.get(product) != last}
        with self._lock:
            gaps, self._queue = self._queue, {}
        rows = [(gap.id, gap.closed_at, json.dumps(_row(gap))) for gap in gaps.values()]
        if rows or ids:
            try:
                green.call_native(self._write, rows, list(ids.items()))
                self._written_ids.update(ids)
            except (OSError, sqlite3.Error) as error:
                self._failed(error)
                with self._lock:  # newer changes win
                    self._queue = {**gaps, **self._queue}
                    while len(self._queue) > MAX_QUEUED:
                        del self._queue[next(iter(self._queue))]
                        self.dropped_total += 1
        return WRITE_SECONDS

    def _failed(self, error: Exception) -> None:
        self.failures_total += 1
        _warn.warning("store", "the ledger can't be kept in %s: %s: %s", self._path, type(error).__name__, error)

    # -- on a native thread ---------------------------------------------------------------------------

    def _load(self) -> tuple[list[Gap], dict[str, int]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.executescript(SCHEMA)
        latest = "select id from gaps order by id desc limit ?"
        rows = db.execute(
            f"select body from gaps where closed_at is null or id in ({latest}) order by id desc", (RESTORED_GAPS,)
        ).fetchall()
        last_ids = dict(db.execute("select product, trade_id from last_ids").fetchall())
        db.execute(PRUNE, (KEPT_GAPS,))
        db.commit()
        self._db = db
        gaps = []
        for (body,) in reversed(rows):
            try:
                gap = Gap(**json.loads(body))
                gap.missing = [(first, last) for first, last in gap.missing]
            except (ValueError, TypeError) as error:
                self._failed(error)
                continue
            gaps.append(gap)
        return gaps, last_ids

    def _write(self, rows: list[tuple[Any, ...]], ids: list[tuple[str, int]]) -> None:
        assert self._db is not None
        self._writes += 1
        with self._db:
            if self._writes % PRUNE_EVERY == 0:
                self._db.execute(PRUNE, (KEPT_GAPS,))
            self._db.executemany("insert or replace into gaps values (?, ?, ?)", rows)
            self._db.executemany("insert or replace into last_ids values (?, ?)", ids)


def _row(gap: Gap) -> dict[str, Any]:
    return {name: getattr(gap, name) for name in Gap.__slots__ if name != "opened_monotonic"}
