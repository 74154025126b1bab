"""What the hub says of itself in one answer: the body of ``GET /health``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hub import logs
from hub.detect import health
from hub.lookout import seen
from hub.model import ConnectionStatus, HealthStatus
from hub.payload import iso_time

if TYPE_CHECKING:
    from hub.hub import PriceHub

NAMED_PRODUCTS = 20


class Summary:
    """Owner of what a verdict needs to remember: the errors of the last minute, whether all was well once."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        self._errors = health.ErrorWindow()
        self._was_covered = False

    def sample(self) -> dict[str, Any]:
        """Do what is to be done each second, whether or not anybody asks; return the body of ``GET /health``."""
        hub = self._hub
        self._errors.sample(time.monotonic(), *hub.paths.totals())
        body = self.body()
        paths = {name: (one["connected_connections"], one["total_connections"]) for name, one in body["paths"].items()}
        hub.notes.health(body["status"], body["reasons"], paths)
        if (changes := hub.priority.changes()) is not None:
            hub.notes.priority(changes)
        hub.alerts.look(seen(hub, body, self._errors.rates()[0]))
        hub.flow.end_spikes()
        return body

    def body(self) -> dict[str, Any]:
        """Return the body of ``GET /health``; each of its fields is described in docs/protocol.md."""
        hub, now = self._hub, time.monotonic()
        slots = hub.connections()
        connected = sum(slot.status is ConnectionStatus.CONNECTED for slot in slots)
        total = len(hub.book.products)
        active, ticking, excused = hub.book.activity(now)
        messages_total, errors_total = hub.paths.totals()
        error_ratio, messages_per_second = self._errors.rates()
        uptime = now - hub.started_at
        paths = hub.paths.up()
        found = health.HealthInput(
            uptime, len(slots), connected, total, active, error_ratio, hub.catalogue.problem, self._was_covered,
            tuple(hub.paths.without_heartbeats(now)), hub.failed_workers(now), excused,
            hub.book.by_rest(), paths,
        )  # fmt: skip
        status, reasons = health.verdict(found)
        self._was_covered = self._was_covered or status is HealthStatus.HEALTHY
        catalogue = hub.catalogue.catalogue
        trust, doubtful = hub.book.trusts(now)
        sentence, states, untrusted = health.headline(trust)
        return {
            "status": status,
            "headline": sentence,
            "summary": states,
            "untrusted_products": untrusted,
            "untrusted": [
                {"product": item, "trust": state, "reason": reason} for item, state, reason in doubtful[:NAMED_PRODUCTS]
            ],
            "total_connections": len(slots),
            "connected_connections": connected,
            "total_products": total,
            "active_products": active,
            "ticking_products": ticking,
            "coverage_percentage": health.coverage_percentage(active, total, excused),
            "total_messages_received": messages_total,
            "total_errors": errors_total,
            "uptime_seconds": round(uptime, 3),
            "price_samples": len(hub.book.quotes()),
            "last_updated": iso_time(time.time()),
            "messages_per_second": round(messages_per_second, 1),
            "trust": trust,
            "stale_after_ms": hub.settings.stale_after_ms,
            "open_gaps": hub.ledger.open_count(),
            "epoch": hub.epoch,
            "paths": {
                name: {"connected_connections": up, "total_connections": slots} for name, (up, slots) in paths.items()
            },
            "refused_frames": hub.paths.refused(),
            "counters": {
                **hub.counters,
                **logs.counters(),
                **hub.paths.transferred(),
                "missing": hub.book.missing_total(),
                "fetched": hub.repair.fetched_total,
                "repair_failures": hub.repair.failures_total,
                "repair_refused": hub.repair.refused_total,
                "rest_polls": hub.fallback.polls_total,
                "rest_poll_failures": hub.fallback.failures_total,
                "gaps_forgotten": hub.ledger.forgotten_total,
                "loop_stalls": hub.loop_watch.stalls_total,
                "store_failures": hub.store.failures_total if hub.store else 0,
                "store_dropped": hub.store.dropped_total if hub.store else 0,
                **{f"gaps_{cause}": count for cause, count in hub.ledger.totals.items()},
            },
            "clients": hub.fanout.client_count,
            "clients_joining": hub.joining(),
            "unknown_products": list(catalogue.unknown_ids) if catalogue else [],
            "reasons": reasons,
            "draining": hub.draining,
            "simulated": hub.simulated,
        }
