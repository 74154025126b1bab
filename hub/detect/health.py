"""The hub's verdict on itself. Pure: computed from the ages of data, never from "the thread is alive"."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.model import HealthStatus

STARTING_SECONDS = 60.0  # a hub without prices is excused this long
LOW_COVERAGE_PERCENT = 80.0
HIGH_ERROR_RATIO = 0.05
ERROR_WINDOW_SECONDS = 60.0
DOUBTFUL = {"behind": "behind, repairing", "stale": "stale", "starting": "without a price yet"}
OFF_THE_MARKET = ("halted", "delisted")
PROVED = ("live", "quiet", "behind")  # within STALE_AFTER_MS; of what is behind, a later trade may be on its way


class Readiness(StrEnum):
    """Whether clients may be sent to this hub."""

    READY = "ready"
    STARTING = "starting"
    DRAINING = "draining"
    WITHOUT_EVIDENCE = "without_evidence"


class ErrorWindow:
    """Messages and errors of the last minute, from totals that are sampled now and then."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def sample(self, now: float, messages_total: int, errors_total: int) -> None:
        """Note the totals at ``now`` (monotonic seconds); samples that are too old to matter are dropped."""
        self._samples.append((now, messages_total, errors_total))
        while len(self._samples) > 2 and self._samples[1][0] <= now - ERROR_WINDOW_SECONDS:
            self._samples.popleft()

    def rates(self) -> tuple[float, float]:
        """Return (errors as a part of the messages, 0–1; messages a second) over the window; zeros at first."""
        if len(self._samples) < 2:
            return 0.0, 0.0
        (then, messages_then, errors_then), (now, messages, errors) = self._samples[0], self._samples[-1]
        received, failed = messages - messages_then, errors - errors_then
        ratio = min(1.0, failed / received) if received else float(failed > 0)
        return ratio, received / (now - then) if now > then else 0.0


@dataclass(frozen=True, slots=True)
class HealthInput:
    """What the verdict needs. ``catalogue_problem`` says why there is no (fresh) product list, if so.

    ``without_heartbeats``: connections that bring none. ``worker_failures``: workers with a bug of ours lately.
    ``was_covered``: it has had its prices before, and so is not starting any more. ``excused_products`` are not active,
    and can't be, since the exchange halted or delisted them. ``products_by_rest``: no socket delivers
    them. ``paths``: name → (its connections that are up, all of them).
    """

    uptime_seconds: float
    total_connections: int
    connected_connections: int
    total_products: int
    active_products: int
    error_ratio: float
    catalogue_problem: str | None
    was_covered: bool = False
    without_heartbeats: tuple[str, ...] = ()
    worker_failures: int = 0
    excused_products: int = 0
    products_by_rest: int = 0
    paths: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def coverage_percentage(active: int, total: int, excused: int = 0) -> float:
    """Return the active part of the products that can be, 0–100; 0 where there are no products."""
    if total and excused >= total:
        return 100.0
    return round(100.0 * active / (total - excused), 2) if total else 0.0


def verdict(seen: HealthInput) -> tuple[HealthStatus, list[str]]:
    """Return the status and, in words, every reason why it is not ``healthy``."""
    reasons = []
    expected = seen.total_products - seen.excused_products
    coverage = coverage_percentage(seen.active_products, seen.total_products, seen.excused_products)
    if seen.catalogue_problem:
        reasons.append(seen.catalogue_problem)
    if seen.total_connections and not seen.connected_connections:
        reasons.append(f"none of {seen.total_connections} connections is up")
    if seen.connected_connections:
        reasons += [
            f"{name} is gone: none of its {total} connections is up, the other path carries on"
            for name, (up, total) in seen.paths.items() if total and not up
        ]  # fmt: skip
    if not seen.total_products and not seen.catalogue_problem:
        reasons.append("no product is watched")
    if seen.total_products and coverage < LOW_COVERAGE_PERCENT:
        reasons.append(f"only {seen.active_products} of {expected} products are covered ({coverage:g} %)")
    if seen.without_heartbeats:
        reasons.append(f"no heartbeats on {', '.join(seen.without_heartbeats)}")
    if seen.products_by_rest:
        reasons.append(f"{seen.products_by_rest} prices come by REST: no socket delivers them")
    if seen.worker_failures:
        reasons.append(f"{seen.worker_failures} of the hub's own workers failed lately: the log has the tracebacks")
    if seen.error_ratio > HIGH_ERROR_RATIO:
        reasons.append(f"{100 * seen.error_ratio:.1f} % errors among the messages of the last minute")
    without_prices = not seen.connected_connections or coverage < LOW_COVERAGE_PERCENT
    if without_prices and seen.uptime_seconds < STARTING_SECONDS and not seen.was_covered:
        return HealthStatus.STARTING, reasons
    if not seen.connected_connections:
        return HealthStatus.CRITICAL, reasons
    return (HealthStatus.WARNING if reasons else HealthStatus.HEALTHY), reasons


def readiness(
    uptime_seconds: float, was_ready: bool, draining: bool, trust: Mapping[str, int], worker_failures: int
) -> tuple[Readiness, list[str]]:
    """Return whether clients may be sent here, and in words why not, or what is wrong all the same.

    The evidence: of the products that the exchange trades, so many have a price that was proved lately, by whatever
    way; ``trust``: state → number of products. It says nothing of the inside: everybody may ask.
    """
    proved = sum(trust.get(state, 0) for state in PROVED)
    traded = sum(trust.values()) - sum(trust.get(state, 0) for state in OFF_THE_MARKET)
    reasons = []
    if draining:
        reasons.append("the hub is about to stop")
    if not sum(trust.values()):
        reasons.append("it is not known yet which products there are")
    elif 100 * proved < LOW_COVERAGE_PERCENT * traded:
        reasons.append(f"only {proved:,} of {traded:,} prices were proved lately")
    evident = not reasons
    if worker_failures:
        reasons.append(f"{worker_failures} of the hub's own workers failed lately")
    if draining:
        return Readiness.DRAINING, reasons
    if evident:
        return Readiness.READY, reasons
    young = uptime_seconds < STARTING_SECONDS and not was_ready
    return (Readiness.STARTING if young else Readiness.WITHOUT_EVIDENCE), reasons


def headline(trust: Mapping[str, int]) -> tuple[str, str, int]:
    """Return (whether every price can be trusted, in a sentence; how many are in which state; how many can't be).

    ``trust``: state → number of products. Halted and delisted products have no market whose price could be trusted.
    """
    live, quiet = trust.get("live", 0), trust.get("quiet", 0)
    doubtful = [(state, count) for state in DOUBTFUL if (count := trust.get(state, 0))]
    untrusted = sum(count for _, count in doubtful)
    traded = live + quiet + untrusted
    total = sum(trust.values())
    if not total:
        sentence = "No product is watched"
    elif not traded:
        sentence = "No product is traded"
    elif untrusted == traded:
        sentence = "No price can be trusted"
    elif untrusted:
        sentence = f"{untrusted} of {traded:,} prices can\N{RIGHT SINGLE QUOTATION MARK}t be trusted"
    else:
        sentence = f"All {traded:,} prices can be trusted" if traded > 1 else "The price can be trusted"
    parts = [f"{live:,} of {total:,} live"]
    parts += [f"{quiet:,} quiet"] if quiet else []
    parts += [f"{count:,} {DOUBTFUL[state]}" for state, count in doubtful]
    parts += [f"{count:,} {state}" for state in OFF_THE_MARKET if (count := trust.get(state, 0))]
    return sentence, " · ".join(parts), untrusted
