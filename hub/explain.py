"""All that the hub knows of one product, in one answer: for whoever is woken at night."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from hub.payload import iso_time

if TYPE_CHECKING:
    from hub.feed.connection import Connection
    from hub.hub import PriceHub

SHOWN = 20  # entries of each list


def explain(hub: PriceHub, product_id: str) -> dict[str, Any]:
    """Return the body of ``GET /price/BTC-USD/explain``. Raises ``KeyError`` for a product that is not watched."""
    now = time.monotonic()
    known = hub.book.explain(product_id, now)
    known["history"] = [
        {"time": iso_time(at), "trust": trust, "reason": reason} for at, trust, reason in known["history"]
    ]
    quote, slot = hub.book.quote(product_id), hub.pool.slot_of(product_id)
    return {
        "product": product_id,
        "price": orjson.Fragment(hub.payload(quote, now)) if quote else None,
        **known,
        "slot": _slot(hub, slot, product_id) if slot else None,
        "last_frames": _frames(slot, product_id) if slot else [],
        "repair_tries": hub.repair.pending().get(product_id),
        "gaps": hub.ledger.query(product=product_id, limit=SHOWN),
        "stale_after_ms": hub.settings.stale_after_ms,
        "simulated": hub.simulated,
    }


def _slot(hub: PriceHub, slot: Connection, product_id: str) -> dict[str, Any]:
    snapshot = slot.snapshot()
    products = hub.book.products
    aside = slot.set_aside().get(product_id)
    return {
        "connection_id": snapshot.connection_id,
        "status": snapshot.status,
        "generation": snapshot.generation,
        "uptime_seconds": round(snapshot.uptime_seconds, 3),
        "reconnects": snapshot.reconnects,
        "last_cause": snapshot.last_cause,
        "why": f"number {products.index(product_id) + 1} of {len(products)} by volume; dealt out to the slots in turn, "
        "unless it was moved since",
        "set_aside": aside.reason if aside else None,
    }


def _frames(slot: Connection, product_id: str) -> list[dict[str, str]]:
    return [
        {"time": iso_time(at), "frame": frame.decode(errors="replace")} for at, frame in slot.recent.of(product_id)
    ]
