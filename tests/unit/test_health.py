"""The hub's verdict on itself, and what ``GET /health`` makes of it."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask

from hub.detect.health import ErrorWindow, HealthInput, coverage_percentage, headline, readiness, verdict
from hub.hub import PriceHub
from hub.model import HealthStatus, Heartbeat, Source, Ticker, Trust
from hub.settings import Settings
from hub.web.rest import make_blueprint

WELL = HealthInput(
    uptime_seconds=1000.0, total_connections=22, connected_connections=22, total_products=326, active_products=326,
    error_ratio=0.0, catalogue_problem=None,
)  # fmt: skip
CONTRACT = {
    "status": str, "total_connections": int, "connected_connections": int, "total_products": int,
    "active_products": int, "coverage_percentage": float, "total_messages_received": int, "total_errors": int,
    "uptime_seconds": float, "price_samples": int, "last_updated": str, "ticking_products": int,
}  # fmt: skip


def seen(**changes: object) -> HealthInput:
    fields = {name: getattr(WELL, name) for name in WELL.__slots__}
    return HealthInput(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, "healthy", None),
        ({"connected_connections": 1}, "healthy", None),
        ({"active_products": 261}, "healthy", None),  # 80.06 %
        ({"total_products": 100, "active_products": 80}, "healthy", None),
        ({"total_products": 100, "active_products": 79}, "warning", "only 79 of 100"),
        ({"active_products": 0}, "warning", "only 0 of 326"),
        ({"error_ratio": 0.05}, "healthy", None),
        ({"error_ratio": 0.0501}, "warning", "5.0 % errors"),
        ({"error_ratio": 1.0}, "warning", "100.0 % errors"),
        ({"catalogue_problem": "the product list is old"}, "warning", "the product list is old"),
        ({"connected_connections": 0}, "critical", "none of 22 connections is up"),
        ({"connected_connections": 0, "uptime_seconds": 60.0}, "critical", "none of 22"),
        ({"connected_connections": 0, "total_connections": 0, "total_products": 0, "active_products": 0}, "critical",
         "no product is watched"),
        ({"connected_connections": 0, "total_connections": 0, "total_products": 0, "active_products": 0,
          "catalogue_problem": "no product list"}, "critical", "no product list"),
        # while it is young
        ({"connected_connections": 0, "uptime_seconds": 0.0}, "starting", "none of 22"),
        ({"connected_connections": 0, "uptime_seconds": 59.9}, "starting", "none of 22"),
        ({"active_products": 10, "uptime_seconds": 59.9}, "starting", "only 10 of 326"),
        ({"active_products": 10, "uptime_seconds": 60.0}, "warning", "only 10 of 326"),
        ({"uptime_seconds": 0.1}, "healthy", None),
        ({"uptime_seconds": 0.1, "total_products": 100, "active_products": 80}, "healthy", None),
        ({"uptime_seconds": 0.1, "error_ratio": 0.5}, "warning", "50.0 % errors"),
        # once it has had its prices it is not starting any more
        ({"active_products": 10, "uptime_seconds": 5.0, "was_covered": True}, "warning", "only 10 of 326"),
        ({"connected_connections": 0, "uptime_seconds": 5.0, "was_covered": True}, "critical", "none of 22"),
        ({"without_heartbeats": ("conn_003", "conn_007")}, "warning", "no heartbeats on conn_003, conn_007"),
        ({"worker_failures": 2}, "warning", "2 of the hub's own workers failed lately"),
        # what the exchange halted can't be covered
        ({"active_products": 10, "excused_products": 316}, "healthy", None),
        ({"active_products": 0, "excused_products": 326}, "healthy", None),
        ({"active_products": 0, "excused_products": 326, "uptime_seconds": 0.1}, "healthy", None),
        ({"active_products": 79, "excused_products": 226}, "warning", "only 79 of 100 products are covered (79 %)"),
        ({"connected_connections": 0, "excused_products": 326}, "critical", "none of 22"),
    ],
)  # fmt: skip
def test_the_verdict(changes: dict[str, object], status: str, reason: str | None) -> None:
    found, reasons = verdict(seen(**changes))
    assert found == status
    assert bool(reasons) == (status != "healthy")
    if reason is not None:
        assert any(reason in text for text in reasons)


def test_every_reason_is_named() -> None:
    status, reasons = verdict(
        seen(connected_connections=0, active_products=0, error_ratio=1.0, catalogue_problem="the product list is old")
    )
    assert (status, len(reasons)) == (HealthStatus.CRITICAL, 4)


def test_a_hub_without_products_is_not_healthy() -> None:
    assert verdict(seen(total_products=0, active_products=0))[0] == HealthStatus.WARNING


@pytest.mark.parametrize(
    ("active", "total", "excused", "percentage"),
    [
        (0, 0, 0, 0.0), (0, 5, 0, 0.0), (5, 5, 0, 100.0), (1, 3, 0, 33.33), (326, 326, 0, 100.0),
        (0, 5, 5, 100.0), (4, 5, 1, 100.0), (1, 5, 1, 25.0), (0, 5, 4, 0.0),
    ],
)  # fmt: skip
def test_coverage(active: int, total: int, excused: int, percentage: float) -> None:
    assert coverage_percentage(active, total, excused) == percentage


# -- errors among the messages of the last minute ------------------------------------------------------


def test_no_rate_before_the_second_sample() -> None:
    window = ErrorWindow()
    assert window.rates() == (0.0, 0.0)
    window.sample(100.0, 1_000, 10)
    assert window.rates() == (0.0, 0.0)


def test_errors_are_a_part_of_the_messages() -> None:
    window = ErrorWindow()
    window.sample(100.0, 1_000, 0)
    window.sample(110.0, 3_000, 100)
    assert window.rates() == (0.05, 200.0)


@pytest.mark.parametrize(("errors", "ratio"), [(0, 0.0), (1, 1.0)])
def test_errors_without_a_message_are_all_errors(errors: int, ratio: float) -> None:
    window = ErrorWindow()
    window.sample(100.0, 1_000, 0)
    window.sample(101.0, 1_000, errors)
    assert window.rates() == (ratio, 0.0)


def test_two_samples_of_one_moment_make_no_rate_a_second() -> None:
    window = ErrorWindow()
    window.sample(100.0, 0, 0)
    window.sample(100.0, 10, 1)
    assert window.rates() == (0.1, 0.0)


def test_the_ratio_is_at_most_1() -> None:
    window = ErrorWindow()
    window.sample(100.0, 0, 0)
    window.sample(101.0, 2, 6)
    assert window.rates()[0] == 1.0


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    window = ErrorWindow()
    window.sample(0.0, 0, 0)
    for second in range(1, 200):
        errors = 50 if second >= 10 else 0  # all of them in the tenth second
        window.sample(float(second), second * 100, errors)
        assert window.rates()[0] == pytest.approx(50 / (min(second, 60) * 100) if 10 <= second < 70 else 0.0)


# -- the answer ----------------------------------------------------------------------------------------


class FixedHub:
    """Gives the summary that it was made with."""

    def __init__(self, **summary: object) -> None:
        self._summary = summary

    def get_health_summary(self) -> dict[str, object]:
        return self._summary


@pytest.mark.parametrize(
    ("status", "connected", "code"),
    [
        (HealthStatus.HEALTHY, 22, 200),
        (HealthStatus.WARNING, 1, 200),
        (HealthStatus.STARTING, 1, 200),
        (HealthStatus.STARTING, 0, 503),
        (HealthStatus.CRITICAL, 0, 503),
    ],
)
def test_503_when_no_connection_is_up(status: HealthStatus, connected: int, code: int) -> None:
    app = Flask(__name__)
    app.register_blueprint(make_blueprint(FixedHub(status=status, connected_connections=connected), "root"))
    answer = app.test_client().get("/health")
    assert answer.status_code == code
    assert answer.get_json() == {"status": str(status), "connected_connections": connected}


@pytest.fixture
def hub() -> Iterator[PriceHub]:
    """A hub that was not started: it opens nothing."""
    built = PriceHub(Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9"))
    yield built
    built.stop()


def test_the_summary_has_every_field_of_the_contract(hub: PriceHub) -> None:
    summary = hub.get_health_summary()
    assert {name: type(summary[name]) for name in CONTRACT if name != "status"} == {
        name: kind for name, kind in CONTRACT.items() if name != "status"
    }
    assert summary["status"] == "starting"
    assert summary["simulated"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", summary["last_updated"])
    age = datetime.now(UTC) - datetime.fromisoformat(summary["last_updated"])
    assert abs(age.total_seconds()) < 5


def test_the_summary_counts_prices_ticks_and_quiet_products(hub: PriceHub) -> None:
    now = hub.started_at
    hub.book.set_products(["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"])
    hub.book.apply(Ticker("BTC-USD", "1", 7, "2026-11-20T01:02:03Z"), Source.WS, "conn_000", 0.0, now)
    hub.book.apply(Ticker("ETH-USD", "1", 9, "2026-11-20T01:02:03Z"), Source.WS, "conn_000", 0.0, now - 500.0)
    hub.book.beat(Heartbeat("ETH-USD", 9, 1, "2026-11-20T01:02:03Z"), now)
    hub.book.beat(Heartbeat("SOL-USD", 5, 1, "2026-11-20T01:02:03Z"), now)
    summary = hub.get_health_summary()
    assert (summary["total_products"], summary["price_samples"]) == (4, 2)
    assert (summary["active_products"], summary["ticking_products"], summary["coverage_percentage"]) == (2, 1, 50.0)
    assert summary["trust"] == {**dict.fromkeys(Trust, 0), "live": 1, "quiet": 1, "starting": 2}
    assert summary["stale_after_ms"] == hub.settings.stale_after_ms
    assert (summary["open_gaps"], summary["epoch"]) == (0, hub.epoch)


def test_what_is_halted_is_counted_and_costs_no_coverage(hub: PriceHub) -> None:
    now = hub.started_at
    hub.book.set_products(["BTC-USD", "ETH-USD", "SOL-USD"])
    for product_id, at in (("BTC-USD", now), ("ETH-USD", now - 500.0)):
        hub.book.apply(Ticker(product_id, "1", 7, "2026-11-20T01:02:03Z"), Source.WS, "conn_000", 0.0, at)
    hub.book.set_catalogue({"ETH-USD": (Trust.HALTED, "offline"), "SOL-USD": (Trust.DELISTED, "delisted")})
    summary = hub.get_health_summary()
    assert (summary["total_products"], summary["active_products"], summary["coverage_percentage"]) == (3, 1, 100.0)
    assert summary["trust"] == {**dict.fromkeys(Trust, 0), "live": 1, "halted": 1, "delisted": 1}
    assert not any("covered" in reason for reason in summary["reasons"])


def test_a_bug_of_a_worker_shows_in_the_summary(hub: PriceHub) -> None:
    hub.watch.worker._failed_at = time.monotonic()
    assert any("1 of the hub's own workers failed lately" in reason for reason in hub.get_health_summary()["reasons"])


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ({}, ("No product is watched", "0 of 0 live", 0)),
        ({"live": 1}, ("The price can be trusted", "1 of 1 live", 0)),
        ({"live": 1300, "quiet": 25}, ("All 1,325 prices can be trusted", "1,300 of 1,325 live · 25 quiet", 0)),
        (
            {"live": 3, "quiet": 1, "behind": 2, "stale": 1, "starting": 1, "halted": 1},
            ("4 of 8 prices can’t be trusted",
             "3 of 9 live · 1 quiet · 2 behind, repairing · 1 stale · 1 without a price yet · 1 halted", 4),
        ),
        ({"stale": 5, "halted": 1}, ("No price can be trusted", "0 of 6 live · 5 stale · 1 halted", 5)),
        ({"halted": 2, "delisted": 1}, ("No product is traded", "0 of 3 live · 2 halted · 1 delisted", 0)),
    ],
)  # fmt: skip
def test_the_headline_says_whether_every_price_can_be_trusted(
    trust: dict[str, int], said: tuple[str, str, int]
) -> None:
    assert headline(trust) == said


@pytest.mark.parametrize(
    ("trust", "status", "reason"),
    [
        ({"live": 300, "quiet": 26}, "ready", None),
        ({"quiet": 1}, "ready", None),
        ({"live": 60, "behind": 20, "stale": 20}, "ready", None),
        ({"behind": 326}, "ready", None),  # all connections were lost a moment ago
        ({"live": 79, "stale": 20, "starting": 1}, "without_evidence", "only 79 of 100 prices were proved lately"),
        ({"stale": 1326}, "without_evidence", "only 0 of 1,326 prices were proved lately"),
        ({"live": 4, "starting": 1, "halted": 50, "delisted": 50}, "ready", None),
        ({"halted": 5}, "ready", None),  # the exchange says so: that is evidence
        ({}, "without_evidence", "it is not known yet which products there are"),
    ],
)
def test_ready_is_a_hub_with_evidence(trust: dict[str, int], status: str, reason: str | None) -> None:
    reasons = [reason] if reason else []
    assert readiness(1000.0, True, False, trust, 0) == (status, reasons)
    young = "starting" if reason else "ready"
    assert readiness(59.9, False, False, trust, 0) == (young, reasons)
    assert readiness(60.0, False, False, trust, 0)[0] == status
    assert readiness(59.9, True, False, trust, 0)[0] == status
    assert readiness(1.0, False, True, trust, 0) == ("draining", ["the hub is about to stop", *reasons])
    assert readiness(1000.0, True, False, trust, 2) == (status, [*reasons, "2 of the hub's own workers failed lately"])
