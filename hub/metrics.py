"""The hub's numbers for Prometheus: what ``GET /metrics`` shows, collected from what is counted anyway.

``PARTS`` yield the families; one that fails leaves its own out and is counted. A counter that ``GET /health`` shows
needs no more than a row of ``FAMILIES``. No label names a product, a connection or a client, and each takes few values.
"""

from __future__ import annotations

import logging
import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from hub import __version__
from hub.fanout.latency import SMALLEST_MS, STEP, middle_ms
from hub.fanout.seat import CutReason
from hub.feed.dialects import advanced_trade, exchange
from hub.logs import Cooldown
from hub.model import Cause, ConnectionStatus, HealthStatus

if TYPE_CHECKING:
    from hub.hub import PriceHub

LE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# what is shown as 0 from the start, so that its first increase is seen as one
LOSSES = (
    "silent", "no_data", "slow_consumer", "connect_timeout", "dns", "refused", "eof", "reset", "socket", "tls",
    "protocol", "frame_too_big", "idle_frames", "closed_1000", "closed_1001", "closed_1005", "closed_1008",
    "closed_1009", "closed_1011", "closed_1012", "closed_1013", "closed_other", "http_403", "http_429", "http_503",
    "http_other", "proxy", "proxy_403", "proxy_407", "proxy_502", "proxy_other", "on_demand", "too_much",
    "bug",
)  # fmt: skip
IGNORED = "ignored_"
REFUSED_FRAMES = (*exchange.REASONS, *advanced_trade.REASONS, "exchange_error", "sequence_gap", f"{IGNORED}unknown")
CUTS = (*(reason.name.lower() for reason in CutReason), "ping_timeout")
CONNECTION_CUTS = ("displaced", "refused", "slow", "unread", "failed")
REFUSALS = (
    "too_many_clients", "too_many_clients_of_ip", "too_many_handshakes", "hosts", "origins", "relays",
    "writers_without_token", "clients_without_token", "actions_without_token", "rate_limit", "work_limit", "bad_tokens",
    "too_large", "frames", "polls", "bad_packets", "bad_subscribe", "bad_latency_sample", "bad_spike_alert",
)  # fmt: skip
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Family(NamedTuple):
    """A family of counters, made of those of ``GET /health`` whose names match all of ``pattern``.

    A group that matched is the value of ``label``; ``known`` ones are shown from the start.
    """

    name: str
    pattern: str
    help: str
    label: str = ""
    known: tuple[str, ...] = ()


