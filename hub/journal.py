"""The journal: what happened, in words for whoever is woken at night. Bounded; ``hub.store`` keeps it over restarts.

A flood does not flood it: of one kind and connection a few entries a second are kept, the others are counted, and
named by one entry when the second is over. Where it is full, the oldest of the most frequent group is forgotten: a
day of alerts leaves room for the night's one lost connection. A group is a kind; alerts are three, by who says so. What
clients can cause at will has never more than a part (``SHARES``).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.detect.relayed import RELAYED
from hub.payload import iso_time

KINDS = (
    "connected", "lost", "rotated", "rotation_failed", "moved", "move_failed", "resubscribed", "listed", "delisted",
    "left", "status", "path", "pause", "alert", "action", "priority",
)  # fmt: skip
TONES = ("ok", "info", "warn", "bad")
OPERATIONAL, SIGNAL, OF_CLIENTS = ALERTS = ("hub_alert", "signal", "relayed")  # groups of alerts
ALERT_EVENTS = ("hub_alert", "volume_alert", "price_alert", *RELAYED)
SHARES = {OF_CLIENTS: 1_000, "priority": 500}  # group → entries at most
MAX_ENTRIES = 5_000
PER_SECOND = 5  # entries of one kind and connection
ALERTS_PER_SECOND = 20  # of each event: a market that moves sends one a product
MAX_KEYS = 1_000  # kinds and connections that are watched for floods; past it, all others count as one
MAX_TEXT = 500
TOLD_SECONDS = 1e-6  # times are told to the microsecond: who asks since one of them gets it
MAX_NAMED = 100  # products of those that were left out
NAMED = 3  # of them in words
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

    @property
    def group(self) -> str:
        """What it shares its room with."""
        return _group(self.kind, self.data)

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
    several: bool = False  # products are their subjects
    products: dict[str, None] = field(default_factory=dict)


class Journal:
    """Owner of the entries; thread-safe, and cheap to write to."""

    def __init__(self, next_id: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """``next_id`` must be larger than the ids of the processes before: ``restore`` may come late."""
        self._next_id = next_id
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}  # by id, the oldest first
        self._ids: defaultdict[str, deque[int]] = defaultdict(deque)  # by group, the oldest first
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
        is_alert = kind == "alert"
        now, key = self._clock(), (str(data.get("event", kind)) if is_alert else kind, connection_id)
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
            if second.count <= (ALERTS_PER_SECOND if is_alert else PER_SECOND):
                self._add(entry)
                return
            second.left_out += 1
            second.several = second.several or (second.last is not None and second.last.product != product)
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
        if count == 1:
            self._add(last)
            return
        data = {**last.data, "left_out": count - 1}
        if second.products:
            data["products"] = list(second.products)
        if last.kind == "alert" and second.several:  # what was sent as one of them is true of no other
            text = f"{count} more {last.data.get('event', 'alert')}s in one second: {_named(second.products)}"
            last = last._replace(product=None, payload=None)
        else:
            text = f"{last.text} (and {count - 1} more like it)"
        self._add(last._replace(text=text[:MAX_TEXT], data=data))

    def _add(self, entry: Entry) -> None:
        self._entries[self._next_id] = entry._replace(id=self._next_id)
        self._ids[entry.group].append(self._next_id)
        self._next_id += 1
        self._bound()

    def _bound(self) -> None:
        for group, most in SHARES.items():
            while len(self._ids[group]) > most:
                del self._entries[self._ids[group].popleft()]
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[max(self._ids.values(), key=len).popleft()]

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take in what a process before this one kept. At any time: what was noted meanwhile stays, as the newer."""
        with self._lock:
            old = [entry for entry in entries if entry.id not in self._entries]
            self._entries = {entry.id: entry for entry in sorted([*old, *self._entries.values()], key=_id_of)}
            self._ids.clear()
            for entry in self._entries.values():
                self._ids[entry.group].append(entry.id)
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

    def alerts(
        self, since: float | None = None, product: str | None = None, event: str | None = None, limit: int = 200
    ) -> list[Entry]:  # fmt: skip
        """Return alerts, the newest first: each group of ``ALERTS`` has a third of the room, where it has so many."""
        with self._lock:
            by_group = [
                [self._entries[entry_id] for entry_id in self._newest(group, since, product, event, limit)]
                for group in ALERTS
            ]  # fmt: skip
        least = limit // len(ALERTS)
        kept = [entry for found in by_group for entry in found[:least]]
        others = sorted((entry for found in by_group for entry in found[least:]), key=_id_of, reverse=True)
        return sorted([*kept, *others[: limit - len(kept)]], key=_id_of, reverse=True)

    def _newest(
        self, group: str, since: float | None, product: str | None, event: str | None, limit: int
    ) -> Iterator[int]:  # fmt: skip
        found = 0
        for entry_id in reversed(self._ids[group]):
            entry = self._entries[entry_id]
            if found >= limit:
                return
            if since is not None and entry.at < since - TOLD_SECONDS:
                continue
            if (product is None or entry.names(product)) and event in (None, entry.data.get("event")):
                found += 1
                yield entry_id


def _group(kind: str, data: dict[str, Any]) -> str:
    if kind != "alert":
        return kind
    event = data.get("event")
    return OPERATIONAL if event == OPERATIONAL else OF_CLIENTS if event in RELAYED else SIGNAL


def _id_of(entry: Entry) -> int:
    return entry.id


def _named(products: Collection[str]) -> str:
    if not products:
        return "they name no product"
    more = f" and {len(products) - NAMED} more" if len(products) > NAMED else ""
    several = "" if len(products) < MAX_NAMED else " at least"
    return f"of {len(products)} products{several}: {', '.join(list(products)[:NAMED])}{more}"
