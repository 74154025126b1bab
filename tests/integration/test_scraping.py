"""``GET /metrics`` of a real hub that goes through faults: promtool, both formats, counters that never fall."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
import requests
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hub import metrics
from hub.alerts.channel import OUTCOMES
from hub.fanout.latency import Stage
from hub.model import Cause, ConnectionStatus, HealthStatus, Trust
from tests.conftest import ROOT, HubProcess, eventually, need, running_hub
from tests.integration.test_hostile import connected, ends, frame
from tests.integration.test_socketio import Listener

TOKEN = "0123456789abcdef"
# as Prometheus asks, from version 3 on
OPENMETRICS = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3"
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]
# every label of the hub's own families, and the values that it may have
FRAMES = {word for word in metrics.REFUSED_FRAMES if not word.startswith(metrics.IGNORED)}
LABELS: dict[str, set[str]] = {
    "pricehub_health_status": set(HealthStatus),
    "trust": set(Trust),
    "path": {"exchange", "advanced_trade"},
    "status": set(ConnectionStatus),
    "cause": {*metrics.LOSSES, *Cause},
    "channel": {"socketio", "telegram", "webhook"},  # of several webhooks: webhook_1, webhook_2, …
    "outcome": {
        *OUTCOMES, *(word for family in metrics.FAMILIES if family.label == "outcome" for word in family.known),
        "ok", "throttled", "failed",
    },
    "reason": {*metrics.REFUSALS, *metrics.CUTS, *metrics.CONNECTION_CUTS, *FRAMES},
    "type": {"unknown", "status", "match", "last_match"},
    "transport": {"websocket", "polling"},
    "stage": set(Stage),
    "queue": {"held", "store", "in_turn"},
    "part": {part.__name__.strip("_") for part in metrics.PARTS},
    "worker": {
        "fanout", "priority-pairs", "watch", "repair", "fallback", "catalogue", "history", "board", "store",
        "pool-watchdog", "aliases", "alerts-webhook",
    },
    "version": {metrics.__version__},
    "le": {*map(str, metrics.LE_SECONDS), "+Inf"},
}  # fmt: skip


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with 40 products on 8 connections; what happens to it stays in its counters."""
    simulator = ["--products", "40", "--rate", "400"]
    settings = {
        "PRODUCTS_PER_CONNECTION": "5", "CATALOGUE_REFRESH_SECONDS": "1", "DELISTED_KEEP_SECONDS": "0",
        "ADMIN_TOKEN": TOKEN, "WEBHOOK_URL": "http://127.0.0.1:9/", "WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
    }  # fmt: skip
    with running_hub(tmp_path_factory.mktemp("troubled"), simulator, [], **settings) as process:
        process.wait_until_covered()
        yield process


def scrape(hub: HubProcess) -> list[Metric]:
    answer = hub.get("/metrics")
    assert answer.status_code == 200
    return list(parse(answer.text))