FAMILIES = (  # the first that matches
    Family("tickers", "(new|late|again|duplicate|unexpected)",
           "Tickers of the exchange, by what they were: new ones are the ticks that clients get.", "outcome",
           ("new", "late", "again", "duplicate", "unexpected")),
    Family("connection_losses", "lost_(.+)", "Open sockets to the exchange that were lost, by cause.", "cause", LOSSES),
    Family("products_left_out", "asked_again", "Products that an acknowledgement of the exchange left out, each time."),
    Family("sequence_gaps", "skipped_frames", "Times that frames of a socket were missing, by their numbers."),
    Family("rotations", "(rotated)|rotate_(.+)", "Connections that were replaced without a break, or could not be.",
           "outcome", ("rotated", "timeout", "successor_lost", "source_lost", "move", "products_changed")),
    Family("products_moved", "moved", "Products that were handed over to another connection."),
    Family("products_moved_unproved", "move_insisted", "Products that were handed over before their new socket beat."),
    Family("product_moves_failed", "move_failed", "Products that could not be handed over, and stayed."),
    Family("gaps_forgotten", "gaps_forgotten", "Open gaps that the ledger had no room for."),
    Family("gaps", "gaps_(.+)", "Intervals in which something could have been missed, by cause.", "cause",
           tuple(Cause)),
    Family("trades_fetched", "fetched", "Missing trades that REST brought."),
    Family("repair_failures", "repair_failures", "Requests for missing trades that failed."),
    Family("gaps_not_repaired", "repair_refused", "Gaps that are too long to be fetched, or of too many products."),
    Family("rest_polls", "rest_polls", "Requests for all last prices, while no socket delivered some."),
    Family("rest_poll_failures", "rest_poll_failures", "Such requests that failed."),
    Family("rest_prices", "rest_prices", "Prices that had changed by such a request."),
    Family("client_cuts", "cut_(.+)", "Clients that were cut off, by reason.", "reason", CUTS),
    Family("connection_cuts", "connections_(.+)",
           "HTTP connections of clients that were ended, by reason: too many, too slow, not reading.", "reason",
           CONNECTION_CUTS),
    Family("wrong_tokens", "bad_tokens", "Tokens of clients, for reading and for actions, that were wrong."),
    Family("refusals", r"refused_(.+)|(bad_.+|\w+_without_token)",
           "Clients, requests and packets of clients that were refused, by reason.", "reason", REFUSALS),
    Family("dropped", "(held|store)_dropped|dropped_(in_turn)", "What did not fit into a queue of the hub's, by queue.",
           "queue", ("held", "store", "in_turn")),
    Family("store_failures", "store_failures", "Tries to open or write the file of the ledger that failed."),
    Family("log_lines_dropped", "log_lines_dropped", "Lines of the log that a blocked pipe left no room for."),
    Family("log_write_failures", "log_write_failures", "Lines of the log that could not be written."),
    Family("loop_stalls", "loop_stalls", "Times that something held the event loop for 2 s or more."),
    Family("pulse_failures", "pulse_failures", "Looks at silent and slow clients that failed."),
    Family("pauses", "pauses", "Times that the hub itself stood still."),
    Family("listener_errors", "listener_errors", "Listeners in the hub's own process that raised."),
)  # fmt: skip


def make_registry(hub: PriceHub) -> CollectorRegistry:
    """Return what ``GET /metrics`` encodes: the hub, its process, Python."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HubCollector(hub))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class HubCollector(Collector):
    """Reads the hub at each scrape."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        self._failures: Counter[str] = Counter({part.__name__.strip("_"): 0 for part in PARTS})

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for part in PARTS:
            try:
                families = list(part(self._hub))
            except Exception:  # noqa: BLE001 - it is logged
                self._failures[part.__name__.strip("_")] += 1
                _warn.exception(part.__name__, "bug in the metrics of %s", part.__name__.strip("_"))
                continue
            yield from families
            time.sleep(0)  # ticks do not wait for all of it
        yield _counters("scrape_failures", "Parts of the metrics that were left out because of a bug.", "part",
                        self._failures)  # fmt: skip


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pricehub_{name}", text, value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"pricehub_{name}", text, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"pricehub_{name}", text, value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"pricehub_{name}", text, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def _histograms(name: str, text: str, label: str, counts: Mapping[str, Counter[int]]) -> Metric:
    family = HistogramMetricFamily(f"pricehub_{name}", text, labels=[label] if label else [])
    for word, histogram in counts.items():
        family.add_metric([word] if label else [], *cumulative(histogram))
    return family


