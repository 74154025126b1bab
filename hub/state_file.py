"""A file of SQLite that is opened only if the hub wrote it, and is set aside otherwise. Runs on a native thread.

Whatever lies in its place may be anything: a link, a pipe, another program's database, triggers, one row of 400 MB.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hub import state_folder

SCHEMA = """
create table if not exists gaps (id integer primary key, closed_at real, body text not null);
create table if not exists last_ids (product text primary key, trade_id integer not null);
create table if not exists journal (id integer primary key, body text not null);
create table if not exists firing (body text not null);
create table if not exists points (step integer, time integer, body text not null, primary key (step, time));
"""
VERSION = 0  # of the tables: one that is higher is of a newer hub
ENDS = ("", "-wal", "-shm", "-journal")  # of the names of the files that are one database
MAX_FILE_BYTES = 268_435_456  # all of them together: a year's own file has some 60 MB
MAX_VALUE_BYTES = 1_000_000  # of a row that is read at the start
KEPT_ASIDE = 3
UNUSABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
STATISTICS = "sqlite_stat"  # tables of "analyze", which somebody may have run


class NotOurs(sqlite3.DatabaseError):
    """What is in the file's place is not what the hub wrote."""


def is_unusable(error: sqlite3.DatabaseError) -> bool:
    """Tell whether a file can't be used, now or ever: it is corrupt, or not ours."""
    code = getattr(error, "sqlite_errorcode", 0)
    # a journal beside it that could only be rolled back by writing: nobody would ever do that
    return isinstance(error, NotOurs) or code & 0xFF in UNUSABLE or code == sqlite3.SQLITE_READONLY_ROLLBACK


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or begin one, with the tables of ``SCHEMA``. Raises ``NotOurs`` before anything is written.

    A value of over ``MAX_VALUE_BYTES`` raises ``DataError`` until ``let_all`` is called: the hub wrote none.
    """
    state_folder.make(path.parent)
    _look_at(path)
    state_folder.own(path)
    _examine(path)
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        _careful(db)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.executescript(SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def let_all(db: sqlite3.Connection) -> None:
    """Let values be as long as SQLite takes them: what is written now is the hub's own."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000_000)


def newest(rows: Iterable[tuple[Any, ...]], most_bytes: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Of rows that come the newest first, each with a text at its end, return those whose texts fit, the oldest first.

    And whether some were left out. They are read one by one, so that no more than these is ever in memory.
    """
    found: list[tuple[Any, ...]] = []
    for row in rows:
        most_bytes -= len(row[-1]) if isinstance(row[-1], (str, bytes)) else 0
        if most_bytes < 0:
            return found[::-1], True
        found.append(row)
    return found[::-1], False


def set_aside(path: Path) -> Path:
    """Rename what is in the file's place, and forget what was set aside long ago; return the new name."""
    aside = Path(f"{path}.corrupt-{time.time_ns()}")
    for end in ENDS:
        if os.path.lexists(f"{path}{end}"):
            os.replace(f"{path}{end}", f"{aside}{end}")
    for old in sorted(path.parent.glob(f"{path.name}.corrupt-*[0-9]"))[:-KEPT_ASIDE]:
        for end in ENDS:
            gone = Path(f"{old}{end}")
            if not gone.is_dir() or gone.is_symlink():  # a folder is somebody's: it stays
                gone.unlink(missing_ok=True)
    return aside


def _look_at(path: Path) -> None:
    size = 0
    for end in ENDS:
        file = Path(f"{path}{end}")
        regular = state_folder.is_regular(file)
        if regular is False:
            raise NotOurs(f"{file.name} is no regular file")
        size += file.lstat().st_size if regular else 0
    if size > MAX_FILE_BYTES:
        raise NotOurs(f"it has {size} bytes, and the hub never writes over {MAX_FILE_BYTES}")


def _careful(db: sqlite3.Connection) -> None:
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    db.execute("pragma trusted_schema = off")
    db.text_factory = lambda raw: raw.decode(errors="replace")  # a row that is no UTF-8 costs itself alone


def _examine(path: Path) -> None:
    """Raise ``NotOurs`` for tables that are not the hub's; nothing is written."""
    with closing(sqlite3.connect(":memory:")) as own:
        own.executescript(SCHEMA)
        expected = set(own.execute("select type, name, tbl_name, sql from sqlite_master"))
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", timeout=1.0, uri=True)) as db:
        _careful(db)
        try:
            (version,) = db.execute("pragma user_version").fetchone()
            for row in db.execute("select type, name, tbl_name, sql from sqlite_master"):
                if row not in expected and not str(row[1]).startswith(STATISTICS):
                    raise NotOurs(f"it has a {str(row[0])[:20]} that the hub did not make: {str(row[1])[:60]!r}")
        except sqlite3.DataError as error:
            raise NotOurs(f"its tables are not the hub's: {error}") from error
    if version != VERSION:
        raise NotOurs(f"its version is {version}, and this hub's is {VERSION}")