def counters(hub: HubProcess) -> Values:
    """Return (name, labels) → value of all that must never fall."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in scrape(hub) if family.type in ("counter", "histogram")
        for sample in family.samples
    }  # fmt: skip


def value(found: Values, name: str, **labels: str) -> float:
    return found[f"pricehub_{name}", tuple(sorted(labels.items()))]


# -- what befalls a hub; each is over, or counted, when it returns ---------------------------------------


def a_client_that_leaves(hub: HubProcess) -> None:
    listener = Listener(hub.url)
    eventually(lambda: len(listener.events["ticker_update"]) > 100)
    listener.close()
    eventually(lambda: hub.health()["clients"] == 0)


def a_client_that_is_cut(hub: HubProcess) -> None:
    sock = connected(hub)
    sock.sendall(frame(b"4{"))
    assert ends(sock)
    sock.close()


def a_connection_that_is_killed(hub: HubProcess) -> None:
    fault(hub, "kill", connections=[0])
    eventually(lambda: hub.health()["counters"].get("lost_eof", 0) > 0)
    hub.wait_until_covered()


def frames_that_are_none(hub: HubProcess) -> None:
    fault(hub, "garbage", connections="all", text="<html>")
    eventually(lambda: hub.health()["refused_frames"].get("not_json", 0) > 0)


def a_connection_that_is_replaced(hub: HubProcess) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.post(hub.url + "/connections/conn_001/rotate", headers=headers, timeout=5).status_code == 202
    eventually(lambda: hub.health()["counters"].get("rotated", 0) > 0, 15)


def a_connection_that_is_given_up(hub: HubProcess) -> None:
    total = hub.health()["total_connections"]
    last = hub.get(f"/connections/conn_{total - 1:03d}").json()
    fault(hub, "delist", products=[row["product"] for row in last["products"]])
    eventually(lambda: hub.health()["total_connections"] == total - 1, 15)


def fault(hub: HubProcess, kind: str, **fields: object) -> None:
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": kind, **fields})


TROUBLES = (
    a_client_that_leaves, a_client_that_is_cut, a_connection_that_is_killed, frames_that_are_none,
    a_connection_that_is_replaced, a_connection_that_is_given_up,
)  # fmt: skip


def test_counters_never_fall_and_agree_with_health(troubled: HubProcess) -> None:
    first = before = counters(troubled)
    for happens in TROUBLES:
        happens(troubled)
        after = counters(troubled)
        fallen = {key: (old, after.get(key)) for key, old in before.items() if after.get(key, -1.0) < old}
        assert not fallen, happens.__name__
        before = after
    grown = {key: after[key] - first.get(key, 0.0) for key in after}
    assert value(grown, "fanout_sent_bytes_total") > value(grown, "fanout_deliveries_total") > 100
    assert value(grown, "fanout_events_total") > 0
    assert value(grown, "connection_losses_total", cause="eof") == 1
    assert value(grown, "client_cuts_total", reason="bad_packet") == 1
    assert value(grown, "rotations_total", outcome="rotated") == 1
    assert value(grown, "reconnects_total", path="exchange", cause="eof") == 1
    assert value(grown, "loop_lag_seconds_count") > 2
    health = troubled.health()
    latest = counters(troubled)
    told = health["counters"]
    assert after[key := ("pricehub_messages_received_total", (("path", "exchange"),))] > 0
    assert after[key] <= health["total_messages_received"] <= latest[key]
    assert value(after, "tickers_total", outcome="new") <= told["new"] <= value(latest, "tickers_total", outcome="new")
    assert value(latest, "refused_frames_total", reason="not_json") == health["refused_frames"]["not_json"]
    assert value(latest, "client_cuts_total", reason="bad_packet") == told["cut_bad_packet"]
    assert value(latest, "gaps_total", cause="disconnect") == told["gaps_disconnect"]
    assert value(latest, "trades_fetched_total") == told["fetched"]


def test_gauges_say_what_health_says(troubled: HubProcess) -> None:
    troubled.wait_until_covered()
    found = {sample.name: sample for family in scrape(troubled) for sample in family.samples}
    states = {
        sample.labels["pricehub_health_status"]: sample.value
        for family in scrape(troubled) if family.name == "pricehub_health_status"
        for sample in family.samples
    }  # fmt: skip
    health = troubled.health()
    assert {state for state, is_so in states.items() if is_so} == {health["status"]}
    assert found["pricehub_simulated"].value == 1
    assert found["pricehub_coverage_ratio"].value == 1
    assert found["pricehub_active_products"].value == health["active_products"]
    assert found["pricehub_clients_limit"].value == 5000
    assert found["pricehub_product_list_timestamp_seconds"].value == pytest.approx(
        found["process_start_time_seconds"].value, abs=120
    )
    assert found["pricehub_build_info"].labels == {"version": metrics.__version__}


def test_promtool_finds_nothing_wrong(troubled: HubProcess) -> None:
    promtool = need("promtool", "the check of /metrics")
    text = troubled.get("/metrics").text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_labels_take_few_values_and_no_product_is_one(troubled: HubProcess) -> None:
    samples = [sample for family in scrape(troubled) for sample in family.samples if sample.name.startswith("pricehub")]
    for sample in samples:
        for label, word in sample.labels.items():
            assert word in LABELS[label], sample
    assert len(samples) < 400


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics"])
def test_prometheus_gets_the_format_that_it_asks_for(troubled: HubProcess, path: str) -> None:
    plain = troubled.get(path)
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["Cache-Control"] == "no-store"
    asked = troubled.get(path, headers={"Accept": OPENMETRICS})
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert "Accept" in asked.headers["Vary"]
    names = {family.name for family in parse_openmetrics(asked.text)}
    assert "pricehub_tickers" in names
    assert len(names) == len(list(parse(plain.text)))


@pytest.mark.parametrize(
    "accept", ["text/plain;version=x", "application/openmetrics-text;version=1.é", "text/plain; version", ";;,"]
)
def test_an_accept_that_makes_no_sense_gets_the_plain_format(troubled: HubProcess, accept: str) -> None:
    answer = troubled.get("/metrics", headers={"Accept": accept.encode()})
    assert answer.status_code == 200
    assert "pricehub_simulated" in answer.text


def test_the_token_of_the_other_reads_is_asked_for(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], API_TOKENS="a-token-of-a-reader")
    for path in ("/metrics", "/api/metrics"):
        assert hub.get(path).status_code == 401
        assert hub.get(path, headers={"Authorization": "Bearer a-token-of-a-reader"}).status_code == 200


def test_the_example_in_the_protocol_is_part_of_an_answer(troubled: HubProcess) -> None:
    section = (ROOT / "docs" / "protocol.md").read_text().partition("### `GET /metrics`\n")[2]
    example = section.partition("```text\n")[2].partition("```")[0]
    answer = troubled.get("/metrics").text.splitlines()
    shown = {line if line.startswith("#") else line.rpartition(" ")[0] for line in answer}
    for line in example.splitlines():
        assert (line if line.startswith("#") else line.rpartition(" ")[0]) in shown