def cumulative(histogram: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Return a histogram of ``hub.fanout.latency`` as Prometheus wants it: (buckets, sum in seconds).

    Its buckets are narrower, but end elsewhere: one that goes beyond a bound counts as beyond it, by 5 % at most.
    Values below 0, of two clocks that disagree, count as 0.
    """
    counts, total = [0] * (len(LE_SECONDS) + 1), 0.0
    for index, count in histogram.items():
        counts[bisect_left(LE_SECONDS, SMALLEST_MS * STEP**index / 1000)] += count
        total += count * max(0.0, middle_ms(index)) / 1000
    buckets, below = [], 0
    for bound, count in zip((*map(str, LE_SECONDS), "+Inf"), counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets, total


# -- the parts ----------------------------------------------------------------------------------------


def _health(hub: PriceHub) -> Iterable[Metric]:
    """What ``GET /health`` says."""
    body = hub.get_health_summary()
    yield StateSetMetricFamily(
        "pricehub_health_status", "What GET /health says.", {state: state is body["status"] for state in HealthStatus}
    )
    yield _gauge("simulated", "1 where any price may be simulated: never trade on those.", body["simulated"])
    yield _gauge("draining", "1 from SIGTERM on: clients are sent away to the next process.", body["draining"])
    yield _gauge("uptime_seconds", "Since the start.", body["uptime_seconds"])
    yield _gauge("coverage_ratio", "Part of the products that can be covered and are, 0 to 1.",
                 body["coverage_percentage"] / 100)
    yield _gauges("products", "Watched products, by how far their price can be trusted.", "trust", body["trust"])
    yield _gauge("active_products", "Products that tick, or are proved to be quiet.", body["active_products"])
    yield _gauge("ticking_products", "Products that had a tick in the last 2 minutes.", body["ticking_products"])
    yield _gauge("open_gaps", "Gaps that did not heal yet.", body["open_gaps"])
    yield _gauge("missing_trades", "Trades that were jumped over and did not come since.", body["counters"]["missing"])
    frames = _bounded(body["refused_frames"], REFUSED_FRAMES)
    yield _counters("refused_frames", "Frames of the exchange that were not believed, by reason.", "reason",
                    {word: count for word, count in frames.items() if not word.startswith(IGNORED)})
    yield _counters("ignored_frames", "Frames of the exchange that were understood and not needed, by type.", "type",
                    {word.removeprefix(IGNORED): count for word, count in frames.items() if word.startswith(IGNORED)})
    yield from counter_families(body["counters"])  # fmt: skip


def counter_families(counters: Mapping[str, int]) -> Iterator[Metric]:
    """Return ``FAMILIES`` of these counters."""
    words: dict[Family, Counter[str]] = {family: Counter() for family in FAMILIES}
    for name, count in counters.items():
        for family in FAMILIES:
            if match := re.fullmatch(family.pattern, name):
                words[family][match[match.lastindex or 0]] += count
                break
    for family, counts in words.items():
        if family.label:
            yield _counters(family.name, family.help, family.label, _bounded(counts, family.known))
        else:
            yield _counter(family.name, family.help, counts.total())


def _bounded(counts: Mapping[str, int], known: Iterable[str]) -> Counter[str]:
    """Return counts by word, ``known`` ones in any case; the exchange may close with thousands of codes."""
    found = Counter(dict.fromkeys(known, 0))
    for word, count in counts.items():
        kind = word.partition("_")[0]
        found[f"{kind}_other" if kind in ("closed", "http", "proxy") and word not in found else word] += count
    return found


def _connections(hub: PriceHub) -> Iterable[Metric]:
    pools = hub.paths.pools()
    statuses = GaugeMetricFamily("pricehub_connections", "Connections to the exchange.", labels=["path", "status"])
    for path, pool in pools.items():
        counts = Counter(slot.status for slot in pool.snapshots())
        for status in ConnectionStatus:
            statuses.add_metric([path, status], counts[status])
    yield statuses
    totals = {path: pool.totals() for path, pool in pools.items()}
    yield _counters("messages_received", "Frames of the exchange.", "path",
                    {path: one.messages for path, one in totals.items()})
    yield _counters("feed_errors", "Refused frames, error frames, lost and failed connections.", "path",
                    {path: one.errors for path, one in totals.items()})
    reconnects = CounterMetricFamily(
        "pricehub_reconnects", "Sockets that came to their end, or tries to connect to nothing, by cause.",
        labels=["path", "cause"],
    )
    for path, pool in pools.items():
        for cause, count in _bounded(pool.causes(), LOSSES).items():
            reconnects.add_metric([path, cause], count)
    yield reconnects
    budgets = {path: pool.budget.body() for path, pool in pools.items()}
    yield _gauges("exchange_connects_left", "Connects that the exchange allows within this second.", "path",
                  {path: one["connects_left"] for path, one in budgets.items()})
    yield _gauges("exchange_messages_left", "Messages that the exchange allows within this second.", "path",
                  {path: one["messages_left"] for path, one in budgets.items()})  # fmt: skip


def _clients(hub: PriceHub) -> Iterable[Metric]:
    now = time.monotonic()
    present = [client.figures(now) for client, _ in hub.fanout.clients()]
    sent = hub.fanout.sent(present)  # nothing may wait in between: who leaves is counted in one of the two
    transports = Counter(one.transport for one in present)
    yield _gauges("clients", "Socket.IO clients that get events.", "transport",
                  {word: transports[word] for word in ("websocket", "polling")})
    yield _gauge("clients_joining", "Socket.IO sessions that have not joined a namespace yet.", hub.joining())
    yield _gauge("clients_limit", "How many clients are let in at a time (MAX_CLIENTS).", hub.settings.max_clients)
    yield _gauge("clients_behind", "Clients that get the latest of each product only, for now.",
                 sum(one.behind for one in present))
    yield _gauge("clients_pending_bytes", "Bytes that wait for clients.", sum(one.pending_bytes for one in present))
    yield _counter("fanout_events", "Events that some client wanted.", sent.events)
    yield _counter("fanout_deliveries", "Events to clients: one event to one client is one, snapshots included.",
                   sent.deliveries)
    yield _counter("fanout_sent_bytes", "Bytes that clients took.", sent.taken_bytes)
    yield _counter("fanout_conflated_ticks", "Ticks that a newer one replaced before a slow client took them.",
                   sent.conflated)
    yield _counter("fanout_dropped_events", "Other events that a slow client did not get.", sent.dropped)  # fmt: skip


def _latency(hub: PriceHub) -> Iterable[Metric]:
    yield _histograms(
        "latency_seconds", "How long ticks took, by stage (docs/protocol.md, GET /latency). Sums are right to 5 %.",
        "stage", {stage.value: found for stage, found in hub.fanout.latency.since_start().items()},
    )  # fmt: skip
    yield _histograms("loop_lag_seconds", "How late the loop was for a turn that is due each second.", "",
                      {"": hub.history.lags})  # fmt: skip


def _rest(hub: PriceHub) -> Iterable[Metric]:
    yield _counters("rest_requests", "Requests to the exchange's REST; throttled: it was too much for it.", "outcome",
                    hub.rest.outcomes)
    yield _gauge("rest_requests_left", "Requests that the budget has left for this second.", hub.rest.requests_left)
    yield _gauge("rest_products", "Products whose price comes by REST: no socket delivers them.", hub.book.by_rest())
    yield _gauge("repair_pending_products", "Products of which missing trades are being fetched.",
                 len(hub.repair.pending()))  # fmt: skip


def _process(hub: PriceHub) -> Iterable[Metric]:
    yield InfoMetricFamily("pricehub_build", "Which hub this is.", {"version": __version__})
    yield _counters("worker_failures", "Bugs that a worker met; it goes on after each.", "worker",
                    hub.worker_failures())
    yield _gauge("product_list_problem", "1 while there is no fresh product list.", hub.catalogue.problem is not None)
    if (catalogue := hub.catalogue.catalogue) is not None:
        yield _gauge("product_list_timestamp_seconds", "When the exchange told the product list that is used.",
                     catalogue.as_of)  # fmt: skip


def _alerts(hub: PriceHub) -> Iterable[Metric]:
    notices = CounterMetricFamily(
        "pricehub_alert_notices", "Notices to the channels of alerts; retried counts tries.",
        labels=["channel", "outcome"],
    )  # fmt: skip
    for (channel, outcome), count in hub.alerts.counts().items():
        notices.add_metric([channel, outcome], count)
    yield notices
    yield _gauge("alerts_firing", "Alerts that fire now.", hub.alerts.firing_count())


PARTS = (_health, _connections, _clients, _latency, _rest, _alerts, _process)
