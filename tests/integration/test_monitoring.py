"""Rules, scrape config and dashboard in ``docker/``: checked by promtool, and held against a real hub's metrics."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, HubProcess, eventually, need

PROMETHEUS = ROOT / "docker" / "prometheus"
GRAFANA = ROOT / "docker" / "grafana"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
ROWS = (
    "Can prices be trusted?", "Connections", "Flow", "Latency", "Clients", "Gaps and repair", "Process",
)  # fmt: skip
OF_PROMETHEUS = {"up", "ALERTS"}


def promtool(*arguments: str | Path) -> str:
    """Run it in the folder of its files; return what it says where all is well."""
    command = [need("promtool", "the check of rules and dashboard"), *map(str, arguments)]
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions(node: Any) -> Iterator[str]:
    """Yield each PromQL expression of the dashboard, with Grafana's variables set."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "expr":
                yield value.replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression names: words that are no label, function or text."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on) ?\([^)]*\)', " ", expression)
    words = re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", bare)
    return set(words) - {"and", "or", "unless", "by", "without"}


def test_the_expressions_are_taken_apart() -> None:
    assert metrics_of('sum without (a) (increase(x_total{b!="c d"}[5m])) / y > 0.1 and time() - z > 2') == {
        "x_total", "y", "z",
    }  # fmt: skip


def test_promtool_accepts_the_rules_and_the_config() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "rules.yml")
    promtool("check", "config", "prometheus.yml")


def test_every_rule_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")
    tested = set(re.findall(r'alertname="(\w+)"', (PROMETHEUS / "rules_test.yml").read_text()))
    assert tested == {rule["alert"] for rule in RULES}


def test_every_rule_says_what_it_is_and_where_to_read_on() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}  # as GitHub makes them
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, rule["alert"]
        assert f"`{rule['alert']}`" in text, "it is missing in the table of alerts"


def test_the_dashboards_expressions_can_be_parsed(tmp_path: Path) -> None:
    found = list(expressions(DASHBOARD))
    assert len(found) > 40
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(found)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(found)} rules found" in promtool("check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize("where", ["rules", "dashboard", "operations.md"])
def test_every_metric_that_is_named_is_one_of_a_real_hub(hub: HubProcess, where: str) -> None:
    there = {
        sample.name
        for family in text_string_to_metric_families(hub.get("/metrics").text) for sample in family.samples
    }  # fmt: skip
    named = {
        "rules": {name for rule in RULES for name in metrics_of(rule["expr"])},
        "dashboard": {name for expression in expressions(DASHBOARD) for name in metrics_of(expression)},
        "operations.md": set(re.findall(r"\b(?:pricehub|process)_\w+", (ROOT / "docs/operations.md").read_text())),
    }[where]
    assert len(named) > 10
    if where == "operations.md":  # people call a histogram by its name
        there |= {name.removesuffix("_bucket") for name in there}
    assert named - there <= OF_PROMETHEUS


def test_the_dashboard_has_its_rows_and_no_id_twice() -> None:
    panels = DASHBOARD["panels"]
    assert tuple(panel["title"] for panel in panels if panel["type"] == "row") == ROWS
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
        x, y, width, height = (panel["gridPos"][name] for name in "xywh")
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert not cells & taken, panel["title"]
        assert x + width <= 24
        taken |= cells


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/price-hub.yml").read_text())["providers"]
    assert provider["type"] == "file"
    sources = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert sources == {"${datasource}"}  # whichever it is called where it is imported


def ask(url: str, expression: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers to an expression."""
    answer = requests.get(f"{url}/api/v1/query", params={"query": expression}, timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["result"]


@pytest.fixture
def scraped(tmp_path: Path, hub_factory: Callable[..., HubProcess]) -> Iterator[str]:
    """The real Prometheus, with the config and the rules that are shipped, on a hub that wants a token; its URL."""
    program = need("prometheus", "the scrape of a hub")
    hub = hub_factory(simulator=["--products", "20"], API_TOKENS="a-token-of-the-scraper")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    (tmp_path / "token").write_text("a-token-of-the-scraper\n")
    (job,) = config["scrape_configs"]
    job["static_configs"][0]["targets"] = [f"127.0.0.1:{hub.port}"]
    job["authorization"] = {"credentials_file": str(tmp_path / "token")}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        listening = lambda: re.search(r"Listening on\" address=(\S+)", (tmp_path / "log").read_text())  # noqa: E731
        url = f"http://{eventually(listening, 20)[1]}"
        eventually(lambda: requests.get(f"{url}/-/ready", timeout=5).ok, 20)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def test_prometheus_scrapes_a_hub_and_evaluates_everything(scraped: str) -> None:
    eventually(lambda: ask(scraped, 'up{job="price-hub"} == 1'), 15)
    eventually(lambda: ask(scraped, 'ALERTS{alertname="PriceHubSimulatedPrices", alertstate="firing"}'), 15)
    eventually(lambda: ask(scraped, "rate(pricehub_tickers_total[10s]) > 0"), 15)
    for expression in expressions(DASHBOARD):
        ask(scraped, expression)
    (group,) = requests.get(f"{scraped}/api/v1/rules", timeout=5).json()["data"]["groups"]
    assert {(rule["health"], rule.get("lastError")) for rule in group["rules"]} == {("ok", None)}
    assert ask(scraped, 'scrape_samples_scraped{job="price-hub"} < 500')
