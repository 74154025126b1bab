"""How fast, how late, how large: the body of ``GET /performance/metrics``."""

from __future__ import annotations

import resource
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.audience import figures_of
from hub.fanout.latency import WINDOW_SECONDS
from hub.rings import RANGES

if TYPE_CHECKING:
    from hub.hub import PriceHub

STATM = Path("/proc/self/statm")
PAGE_BYTES = resource.getpagesize()
RATES = ("messages_per_second", "ticks_per_second")


def body(hub: PriceHub) -> dict[str, Any]:
    """Return it: rates of the last second, all else of this moment."""
    now = time.monotonic()
    times, series = hub.history.rings.table(RANGES["5m"])
    lags = [lag for lag in series["loop_lag_ms"] if lag is not None] if times else []
    return {
        "rates": {name: series[name][-1] if times else None for name in RATES},
        "latency": {"window_seconds": WINDOW_SECONDS, "stages": hub.fanout.latency.body()},
        "loop_lag_ms": {"last": lags[-1] if lags else None, "worst_of_5_minutes": max(lags, default=None)},
        "process": _process(now - hub.started_at),
        "queues": {
            "fanout_events": hub.fanout.gathered_count,
            "client_bytes": sum(client.pending_bytes for client, _ in figures_of(hub, now)),
            "repair_products": len(hub.repair.pending()),
            "store_changes": hub.store.queued if hub.store is not None else 0,
        },
        "uptime_seconds": round(now - hub.started_at, 3),
        "simulated": hub.simulated,
    }


def _resident_bytes() -> int | None:
    """Return the resident memory; None on a system without Linux's /proc."""
    try:
        return int(STATM.read_text().split()[1]) * PAGE_BYTES
    except FileNotFoundError:
        return None


def _process(uptime_seconds: float) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = time.process_time()
    return {
        "memory_bytes": _resident_bytes(),
        "memory_peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "cpu_seconds": round(cpu_seconds, 3),
        "cpu_cores_mean": round(cpu_seconds / uptime_seconds, 3) if uptime_seconds else None,
        "threads": threading.active_count(),
    }
