"""What ``GET /metrics`` is made of: families for every counter, histograms, and parts that fail alone."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric

from hub import metrics
from hub.fanout.latency import STEP, bucket
from hub.hub import PriceHub
from hub.metrics import FAMILIES, LE_SECONDS, HubCollector, counter_families, cumulative, make_registry
from hub.settings import Settings

ROOT = Path(__file__).parents[2]
NOT_COUNTERS = {"missing"}  # of GET /health: it falls when a trade comes after all


@pytest.fixture
def hub(tmp_path: Path) -> PriceHub:
    """A hub that was not started: nothing is known yet."""
    return PriceHub(Settings(state_dir=str(tmp_path)))


def values(families: Iterable[Metric], name: str) -> dict[str, float]:
    """Return label (the only one) → value of a family's samples."""
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {"".join(sample.labels.values()): sample.value for sample in samples}


def matching(counter: str) -> list[str]:
    return [family.name for family in FAMILIES if re.fullmatch(family.pattern, counter)]


def test_every_counter_of_the_hub_has_a_family(hub: PriceHub) -> None:
    written = {
        re.sub(r"{[^}]*}", "x", name)
        for path in (ROOT / "hub").rglob("*.py") if "simulator" not in path.parts
        for name in re.findall(r'counters\[f?"([^"]+)"\]', path.read_text())
    }  # fmt: skip
    assert {"lost_x", "cut_x", "refused_x", "pauses", "rotate_x"} <= written
    for counter in (written | set(hub.get_health_summary()["counters"])) - NOT_COUNTERS:
        assert matching(counter), f"{counter}: add a row to FAMILIES"


def test_a_counter_goes_into_the_first_family_that_matches() -> None:
    families = list(counter_families({"gaps_forgotten": 2, "gaps_restart": 3, "rotated": 4, "held_dropped": 5}))
    assert values(families, "pricehub_gaps_forgotten_total") == {"": 2}
    assert values(families, "pricehub_gaps_total")["restart"] == 3
    assert values(families, "pricehub_rotations_total")["rotated"] == 4
    assert values(families, "pricehub_dropped_total") == {"held": 5, "store": 0, "in_turn": 0}


def test_what_the_exchange_says_is_a_bounded_label() -> None:
    closes = [f"lost_closed_{code}" for code in range(1000, 5000)]
    refusals = [f"lost_{kind}_{code}" for kind in ("http", "proxy") for code in range(600)]
    counters = {**dict.fromkeys(closes + refusals, 1), "lost_silent": 7}
    found = values(counter_families(counters), "pricehub_connection_losses_total")
    assert set(found) == set(metrics.LOSSES)
    assert sum(found.values()) == 4000 + 1200 + 7
    assert found["closed_1011"] == 1


def test_a_refusal_that_is_new_needs_no_row() -> None:
    found = values(counter_families({"refused_rate_limit_rest": 3, "bad_packets": 1}), "pricehub_refusals_total")
    assert (found["rate_limit_rest"], found["bad_packets"]) == (3, 1)


@given(st.lists(st.floats(-1e5, 1e5), max_size=50))
def test_a_histogram_never_shows_a_value_as_smaller_than_it_is(milliseconds: list[float]) -> None:
    buckets, total = cumulative(Counter(map(bucket, milliseconds)))
    assert [bound for bound, _ in buckets] == [*map(str, LE_SECONDS), "+Inf"]
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == len(milliseconds)
    for bound, count in zip(LE_SECONDS, counts, strict=False):
        surely = sum(value / 1000 * STEP <= bound for value in milliseconds)
        assert surely <= count <= sum(value / 1000 <= bound * 1.0001 for value in milliseconds)
    positive = sum(max(0.0, value) for value in milliseconds) / 1000
    assert total == pytest.approx(positive, rel=STEP - 1, abs=1e-3)


def test_a_hub_that_was_not_started_has_metrics(hub: PriceHub) -> None:
    text = generate_latest(make_registry(hub)).decode()
    assert 'pricehub_health_status{pricehub_health_status="starting"} 1.0' in text
    assert "pricehub_product_list_timestamp_seconds" not in text
    assert "process_cpu_seconds_total" in text
    assert 'pricehub_scrape_failures_total{part="health"} 0.0' in text


def test_a_part_that_fails_is_left_out_and_counted(hub: PriceHub, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = HubCollector(hub)
    monkeypatch.setattr(hub, "get_health_summary", lambda: {}["missing"])
    for failures in (1, 2):
        families = list(collector.collect())
        assert values(families, "pricehub_scrape_failures_total")["health"] == failures
        assert "pricehub_simulated" not in {family.name for family in families}
        assert "pricehub_clients" in {family.name for family in families}


def test_every_family_says_what_it_is(hub: PriceHub) -> None:
    families = list(HubCollector(hub).collect())
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation.endswith(".")
        assert family.samples, family.name
