"""What was, on the dashboard: plots, annotations, the timeline, alerts, and the commands that get the same."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import AXE, Page
from tests.conftest import HubProcess, eventually, need

pytestmark = pytest.mark.browser

TOKEN = "0123456789abcdef"
HOSTILE = "<img src=x onerror=window.hacked=1>"
NOTE_COPIES = """
window.copied = [];
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied.push(text); } } });
"""


def look_at(page: Page, selector: str) -> None:
    page.js("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", selector)


def readout(page: Page) -> dict[str, str]:
    """Return label → value beside the plots; a label that comes twice is there with its last value."""
    script = """
    return [...document.querySelectorAll("#plots .key")].map((key) => {
      const value = key.querySelector("b").textContent;
      return [key.textContent.slice(0, -value.length).trim(), value];
    });
    """
    return dict(page.js(script))


def plots(page: Page) -> int:
    script = "return [...document.querySelectorAll('#plots canvas')].filter((one) => one.checkVisibility()).length"
    return page.js(script)


def asked(page: Page) -> list[str]:
    """Return which history was asked for, oldest first."""
    script = """
    return performance.getEntriesByType("resource").map((entry) => entry.name.split("/history?")[1]).filter(Boolean);
    """
    return page.js(script)


def rows(page: Page, selector: str) -> list[str]:
    return page.js("return [...document.querySelectorAll(arguments[0])].map((row) => row.textContent)", selector)


@pytest.fixture
def charts(dashboard: Callable[..., Page]) -> Callable[..., Page]:
    """Open the shared hub's dashboard, and wait until its plots have something to show."""

    def start(before: str = "") -> Page:
        page = dashboard(before)
        look_at(page, "#charts")
        eventually(lambda: plots(page) == 3 and readout(page)["messages"] != "–")
        return page

    return start


def test_history_shows_and_goes_on(charts: Callable[..., Page]) -> None:
    page = charts()
    assert re.fullmatch(r"[\d,]+/s", readout(page)["messages"])
    eventually(lambda: readout(page)["connections up"] == "22")
    eventually(lambda: re.fullmatch(r"[\d.]+ m?s", readout(page)["to hub p50"]))
    queries = eventually(lambda: (found := asked(page)) and "since" in found[-1] and found)
    assert queries[0] == "range=5m"  # all of it, until there is something to go on from: then only what is new
    assert all(re.fullmatch(r"range=5m(&since=\d+)?", query) for query in queries)
    assert page.js("return document.querySelector('#plots').getAttribute('aria-label')")
    assert "Messages a second: " in page.js("return document.querySelector('#plots-summary').textContent")


def test_the_range_is_in_the_url(charts: Callable[..., Page], hub: HubProcess) -> None:
    page = charts()
    pressed = "return [...document.querySelectorAll('#range [aria-pressed=true]')].map((one) => one.dataset.range)"
    assert page.js(pressed) == ["5m"]
    page.driver.find_element(By.CSS_SELECTOR, "#range [data-range='1h']").click()
    assert page.js(pressed) == ["1h"]
    assert page.js("return location.hash") == "#range=1h"
    eventually(lambda: "range=1h" in asked(page))
    page.driver.find_element(By.ID, "pause").click()  # what is chosen now is shown all the same, and asked for once
    page.js("performance.clearResourceTimings()")
    page.driver.find_element(By.CSS_SELECTOR, "#range [data-range='5m']").click()
    eventually(lambda: asked(page) == ["range=5m"])
    time.sleep(2.5)
    assert asked(page) == ["range=5m"]
    page.open(hub.url, fragment="range=24h")
    page.wait_until_live()
    look_at(page, "#charts")
    assert page.js(pressed) == ["24h"]
    eventually(lambda: asked(page)[:1] == ["range=24h"])
    eventually(lambda: "The last 24 hours." in page.js("return document.querySelector('#plots-summary').textContent"))
    page.open(hub.url, fragment="range=nonsense")
    page.wait_until_live()
    assert page.js(pressed) == ["5m"]


