"""Who listens, and who lags: the body of ``GET /clients``."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hub.fanout.choice import Choice
from hub.fanout.seat import Figures

if TYPE_CHECKING:
    from hub.hub import PriceHub

SHOWN = 200
CHUNK, NAMES_CHUNK = 300, 10_000  # clients, names and products in one go: ticks do not wait for all of them


def body(hub: PriceHub) -> dict[str, Any]:
    """Return it: those that lag first, then those for which most waits."""
    found = figures_of(hub, time.monotonic())
    found.sort(key=lambda item: (not item[0].behind, -item[0].behind_seconds, -item[0].pending_bytes))
    shown = found[:SHOWN]
    counts = _counts({choice.names for _, choice in shown if choice.names is not None}, hub.book.products)
    return {
        "count": len(found),
        "behind": sum(figures.behind for figures, _ in found),
        "clients": [
            {
                "client_id": figures.client_id,
                "transport": figures.transport,
                "connected_seconds": round(figures.connected_seconds, 1),
                "products": None if choice.names is None else counts[choice.names],
                "max_hz": choice.max_hz,
                "batch": choice.batch,
                "bytes_per_second": int(figures.bytes_per_second),
                "pending_bytes": figures.pending_bytes,
                "behind": figures.behind,
                "behind_seconds": round(figures.behind_seconds, 1),
                "conflated_total": figures.conflated_total,
            }
            for figures, choice in shown
        ],
        "simulated": hub.simulated,
    }


def figures_of(hub: PriceHub, now: float) -> list[tuple[Figures, Choice]]:
    """Return what is known of every client, and what it asked for."""
    found = []
    clients = hub.fanout.clients()
    for start in range(0, len(clients), CHUNK):
        found += [(client.figures(now), choice) for client, choice in clients[start : start + CHUNK]]
        time.sleep(0)
    return found


def _counts(asked: set[frozenset[str]], products: Sequence[str]) -> dict[frozenset[str], int]:
    """Return names and patterns (see ``hub.fanout.choice``) → how many of the products they are."""
    if not asked:
        return {}
    named: defaultdict[str, set[str]] = defaultdict(set)
    for item in products:
        base, _, quote = item.partition("-")
        for name in (item, f"*-{quote}", f"{base}-*", "*-*"):
            named[name].add(item)
    counts = {}
    looked_at = 0
    for names in asked:
        counts[names] = len(set().union(*(named[name] for name in names if name in named)))
        looked_at += len(names) + counts[names]
        if looked_at > NAMES_CHUNK:
            looked_at = 0
            time.sleep(0)
    return counts
