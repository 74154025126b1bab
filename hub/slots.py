"""What is known of each connection slot: the bodies of ``GET /connections`` and ``GET /connections/conn_000``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hub.model import ConnectionStatus
from hub.payload import iso_time

if TYPE_CHECKING:
    from hub.feed.connection import Connection
    from hub.feed.pool import ConnectionPool
    from hub.hub import PriceHub

EVENTS, FRAMES = 50, 10


def body(hub: PriceHub) -> dict[str, Any]:
    """Return the body of ``GET /connections``."""
    entries = [_entry(hub, path, pool, slot) for path, pool in hub.paths.pools().items() for slot in pool.slots()]
    return {
        "total_connections": len(entries),
        "connected": sum(entry["status"] is ConnectionStatus.CONNECTED for entry in entries),
        "connections": entries,
        "simulated": hub.simulated,
    }


def detail(hub: PriceHub, connection_id: str) -> dict[str, Any]:
    """Return the body of ``GET /connections/conn_000``. Raises ``KeyError`` for a slot that is not there."""
    for path, pool in hub.paths.pools().items():
        for slot in pool.slots():
            if slot.id == connection_id:
                return {
                    **_entry(hub, path, pool, slot),
                    "products": _products(hub, pool, slot),
                    "events": _events(hub, connection_id),
                    "last_frames": [
                        {"time": iso_time(at), "frame": frame.decode(errors="replace")}
                        for at, frame in slot.recent.latest(FRAMES)
                    ],
                    "simulated": hub.simulated,
                }
    raise KeyError(connection_id)


def _entry(hub: PriceHub, path: str, pool: ConnectionPool, slot: Connection) -> dict[str, Any]:
    seen, now = slot.snapshot(), time.monotonic()
    age, limit = slot.age_seconds(now), pool.schedule.limit_seconds(slot.id)
    return {
        "connection_id": seen.connection_id,
        "status": seen.status,
        "products_count": len(seen.product_ids),
        "total_messages": seen.total_messages,
        "error_count": seen.error_count,
        "uptime_seconds": round(seen.uptime_seconds, 3),
        "last_heartbeat": None if seen.last_heartbeat is None else iso_time(seen.last_heartbeat),
        "last_message": None if seen.last_message is None else iso_time(seen.last_message),
        "messages_per_second": round(seen.messages_per_second, 1),
        "reconnects": seen.reconnects,
        "last_cause": seen.last_cause,
        "generation": seen.generation,
        "path": path,
        "beats": hub.board.beats.line(slot.id, int(now)),
        "last_frame_age_ms": _frame_age_ms(slot, seen.last_message, now),
        "age_seconds": round(age, 3),
        "rotate_in_seconds": None if limit is None else round(max(0.0, limit - age), 1),
        "gaps": hub.ledger.totals_of_slots[slot.id],
    }


def _frame_age_ms(slot: Connection, last_message: float | None, now: float) -> int | None:
    """Return how old the last frame is; of a socket that has brought none yet, that of the socket before it."""
    silent = slot.silent_seconds(now)
    if 0 < silent < slot.age_seconds(now):
        return int(silent * 1000)
    return None if last_message is None else max(0, int((time.time() - last_message) * 1000))


def _products(hub: PriceHub, pool: ConnectionPool, slot: Connection) -> list[dict[str, Any]]:
    now = time.monotonic()
    measured_seconds, ticks = pool.meter.rates()
    aside = slot.set_aside()
    return [
        {
            "product": item,
            "trust": trust,
            "age_ms": None if quote is None else max(0, int((now - quote.received_monotonic) * 1000)),
            "ticks_per_second": round(ticks.get(item, 0.0), 1) if measured_seconds else None,
            "set_aside": found.reason if (found := aside.get(item)) is not None else None,
        }
        for item, quote, trust, _, _ in hub.book.rows(slot.products, now)
    ]


def _events(hub: PriceHub, connection_id: str) -> list[dict[str, Any]]:
    journal = getattr(hub, "journal", None)
    if journal is None:
        return []
    return [entry.body() for entry in journal.query(connection_id=connection_id, limit=EVENTS)]
