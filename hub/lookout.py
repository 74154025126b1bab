"""What the rules of ``hub.detect.rules`` are told each second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hub.detect.rules import Seen, Slot
from hub.model import ConnectionStatus, Standing, Trust

if TYPE_CHECKING:
    from hub.hub import PriceHub

DOUBTFUL = (Trust.STALE, Trust.BEHIND)
NOT_JUDGED = (Trust.STARTING, Trust.HALTED, Trust.DELISTED)


def seen(hub: PriceHub, health: Mapping[str, Any], error_ratio: float) -> Seen:
    """Return what is known now; ``health``: the body of ``GET /health``."""
    now = time.monotonic()
    paths = {name: pool.snapshots() for name, pool in hub.paths.pools().items()}
    slots = [
        Slot(found.connection_id, name, found.status is ConnectionStatus.CONNECTED, found.reconnects)
        for name, snapshots in paths.items() for found in snapshots
    ]  # fmt: skip
    standings = {product: hub.book.standing(product, now) for product in hub.priority.last_updates()}
    return Seen(
        now, time.time(), health["status"], health["coverage_percentage"], error_ratio, health["total_products"], slots,
        {name: (one["connected_connections"], one["total_connections"]) for name, one in health["paths"].items()},
        {item: found.reason for item, found in standings.items() if found is not None and found.trust in DOUBTFUL},
        {item: _not_judged(found) for item, found in standings.items()}, hub.priority.pinned, hub.draining,
    )  # fmt: skip


def _not_judged(found: Standing | None) -> str:
    if found is None:
        return "it has no price"
    return found.reason if found.trust in NOT_JUDGED else ""
