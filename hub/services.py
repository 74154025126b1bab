"""What the hub is made of, and how each part fares: the body of ``GET /services/status``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hub.worker import Worker

if TYPE_CHECKING:
    from hub.hub import PriceHub

WORST = ("up", "off", "degraded", "down")  # from the best to the worst


class Part(NamedTuple):
    """One part: ``up``, ``degraded`` (it does its work in part), ``down``, or ``off`` (not asked for); and why."""

    name: str
    state: str
    reason: str
    worker: Worker | None = None


def body(hub: PriceHub) -> dict[str, Any]:
    """Return it: ``state`` is that of the worst part, but ``down`` only where no path to the exchange is up."""
    now = time.monotonic()
    parts = [*_feed(hub), *_kept(hub), *_sent(hub), *_alerts(hub)]
    told = {part.name: {"state": part.state, "reason": part.reason} for part in (_judged(part, now) for part in parts)}
    up = any(connected for connected, _ in hub.paths.up().values())
    worst = max((part["state"] for part in told.values()), key=WORST.index)
    return {
        "state": "down" if not up else "up" if worst in ("up", "off") else "degraded",
        "services": told,
        "workers": [
            {
                "name": worker.name, "alive": worker.is_alive, "failures": worker.failures,
                "failed_lately": worker.failed_lately(now),
            }
            for worker in hub.workers
        ],
        "simulated": hub.simulated,
    }


def _judged(part: Part, now: float) -> Part:
    """Return the part, degraded where its worker met a bug lately or is gone."""
    worker = part.worker
    if part.state != "up" or worker is None:
        return part
    if not worker.is_alive:
        return part._replace(state="down", reason="its worker does not run")
    if worker.failed_lately(now):
        return part._replace(state="degraded", reason="its worker met a bug lately: the log has the traceback")
    return part


def _feed(hub: PriceHub) -> Iterator[Part]:
    pools = hub.paths.pools()
    for name, (connected, total) in hub.paths.up().items():
        state = "up" if connected == total else "degraded" if connected else "down"
        yield Part(f"feed_{name}", state, f"{connected} of {total} connections are up", pools[name].worker)
    keeper = hub.catalogue
    known = len(keeper.catalogue.products) if keeper.catalogue is not None else 0
    state = "up" if keeper.problem is None else "degraded" if known else "down"
    yield Part("catalogue", state, keeper.problem or f"{known} products are watched", keeper.worker)
    pending = len(hub.repair.pending())
    yield Part("repair", "up", f"{pending} products have trades to be fetched", hub.repair.worker)
    by_rest = hub.book.by_rest()
    if hub.fallback.failing:
        yield Part("fallback", "degraded", "sockets do not deliver all prices, and REST does not answer")
    else:
        yield Part("fallback", "up", f"{by_rest} prices come by REST", hub.fallback.worker)


def _alerts(hub: PriceHub) -> Iterator[Part]:
    told = hub.alerts.body()
    if not told["channels"]:
        yield Part("alerts", "off", "neither WEBHOOK_URL nor TELEGRAM_BOT_TOKEN is set: clients of Socket.IO are told")
        return
    failing = [one["name"] for one in told["channels"] if one["breaker"] != "closed"]
    if failing:
        yield Part("alerts", "degraded", f"{', '.join(failing)} can't be reached")
    else:
        yield Part("alerts", "up", f"{told['count']} alerts are firing")


def _kept(hub: PriceHub) -> Iterator[Part]:
    yield Part("watch", "up", "reviews the trust of every product", hub.watch.worker)
    yield Part("history", "up", "samples each second", hub.history.worker)
    if hub.store is None:
        yield Part("store", "off", "simulated prices are not kept over a restart")
    elif not hub.store.is_open:
        yield Part("store", "degraded", "its file can't be opened: what is kept is in memory only")
    else:
        yield Part("store", "up", f"{hub.store.queued} changes wait to be written", hub.store.worker)


def _sent(hub: PriceHub) -> Iterator[Part]:
    yield Part("fanout", "up", f"{hub.fanout.client_count} clients get events", hub.fanout.worker)
    yield Part("priority_pairs", "up", f"{len(hub.get_priority_pairs())} priority pairs", hub.priority.worker)
    yield Part("board", "up", "looks once a second", hub.board.worker)
