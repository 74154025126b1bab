"""What the connections carry, what would move and why, what budget is left: the body of ``GET /plan``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.hub import PriceHub

BEAT_SECONDS = 1.0  # from a socket that is open to a heartbeat of each of its products


def body(hub: PriceHub) -> dict[str, Any]:
    """Return it; to ask changes nothing."""
    now, pool = time.monotonic(), hub.pool
    plan = pool.plan(now)
    measured_seconds, ticks = pool.meter.rates()
    priority = set(hub.priority.last_updates())
    active, _, excused = hub.book.activity(now)
    products = len(hub.book.products)
    to_connect = pool.seconds_to_connect(now)
    return {
        "connections": [
            {
                "connection_id": slot.id,
                "products": len(slot.products),
                "priority_products": sum(item in priority for item in slot.products),
                "ticks_per_second": round(sum(ticks.get(item, 0.0) for item in slot.products), 1),
                "load": round(plan.loads.get(slot.id, 0.0), 1),
                "age_seconds": round(age := slot.age_seconds(now), 1),
                "rotate_in_seconds": None if (limit := pool.schedule.limit_seconds(slot.id)) is None
                else round(max(0.0, limit - age), 1),
            }
            for slot in pool.slots()
        ],
        "mean_load": round(plan.mean, 1),
        "measured_seconds": round(measured_seconds, 1),
        "moves": [
            {"product": step.product_id, "from": step.source, "to": step.target, "in_exchange_for": step.partner,
             "why": step.why}
            for step in plan.steps
        ],
        "why": plan.why,
        "under_way": pool.transfers.body(now),
        "budget": pool.budget.body(),
        "products": products,
        "covered_products": active + excused,
        "seconds_to_full_coverage": None if not products else 0.0 if not to_connect and active + excused >= products
        else round(to_connect + BEAT_SECONDS, 1),
        "simulated": hub.simulated,
    }  # fmt: skip
