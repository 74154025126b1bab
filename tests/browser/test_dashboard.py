"""The dashboard, as its readers see it: in a browser, on a running hub."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Page
from tests.conftest import HubProcess, eventually

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=window.hacked=1>"


def templates() -> Environment:
    environment = Environment(loader=FileSystemLoader(ROOT / "templates"), autoescape=True, undefined=StrictUndefined)
    environment.globals["url_for"] = lambda _endpoint, filename: f"/static/{filename}"
    return environment


def grouped(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{int(whole):,}.{fraction}"


def prices_sent(hub: HubProcess) -> dict[str, str]:
    """Return product → price, with the digits that are in the JSON."""
    return dict(
        re.findall(r'"crypto":"([^"]+)","price":([0-9.]+)', requests.get(f"{hub.url}/tickers", timeout=10).text)
    )


def test_the_first_paint_needs_no_javascript(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/dashboard", timeout=10)
    page = answer.text
    assert answer.status_code == 200
    assert len(re.findall(r"<tr data-product=", page)) == 326
    assert len(re.findall(r"<tr data-connection=", page)) == 22
    assert re.search(r'<p class="simulated" id="simulated">\s*<strong>SIMULATED PRICES', page)
    assert "of 326 products covered" in page
    price = re.search(r'data-product="BTC-USD".*?<td class="p-price">([^<]+)</td>', page, re.DOTALL)
    assert price
    assert float(price[1].replace(",", "")) > 0
    cells = re.findall(r'<td class="(?:p-price|p-quote wide)">([^<]+)</td>', page)
    assert [cell for cell in cells if not re.fullmatch(r"[0-9,]+\.[0-9]+|–", cell)] == []


def test_the_page_gets_by_with_the_strictest_policy(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/dashboard", timeout=10)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []


def test_no_complaint_reaches_the_console(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    time.sleep(1.5)
    assert page.complaints() == []
    assert page.js("return window.cspViolations") == []
    # and the check can fail: the browser does enforce the policy
    page.js("document.body.setAttribute('style', 'color: red')")
    assert eventually(lambda: page.js("return window.cspViolations"))


def test_it_says_what_the_hub_says(dashboard: Callable[..., Page], hub: HubProcess) -> None:
    page = dashboard()
    assert re.fullmatch("SIMULATED · (Healthy|Warning) · Price Hub", page.driver.title)
    assert page.shown("#simulated")
    assert not page.shown("#lost")
    assert page.text("#simulated").startswith("SIMULATED PRICES")
    assert re.fullmatch(
        r"[\d,]+ of 326 products covered · \d+ of 22 connections up · [\d,]+ messages/s", page.text("#sentence")
    )
    slots = [connection["connection_id"] for connection in hub.get("/connections").json()["connections"]]
    assert page.column("connections", 0) == slots
    assert len(slots) == 22
    assert set(page.column("connections", 1)) == {"connected"}
    assert sorted(page.products()) == sorted(prices_sent(hub))
    assert page.text("#prices-hint") == "326 products"
    eventually(lambda: page.js("return document.querySelector('#spark .line').getAttribute('d')?.includes('L')"))


def test_prices_are_live_and_keep_their_digits(dashboard: Callable[..., Page], hub: HubProcess) -> None:
    page = dashboard()
    script = """
    const rows = [...document.querySelectorAll("#prices tbody tr")];
    return rows.map((row) => [row.dataset.product, row.dataset.price, row.cells[1].textContent]);
    """

    def zeros_kept() -> bool:
        # a price that ends in 0, came after the first paint, and is on the page as it is in the JSON
        sent = prices_sent(hub)
        return any(
            shown == grouped(sent[product]) != grouped(first)
            for product, first, shown in page.js(script)
            if re.search(r"\.\d+0$", sent[product])
        )

    eventually(zeros_kept)
    changed = sum(grouped(first) != shown for _, first, shown in page.js(script))
    assert changed > 10
    assert [shown for *_, shown in page.js(script) if not re.fullmatch(r"[0-9,]+\.[0-9]+", shown)] == []


def test_search(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    body = page.driver.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    search = page.driver.switch_to.active_element
    assert search.get_attribute("id") == "search"
    search.send_keys("btc")
    found = page.products()
    assert "BTC-USD" in found
    assert all("BTC" in product for product in found)
    assert page.text("#prices-hint") == f"{len(found)} of 326 products"
    search.send_keys(" eth")
    assert {"BTC-USD", "ETH-USD"} <= set(page.products())
    search.send_keys(Keys.CONTROL + "a")
    search.send_keys(HOSTILE)
    assert page.products() == []
    assert HOSTILE in page.text("#prices-empty")
    search.send_keys(Keys.ESCAPE)
    assert len(page.products()) == 326
    assert page.driver.switch_to.active_element.tag_name == "body"


def test_sorting(dashboard: Callable[..., Page]) -> None:
    page = dashboard()

    def click(key: str) -> str:
        page.driver.find_element(By.CSS_SELECTOR, f'#prices th[data-key="{key}"] button').click()
        headers = 'return [...document.querySelectorAll("#prices th[aria-sort$=ending]")].map((th) => th.dataset.key)'
        assert page.js(headers) == [key]
        return page.js(f"return document.querySelector('#prices th[data-key={key}]').getAttribute('aria-sort')")

    volumes = 'return document.querySelector("#prices th[data-key=volume]").getAttribute("aria-sort")'
    assert page.js(volumes) == "descending"
    assert click("product") == "ascending"
    assert page.products() == sorted(page.products())
    assert click("product") == "descending"
    assert page.products() == sorted(page.products(), reverse=True)
    # clicked and read in one go: no tick can come between
    script = """
    document.querySelector("#prices th[data-key=change] button").click();
    return [...document.querySelectorAll("#prices td.p-change")].map((cell) => cell.textContent);
    """
    shown = [float(text.replace("−", "-").rstrip("%")) for text in page.js(script) if text != "–"]
    assert all(earlier >= later for earlier, later in pairwise(shown))
    assert shown[0] > 0 > shown[-1]


def test_text_from_outside_is_never_html(dashboard: Callable[..., Page]) -> None:
    page = dashboard("""
    const parse = JSON.parse;
    const hostile = "<img src=x onerror=window.hacked=1>";
    JSON.parse = (text, reviver) => parse(String(text)
      .replaceAll('"crypto":"BTC-USD"', `"crypto":"${hostile}"`)
      .replaceAll('"last_cause":null', `"last_cause":"${hostile}"`)
      .replaceAll('"reasons":[]', `"reasons":["${hostile}"]`)
      .replaceAll('"status":"connected"', `"status":"${hostile}"`), reviver);
    """)
    eventually(lambda: HOSTILE in page.products() and page.text("#reasons") == HOSTILE)
    assert HOSTILE in page.column("connections", 1)
    assert f"– · {HOSTILE}" in page.column("connections", 5)
    assert page.js("return [document.images.length, window.hacked ?? 0]") == [0, 0]


def test_the_template_escapes() -> None:
    price = {
        "crypto": HOSTILE, "price": "1.0", "bid": "1.0", "ask": "1.0", "volume_24h": "1.0", "price_24h": "1.0",
        "price_change_percent_24h": 0.0, "trade_id": 1, "age_seconds": 0.0,
    }  # fmt: skip
    connection = {
        "connection_id": HOSTILE, "status": HOSTILE, "products_count": 1, "last_message": None, "reconnects": 1,
        "last_cause": HOSTILE, "messages_per_second": 0.0,
    }  # fmt: skip
    health = {
        "status": HOSTILE, "total_connections": 1, "connected_connections": 1, "total_products": 1,
        "active_products": 1, "coverage_percentage": 100.0, "total_errors": 0, "simulated": False,
        "version": HOSTILE, "reasons": [HOSTILE], "last_updated": HOSTILE,
    }  # fmt: skip
    html = templates().get_template("dashboard.html").render(
        health=health, prices=[price],
        connections={"total_connections": 1, "connected": 1, "connections": [connection]},
    )  # fmt: skip
    assert "<img" not in html
    assert html.count("&lt;img") >= 6
    assert re.search(r'id="simulated" hidden', html)


def test_a_marked_price_alone_turns_the_banner_on(dashboard: Callable[..., Page]) -> None:
    page = dashboard("""
    const parse = JSON.parse;
    JSON.parse = (text, reviver) => {
      const value = parse(text, reviver);
      if (value && "coverage_percentage" in value) value.simulated = false;
      return value;
    };
    """)
    time.sleep(1.5)
    assert page.shown("#simulated")
    assert page.driver.title.startswith("SIMULATED")


def test_real_prices_bear_no_banner(dashboard: Callable[..., Page]) -> None:
    page = dashboard("""
    const parse = JSON.parse;
    JSON.parse = (text, reviver) => parse(String(text)
      .replaceAll(',"simulated":true', '').replace('"messages_per_second"', '"simulated":false,"messages_per_second"'),
      reviver);
    """)
    eventually(lambda: not page.shown("#simulated") and not page.driver.title.startswith("SIMULATED"))
    assert page.js("return document.querySelectorAll('#prices abbr').length") == 0


def test_a_phone_needs_no_sideways_scrolling(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.size(390, 844, mobile=True)
    assert page.js("return document.documentElement.scrollWidth") <= 390
    assert page.shown("#prices td.p-price")
    assert page.shown("#connections td.c-status")


def test_server_and_browser_write_numbers_alike(dashboard: Callable[..., Page]) -> None:
    module = templates().get_template("format.html").module
    cases = [
        *(("plain", value) for value in (0.00001234, 1.5e-7, 123456789.25, 5, 1e21, 0.1)),
        *(("exact", value) for value in ("133.630", "1234567.8900", "0.00001234", "90200", "0", "0.0")),
        *(("percent", value) for value in (100, 99.99, 99.4, 0, 50)),
        *(("compact", value) for value in (0, 999.5, 1234, 5.5e6, 7.25e9, 1.5e12)),
        *(("duration", value) for value in (0, 59.9, 60, 3600, 90061)),
        *(("age", value) for value in (0, 119.9, 120, 7200, 172800)),
        *(("count", value) for value in (0, 1812.4, 1234567)),
    ]
    script = """
    const [cases, done] = arguments;
    import("/static/js/format.js").then((format) => done(cases.map(([name, value]) => format[name](value))));
    """
    in_browser = dashboard().driver.execute_async_script(script, cases)
    in_template = [str(getattr(module, name)(value)).strip() for name, value in cases]
    differing = [
        (*case, ours, theirs)
        for case, ours, theirs in zip(cases, in_template, in_browser, strict=True)
        if ours != theirs and case != ("plain", 1e21)
    ]
    assert differing == []


def test_what_the_exchange_halts_or_delists_bears_a_mark(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "30"], CATALOGUE_REFRESH_SECONDS="1")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    script = """
    return [...document.querySelectorAll("#prices abbr.halted, #prices abbr.delisted")]
      .map((mark) => [mark.closest("tr").dataset.product, mark.textContent, mark.title]).sort();
    """
    assert page.js(script) == []
    assert hub.simulator is not None
    for product, status in (("BTC-USD", "offline"), ("ETH-USD", "delisted")):
        hub.simulator.control("fault", {"kind": "status", "product": product, "status": status})
    live = [
        ["BTC-USD", "HALTED", "Halted by the exchange: the exchange says status=offline"],
        ["ETH-USD", "DELISTED", "Delisted by the exchange: the exchange says status=delisted"],
    ]
    eventually(lambda: page.js(script) == live)
    eventually(lambda: " · 1 halted · 1 delisted · 2 of 2 connections up" in page.text("#sentence"))
    eventually(lambda: page.js("return document.querySelector('tr[data-product=BTC-USD]').className") == "quiet")
    assert len(page.products()) == 30
    page.open(hub.url)  # and one who comes later, from the first paint on
    painted = [[product, text, title.partition(":")[0]] for product, text, title in live]
    assert page.js(script) == painted
    page.wait_until_live()
    assert " · 1 halted · 1 delisted · " in page.text("#sentence")
    assert page.js("return document.querySelectorAll('tr[data-product=BTC-USD] abbr').length") == 2  # and SIM
    hub.simulator.control("clear", {})
    eventually(lambda: page.js(script) == [])
    eventually(lambda: "halted" not in page.text("#sentence"))


def test_a_product_that_leaves_leaves_the_table(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "10"], CATALOGUE_REFRESH_SECONDS="1", DELISTED_KEEP_SECONDS="0")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "list", "products": ["NEW-USD"]})
    hub.simulator.control("fault", {"kind": "delist", "products": ["ETH-USD"]})
    eventually(lambda: "NEW-USD" in page.products() and "ETH-USD" not in page.products())
    assert len(page.products()) == 10


def test_trouble_is_shown_while_it_lasts(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None

    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: all(re.match(r"[1-9]\d* · .", text) for text in page.column("connections", 5)))
    eventually(lambda: page.column("connections", 1) == ["connected", "connected"])

    hub.simulator.stop()
    eventually(lambda: "0 of 2 connections up" in page.text("#sentence"), 30)
    assert page.text("#verdict-word") in ("Critical", "Starting")  # in its first minute the hub calls it starting
    assert "connected" not in page.column("connections", 1)
    assert page.text("#reasons")
    assert page.text("#link-text").startswith("live")  # the page's own link is not what broke

    port = hub.port
    hub.stop()
    eventually(lambda: "reconnecting" in page.text("#link-text"))
    eventually(lambda: page.text("#verdict-word") == "Unknown")
    assert re.search(r"showing data of \d+ s ago", page.text("#lost"))
    assert page.shown("#lost")
    assert len(page.products()) == 30

    hub_factory(arguments=["--port", str(port)], TOP_USD_PAIRS="30")
    page.wait_until_live(30)
    eventually(lambda: page.text("#verdict-word") == "Healthy", 30)
    assert not page.shown("#lost")