def at_crosshair(page: Page, hub: HubProcess) -> dict[str, Any]:
    """Return what the hub says of the moment at the crosshair."""
    shown = page.text("#charts-hint").removeprefix("at ")
    body = hub.get("/history?range=5m").json()
    clocks = [time.strftime("%H:%M:%S", time.localtime(at)) for at in body["times"]]
    return {name: values[clocks.index(shown)] for name, values in body["series"].items()}


def test_the_plots_share_one_crosshair(charts: Callable[..., Page], hub: HubProcess) -> None:
    page = charts()
    eventually(lambda: len(hub.get("/history?range=5m").json()["times"]) > 12)
    over = page.driver.find_elements(By.CSS_SELECTOR, "#plots .u-over")[1]
    places = """
    return [...document.querySelectorAll("#plots .u-cursor-x")].map((line) => line.style.transform);
    """
    ActionChains(page.driver).move_to_element_with_offset(over, over.size["width"] // 2 - 12, 0).perform()
    eventually(lambda: re.fullmatch(r"at \d\d:\d\d:\d\d", page.text("#charts-hint")))
    assert len(page.js(places)) == 3
    assert len(set(page.js(places))) == 1
    page.driver.find_element(By.ID, "pause").click()  # from here on nothing moves by itself
    page.driver.find_element(By.ID, "plots").send_keys(Keys.END, Keys.ARROW_LEFT * 4)
    said = at_crosshair(page, hub)
    assert readout(page)["messages"] == f"{math.floor(said['messages_per_second'] + 0.5):,}/s"
    assert readout(page)["connections up"] == str(said["connected"])
    before = page.text("#charts-hint")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert page.text("#charts-hint") < before
    heard = page.js("return document.querySelector('#charts [aria-live=polite]').textContent")
    assert heard.startswith(page.text("#charts-hint").removeprefix("at ") + ": ")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert page.text("#charts-hint") == ""


def test_the_plots_follow_light_and_dark_and_the_panel(charts: Callable[..., Page]) -> None:
    page = charts()
    script = """
    const [wanted] = arguments;
    const canvas = document.querySelector("#plots canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) found += [data[i], data[i + 1], data[i + 2]].join() === wanted;
    return found;
    """
    light, dark = "28,95,180", "116,174,252"  # --c-one
    eventually(lambda: page.js(script, light) > 0)
    assert page.js(script, dark) == 0
    page.dark()
    eventually(lambda: page.js(script, dark) > 0 and page.js(script, light) == 0)
    width = "return document.querySelector('#plots canvas').getBoundingClientRect().width"
    narrow = page.js(width)
    page.size(2560, 1300)
    eventually(lambda: page.js(width) > narrow + 100)
    page.size(390, 844, mobile=True)
    eventually(lambda: page.js(width) <= 390)


def test_the_waterfall_says_where_the_time_goes(charts: Callable[..., Page]) -> None:
    page = charts()
    stages = "#waterfall li"
    eventually(lambda: all(re.search(r"\d (ms|s|min)", text) for text in rows(page, stages)), 20)
    assert "two clocks" in rows(page, stages)[0]
    assert re.search(r"p99 [\d.]+ m?s", rows(page, stages)[0])
    assert "½ round trip" in rows(page, stages)[2]
    assert re.fullmatch(r"About [\d.]+ m?s from the exchange to this page", page.text("#waterfall .total"))


def test_a_killed_connection_is_annotated_and_told(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    look_at(page, "#charts")
    assert hub.simulator is not None
    eventually(lambda: plots(page) == 3)
    time.sleep(3)  # its first connecting is a marker of its own, some pixels away
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    lost = eventually(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".annotation[data-kind=lost]"), 15)[0]
    page.js("arguments[0].focus()", lost)
    assert page.shown("#charts .tip")
    assert re.search(r"\d\d:\d\d:\d\d .*conn_00[01]", page.text("#charts .tip"))
    label = page.js("return document.activeElement.getAttribute('aria-label')")
    assert re.search(r"lost, \d\d:\d\d:\d\d: .*conn_00[01]", label)
    look_at(page, "#timeline")
    eventually(lambda: any("conn_000" in text for text in rows(page, "#timeline-list [data-kind=lost]")), 15)
    healed = "#timeline-list [data-kind=gap][data-open=false]"
    eventually(lambda: any("conn_000 brought nothing: connected again" in text for text in rows(page, healed)), 20)
    page.driver.find_element(By.CSS_SELECTOR, "#timeline-list [data-kind=lost] button.subject").click()
    assert re.search(r"open=conn_00[01]", page.js("return location.hash"))


@pytest.mark.long
def test_a_gap_heals_on_the_screen(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    look_at(page, "#charts")
    eventually(lambda: plots(page) == 3)
    look_at(page, "#timeline")
    assert hub.simulator is not None
    eventually(lambda: page.text("#timeline-hint").startswith("Nothing missed since "), 30)
    hub.simulator.control("fault", {"kind": "rest", "endpoint": "both", "status": 503, "seconds": 60})
    hub.simulator.control("fault", {"kind": "drop", "endpoint": "both", "product": "BTC-USD", "count": 3})
    row = "#timeline-list [data-kind=gap][data-open=true]"
    eventually(lambda: any(text.count("BTC-USD") for text in rows(page, row)))
    assert re.fullmatch(r"\d+ open", page.text("#timeline-hint"))
    page.js("window.gap = document.querySelector(arguments[0])", row)
    length = "return window.gap.querySelector('.length').textContent"
    before = page.js(length)
    eventually(lambda: page.js(length) not in (before, ""))  # it grows
    assert page.js(length).startswith("open ")
    if AXE.is_dir():
        look_at(page, "#timeline")  # with an open gap, and its annotations above
        assert [found for found in page.violations() if found[1] in ("serious", "critical")] == []
        page.dark()
        assert [found for found in page.violations() if found[1] in ("serious", "critical")] == []
    hub.simulator.control(
        "fault", {"kind": "rest", "endpoint": "both", "status": 200, "delay_seconds": 0.01, "seconds": 0.01}
    )
    # the same row says how it ended: it is kept in place
    eventually(lambda: page.js("return window.gap.isConnected && window.gap.dataset.open") == "false", 60)
    assert re.search("fetched by REST|came late", page.js("return window.gap.textContent"))
    assert re.fullmatch(r"[\d.]+ m?s", page.js(length))


def test_the_filter_applies_to_the_timeline(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    look_at(page, "#timeline")
    eventually(lambda: len(rows(page, "#timeline-list li")) > 20)
    noted = "return document.querySelectorAll('.lane :is([data-tone=info], [data-tone=warn], [data-tone=bad])').length"
    assert page.js(noted) > 0
    page.driver.find_element(By.ID, "search").send_keys("conn_007")
    eventually(lambda: all("conn_007" in text for text in rows(page, "#timeline-list li")))
    assert rows(page, "#timeline-list li")
    page.driver.find_element(By.ID, "search").send_keys("nothing-like-it")
    eventually(lambda: rows(page, "#timeline-list li") == [])
    assert page.text("#timeline .empty") == "Nothing that the filter lets through."
    eventually(lambda: page.js(noted) == 0)
    look_at(page, "#charts")
    eventually(lambda: plots(page) == 3 and rows(page, ".annotation") == [])
    page.js("location.hash = ''")
    eventually(lambda: rows(page, ".annotation"))


def test_alerts_are_listed_and_stay_text(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30", ADMIN_TOKEN=TOKEN)
    hub.wait_until_covered()
    page.open(hub.url, """
    const parse = JSON.parse;
    JSON.parse = (text, reviver) => parse(
      String(text).replaceAll("ETH-USD", "<img src=x onerror=window.hacked=1>"), reviver);
    """)
    page.wait_until_live()
    look_at(page, "#alerts")
    eventually(lambda: "No alert yet" in page.text("#alerts .empty"))
    alert = {"crypto": "BTC-USD", "current_vol": 420.0, "avg_vol": 100.0, "threshold": 1.5}
    script = """
    const [bodies, done] = arguments;
    const send = (body) => fetch("/alert", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    send(bodies[0]).then(() => send(bodies[1])).then((answer) => done(answer.status));
    """
    assert page.driver.execute_async_script(script, [alert, {**alert, "crypto": "ETH-USD"}]) == 200
    eventually(lambda: len(rows(page, "#alerts-list li")) == 2)
    first, second = rows(page, "#alerts-list li")
    assert HOSTILE in first
    assert re.search(r"BTC-USD volume 420\.00, usually 100\.00\s*4\.2×", second)
    look_at(page, "#timeline")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.post(f"{hub.url}/price/ETH-USD/resubscribe", headers=bearer, timeout=5).status_code == 202
    eventually(lambda: any(HOSTILE in text for text in rows(page, "#timeline-list [data-kind=action]")))
    assert rows(page, "#timeline-list [data-kind=alert]") == []  # they have a panel of their own
    assert page.js("return [document.images.length, window.hacked ?? 0]") == [0, 0]
    look_at(page, "#alerts")
    page.driver.find_elements(By.CSS_SELECTOR, "#alerts-list .subject")[1].click()
    assert page.js("return location.hash") == "#open=BTC-USD"


@pytest.mark.long
def test_spikes_and_the_hubs_own_alerts_have_their_words(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(
        simulator=["--products", "5", "--rate", "100"], PRICE_SPIKE_PERCENT="0.05", PRICE_SPIKE_MINUTES="0.1"
    )
    hub.wait_until_covered()
    eventually(lambda: hub.health()["status"] == "healthy")
    page.open(hub.url)
    page.wait_until_live()
    look_at(page, "#alerts")
    spike = re.compile(r"-USD (pump|dump)( is over)?, [\d,.]+ → [\d,.]+\s*[+−]\d\.\d%")
    eventually(lambda: any(spike.search(text) for text in rows(page, "#alerts-list [data-kind=price_alert]")), 20)
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "refuse", "status": 503, "seconds": 60})
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    own = "#alerts-list [data-kind=hub_alert][data-tone=bad]"
    eventually(lambda: any("none of 1 connections to the exchange is up" in text for text in rows(page, own)), 20)


def test_curl_copies_commands_that_work(charts: Callable[..., Page]) -> None:
    need("curl", "the test of the copied commands")
    page = charts(NOTE_COPIES)
    page.driver.find_element(By.CSS_SELECTOR, "#range [data-range='1h']").click()
    page.js("location.hash += '&open=BTC-USD'")
    buttons = "[...document.querySelectorAll('.curl')]"
    names = page.js(f"return {buttons}.map((one) => one.getAttribute('aria-label'))")
    panels = page.js("return document.querySelectorAll('.panel').length")
    assert len(names) == panels + 2 == len(set(names))  # the verdict and the drawer have one, too
    page.js(f"{buttons}.forEach((button) => button.click())")
    eventually(lambda: len(page.js("return window.copied")) == len(names))
    commands = [line for text in page.js("return window.copied") for line in text.splitlines()]
    routes = {re.search("http://[^/]+([^?']+)", command)[1] for command in commands}  # type: ignore[index]
    assert {"/health", "/gaps", "/journal", "/latency", "/sparklines", "/price/BTC-USD/explain"} <= routes
    bodies = [
        json.loads(subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=20).stdout)
        for command in commands
    ]
    assert not any("error" in body for body in bodies)
    history = next(body for command, body in zip(commands, bodies, strict=True) if "/history" in command)
    assert history["range"] == "1h"
