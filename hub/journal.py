"""The journal: what happened, in words for whoever is woken at night. Bounded; ``hub.store`` keeps it over restarts.

A flood does not flood it: of one kind and connection a few entries a second are kept, the others are counted, and
named by one entry when the second is over. Where it is full, the oldest of the most frequent kind is forgotten: a
day of alerts leaves room for the night's one lost connection.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.payload import iso_time

KINDS = (
    "connected", "lost", "rotated", "rotation_failed", "moved", "move_failed", "resubscribed", "listed", "delisted",
    "left", "status", "path", "pause", "alert", "action",
)  # fmt: skip
TONES = ("ok", "info", "warn", "bad")
MAX_ENTRIES = 5_000
PER_SECOND = 5  # entries of one kind and connection
ALERTS_PER_SECOND = 20  # a market that moves sends one a product
MAX_KEYS = 1_000  # kinds and connections that are watched for floods; past it, all others count as one
MAX_TEXT = 500
TOLD_SECONDS = 1e-6  # times are told to the microsecond: who asks since one of them gets it
MAX_NAMED = 100  # products of those that were left out
MAX_PAYLOAD = 4_096  # characters


class Entry(NamedTuple):
    """One thing that happened; ``at`` in wall-clock seconds; ``payload``: the JSON text that an alert was sent as."""

    id: int
    at: float
    kind: str
    tone: str
    connection_id: str | None
    product: str | None
    text: str
    data: dict[str, Any]
    payload: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the entry as ``GET /journal`` shows it."""
        return {
            "id": self.id,
            "time": iso_time(self.at),
            "kind": self.kind,
            "tone": self.tone,
            "connection_id": self.connection_id,
            "product": self.product,
            "text": self.text,
            "data": self.data,
        }

    def names(self, product_id: str) -> bool:
        """Tell whether it is of a product, alone or among others."""
        return self.product == product_id or product_id in self.data.get("products", ())

    def concerns(self, connection_id: str) -> bool:
        """Tell whether it is of a connection, alone or among others."""
        return self.connection_id == connection_id or connection_id in self.data.get("connections", ())


@dataclass(slots=True)
class _Second:
    """What came of one kind and connection since ``begun_at`` (monotonic)."""

    begun_at: float
    count: int = 0
    left_out: int = 0
    last: Entry | None = None  # of those left out; its id is not given yet
    products: dict[str, None] = field(default_factory=dict)


class Journal:
    """Owner of the entries; thread-safe, and cheap to write to."""

    def __init__(self, next_id: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """``next_id`` must be larger than the ids of the processes before: ``restore`` may come late."""
        self._next_id = next_id
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}  # by id, the oldest first
        self._ids: defaultdict[str, deque[int]] = defaultdict(deque)  # by kind
        self._seconds: dict[tuple[str, str | None], _Second] = {}

    def note(
        self, kind: str, text: str, *, tone: str = "info", connection_id: str | None = None,
        product: str | None = None, payload: str | None = None, **data: Any,
    ) -> None:  # fmt: skip
        """Note that something happened: ``kind`` of ``KINDS``, ``tone`` of ``TONES``, ``data`` what JSON can hold.

        ``products`` and ``connections`` in ``data`` are lists of ids, where it concerns several.
        """
        if payload is not None and len(payload) > MAX_PAYLOAD:
            payload = None
        entry = Entry(0, time.time(), kind, tone, connection_id, product, text[:MAX_TEXT], data, payload)
        now, key = self._clock(), (kind, connection_id)
        with self._lock:
            second = self._seconds.get(key)
            if second is None and len(self._seconds) >= MAX_KEYS:
                key = ("", None)
                second = self._seconds.get(key)
            if second is None:
                second = self._seconds[key] = _Second(now)
            elif now - second.begun_at >= 1.0:
                self._tell_left_out(second)
                second = self._seconds[key] = _Second(now)
            second.count += 1
            if second.count <= (ALERTS_PER_SECOND if kind == "alert" else PER_SECOND):
                self._add(entry)
                return
            second.left_out += 1
            second.last = entry
            for item in (product, *data.get("products", ())):
                if item is not None and len(second.products) < MAX_NAMED:
                    second.products[item] = None

    def tidy(self) -> None:
        """Name what was left out of the seconds that are over. To be called now and then."""
        now = self._clock()
        with self._lock:
            for key, second in list(self._seconds.items()):
                if now - second.begun_at >= 1.0:
                    self._tell_left_out(second)
                    del self._seconds[key]

    def _tell_left_out(self, second: _Second) -> None:
        if (last := second.last) is None:
            return
        count = second.left_out
        text = last.text if count == 1 else f"{last.text} (and {count - 1} more like it)"
        data = {**last.data, "left_out": count - 1} if count > 1 else last.data
        if count > 1 and second.products:
            data["products"] = list(second.products)
        self._add(last._replace(text=text, data=data))

    def _add(self, entry: Entry) -> None:
        self._entries[self._next_id] = entry._replace(id=self._next_id)
        self._ids[entry.kind].append(self._next_id)
        self._next_id += 1
        self._bound()

    def _bound(self) -> None:
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[max(self._ids.values(), key=len).popleft()]

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take in what a process before this one kept. At any time: what was noted meanwhile stays, as the newer."""
        with self._lock:
            old = [entry for entry in entries if entry.id not in self._entries]
            self._entries = {entry.id: entry for entry in sorted([*old, *self._entries.values()])}
            self._ids.clear()
            for entry in self._entries.values():
                self._ids[entry.kind].append(entry.id)
            self._bound()
            self._next_id = max(self._next_id, *(entry.id + 1 for entry in old), 0)

    # -- reading --------------------------------------------------------------------------------------

    @property
    def last_id(self) -> int:
        """The newest entry's id, 0 before there is one."""
        with self._lock:
            return next(reversed(self._entries), 0)

    def after(self, entry_id: int, limit: int = MAX_ENTRIES) -> list[Entry]:
        """Return the entries after that one, the oldest first, at most ``limit``: what is to be written."""
        with self._lock:
            found: list[Entry] = []
            for entry in reversed(self._entries.values()):
                if entry.id <= entry_id:
                    break
                found.append(entry)
        return found[::-1][:limit]

    def query(
        self, after: int | None = None, since: float | None = None, kinds: Collection[str] | None = None,
        connection_id: str | None = None, product: str | None = None, limit: int = 200,
    ) -> list[Entry]:  # fmt: skip
        """Return entries, the newest first: with ids after that, not before ``since`` (wall-clock seconds)."""
        with self._lock:
            entries = list(self._entries.values())
        found: list[Entry] = []
        for entry in reversed(entries):
            if len(found) >= limit or (after is not None and entry.id <= after):
                break
            if since is not None and entry.at < since - TOLD_SECONDS:
                continue
            if kinds is not None and entry.kind not in kinds:
                continue
            if connection_id is not None and not entry.concerns(connection_id):
                continue
            if product is None or entry.names(product):
                found.append(entry)
        return found
