"""The sockets on both sides, counted: the body of ``GET /websocket/status``."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hub.audience import figures_of
from hub.model import ConnectionStatus

if TYPE_CHECKING:
    from hub.hub import PriceHub


def body(hub: PriceHub) -> dict[str, Any]:
    """Return it. ``GET /connections`` and ``GET /clients`` tell of each one."""
    return {"exchange": _exchange(hub), "clients": _clients(hub), "simulated": hub.simulated}


def _exchange(hub: PriceHub) -> dict[str, Any]:
    slots = hub.connections()
    found = Counter(slot.status for slot in slots)
    return {
        "total": len(slots),
        "by_status": {status.value: found[status] for status in ConnectionStatus},
        "by_path": {name: {"connected": up, "total": total} for name, (up, total) in hub.paths.up().items()},
        "reconnects_total": sum(slot.reconnects for slot in slots),
        "lost_by_cause": _counted(hub, "lost_"),
        "messages_per_second": round(sum(slot.messages_per_second for slot in slots), 1),
    }


def _clients(hub: PriceHub) -> dict[str, Any]:
    figures = [found for found, _ in figures_of(hub, time.monotonic())]
    transports = Counter(client.transport for client in figures)
    return {
        "total": len(figures),
        "by_transport": {name: transports[name] for name in ("websocket", "polling")},
        "behind": sum(client.behind for client in figures),
        "pending_bytes": sum(client.pending_bytes for client in figures),
        "bytes_per_second": int(sum(client.bytes_per_second for client in figures)),
        "max_clients": hub.settings.max_clients,
        "cut_by_reason": _counted(hub, "cut_"),
        "refused_by_reason": _counted(hub, "refused_"),
    }


def _counted(hub: PriceHub, prefix: str) -> dict[str, int]:
    """Return the hub's counters of a kind, since the start, without their prefix."""
    return {name.removeprefix(prefix): count for name, count in hub.counters.items() if name.startswith(prefix)}
