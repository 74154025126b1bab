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
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hub import __version__
from tests import nginx
from tests.browser.conftest import AXE, Page, Relay
from tests.conftest import HubProcess, eventually, need

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=window.hacked=1>"
FIRST_DATA = """
new MutationObserver((_, observer) => {
  const row = document.querySelector("#prices-table tbody tr[data-product] .p-price");
  if (!row?.textContent || !document.querySelector("#connections-table tbody tr[data-connection]")) return;
  window.firstDataMs = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true, characterData: true });
"""


def grouped(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{int(whole):,}.{fraction}"


def prices_sent(hub: HubProcess) -> dict[str, str]:
    """Return product → price, with the digits that are in the JSON."""
    return dict(
        re.findall(r'"crypto":"([^"]+)","price":([0-9.]+)', requests.get(f"{hub.url}/tickers", timeout=10).text)
    )


def pixels(page: Page) -> dict[str, int]:
    """Return how many cells of the map have which colour in their middle."""
    return page.js("""
    const canvas = document.querySelector("#map-canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const counts = {};
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 200) continue;
      const colour = [data[i], data[i + 1], data[i + 2]].join();
      counts[colour] = (counts[colour] ?? 0) + 1;
    }
    return counts;
    """)


def test_the_verdict_needs_no_javascript(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/dashboard", timeout=10)
    page = answer.text
    assert answer.status_code == 200
    assert re.search(r'<p class="simulated" id="simulated">\s*<strong>SIMULATED PRICES', page)
    assert re.search(r'<h2 id="verdict-word">(All 326 prices can be trusted|\d+ of 326 prices can.t be trusted)', page)
    assert re.search(r'<p id="sentence">\d+ of 326 live', page)


def test_the_page_gets_by_with_the_strictest_policy(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/dashboard", timeout=10)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []


def test_data_is_on_the_screen_within_a_second(page: Page, hub: HubProcess) -> None:
    page.open(hub.url)  # the browser's own start is not the page's
    page.wait_until_live()
    taken = []
    for _ in range(3):
        page.open(hub.url, FIRST_DATA)
        taken.append(eventually(lambda: page.js("return window.firstDataMs")))
        page.wait_until_live()
    assert min(taken) <= 1000, taken  # the machine of a test may be busy: what it can do is what counts


def test_no_complaint_reaches_the_console(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.js("scrollTo(0, document.body.scrollHeight)")  # every panel wakes
    time.sleep(2.5)
    assert page.complaints() == []
    assert page.js("return window.cspViolations") == []
    # and the check can fail: the browser does enforce the policy
    page.js("document.body.setAttribute('style', 'color: red')")
    assert eventually(lambda: page.js("return window.cspViolations"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_no_barrier_is_found(dashboard: Callable[..., Page], dark: bool, width: int) -> None:
    if not AXE.is_dir():
        need("axe-core (run `make test`, which installs it)", "the test of accessibility")
    page = dashboard()
    page.dark(dark)
    page.size(width, 900, mobile=width < 500)
    time.sleep(1.5)
    assert [found for found in page.violations() if found[1] in ("serious", "critical")] == []
    # and the check can fail
    page.js("document.querySelector('#sentence').style.color = getComputedStyle(document.body).backgroundColor")
    assert "color-contrast" in {rule for rule, *_ in page.violations()}


@pytest.mark.parametrize("opened", ["BTC-USD", "conn_000", "NOPE-USD"])
def test_no_barrier_is_found_in_a_drawer(page: Page, hub: HubProcess, opened: str) -> None:
    if not AXE.is_dir():
        need("axe-core (run `make test`, which installs it)", "the test of accessibility")
    page.dark()
    page.open(hub.url, fragment=f"open={opened}")
    page.wait_until_live()
    eventually(lambda: page.shown("#drawer") and opened in page.text("#drawer"))
    page.driver.find_element(By.ID, "pause").click()
    assert [found for found in page.violations() if found[1] in ("serious", "critical")] == []


def test_it_says_what_the_hub_says(dashboard: Callable[..., Page], hub: HubProcess) -> None:
    page = dashboard()
    eventually(lambda: page.text("#verdict-word") == "All 326 prices can be trusted", 20)
    assert re.fullmatch(r"[1-9]\d* of 326 live( · \d+ quiet)?", page.text("#sentence"))
    assert page.driver.title == "SIMULATED · All 326 prices can be trusted · Price Hub"
    assert page.shown("#simulated")
    assert not page.shown("#lost")
    assert page.text("#simulated").startswith("SIMULATED PRICES")
    slots = [connection["connection_id"] for connection in hub.get("/connections").json()["connections"]]
    eventually(lambda: page.column("connections", 0) == slots)
    assert len(slots) == 22
    assert set(page.column("connections", 1)) == {"connected"}
    assert page.total() == 326
    assert set(page.products()) <= set(prices_sent(hub))
    assert page.text("#prices-hint") == "326 products"
    assert re.fullmatch(r"up \d+ (s|min \d+ s)", page.text(".meta"))
    assert page.text("#version") == __version__
    assert eventually(lambda: re.fullmatch(r"live · [\d.]+ ms", page.text("#link-text")))


def test_prices_are_live_and_keep_their_digits(dashboard: Callable[..., Page], hub: HubProcess) -> None:
    page = dashboard()
    script = """
    return [...document.querySelectorAll("#prices-table tbody tr[data-product]")].filter((row) => !row.hidden)
      .map((row) => [row.dataset.product, row.cells[1].textContent]);
    """
    first = dict(page.js(script))

    def zeros_kept() -> bool:
        # a price that ends in 0, came after the first look, and is on the page as it is in the JSON
        sent = prices_sent(hub)
        return any(
            shown == grouped(sent[product]) != first.get(product)
            for product, shown in page.js(script)
            if re.search(r"\.\d+0$", sent[product])
        )

    eventually(zeros_kept)
    assert sum(first.get(product) != shown for product, shown in page.js(script)) > 5
    assert [shown for _, shown in page.js(script) if not re.fullmatch(r"[0-9,]+\.[0-9]+", shown)] == []


def test_only_the_rows_in_sight_exist(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    first = page.products()
    assert 10 < len(first) < 60
    page.js("document.querySelector('#prices-scroll').scrollTop = 1e6")
    eventually(lambda: (last := page.products()) and not set(last) & set(first))
    rows = page.js("return document.querySelectorAll('#prices-table tbody tr').length")
    assert rows < 70
    page.js("document.querySelector('#prices-scroll').scrollTop = 0")
    eventually(lambda: set(page.products()) & set(first))


def test_the_table_stays_where_the_wheel_left_it(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    origin = ScrollOrigin.from_element(page.driver.find_element(By.ID, "prices-scroll"))
    ActionChains(page.driver).scroll_from_origin(origin, 0, 900).perform()
    place = "return document.querySelector('#prices-scroll').scrollTop"
    eventually(lambda: page.js(place))
    time.sleep(0.5)
    left = page.js(place)
    time.sleep(1.5)
    assert page.js(place) == left
    assert 0 < left <= 900
    focused = "return document.activeElement.textContent"
    buttons = "document.querySelectorAll('#prices-table tbody:last-of-type button')"
    page.js(f"[...{buttons}].at(-3).focus({{ preventScroll: true }})")
    product = page.js(focused)
    ActionChains(page.driver).scroll_from_origin(origin, 0, 60).perform()
    time.sleep(2.5)  # and the table is sorted anew every two seconds
    assert page.js(focused) == product


def test_the_filter_is_for_everything(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    search = page.driver.switch_to.active_element
    assert search.get_attribute("id") == "search"
    full = sum(pixels(page).values())
    search.send_keys("btc")
    eventually(lambda: (found := page.products()) and all("BTC" in product for product in found))
    assert "BTC-USD" in page.products()
    assert page.text("#prices-hint") == f"{page.total()} of 326 products"
    eventually(lambda: sum(pixels(page).values()) < full / 2)  # the map dims what does not match
    assert page.driver.current_url.endswith("#q=btc")
    search.send_keys(" eth")
    eventually(lambda: {"BTC-USD", "ETH-USD"} <= set(page.products()))
    search.send_keys(Keys.CONTROL + "a")
    search.send_keys("conn_003")
    eventually(lambda: page.column("connections", 0) == ["conn_003"])
    eventually(lambda: page.total() == 15)
    search.send_keys(Keys.CONTROL + "a")
    search.send_keys(HOSTILE)
    eventually(lambda: page.products() == [])
    assert HOSTILE in page.text("#prices-empty")
    search.send_keys(Keys.ESCAPE)
    eventually(lambda: page.total() == 326)
    assert page.driver.switch_to.active_element.tag_name == "body"
    assert "#" not in page.driver.current_url


def test_sorting(dashboard: Callable[..., Page]) -> None:
    page = dashboard()

    def click(key: str) -> str:
        page.driver.find_element(By.CSS_SELECTOR, f'#prices-table th[data-key="{key}"] button').click()
        headers = "return [...document.querySelectorAll('th[aria-sort$=ending]')].map((th) => th.dataset.key)"
        assert page.js(headers) == [key]
        return page.js(f"return document.querySelector('#prices-table th[data-key={key}]').getAttribute('aria-sort')")

    volumes = 'return document.querySelector("#prices-table th[data-key=volume]").getAttribute("aria-sort")'
    assert page.js(volumes) == "descending"
    assert click("product") == "ascending"
    eventually(lambda: page.products()[0] < "B" and page.products() == sorted(page.products()))
    assert click("product") == "descending"
    eventually(lambda: page.products() == sorted(page.products(), reverse=True))
    page.driver.find_element(By.ID, "pause").click()  # no tick comes between the sorting and the look at it
    assert click("change") == "descending"
    assert page.driver.current_url.endswith("#sort=-change")
    time.sleep(0.5)
    shown = [float(text.replace("−", "-").rstrip("%")) for text in page.column("prices", 2) if text != "–"]
    assert shown[0] > 0
    assert all(earlier >= later for earlier, later in pairwise(shown))


def test_a_view_can_be_sent(page: Page, hub: HubProcess) -> None:
    page.open(hub.url, fragment="q=eth&sort=-change&range=1h")
    page.wait_until_live()
    assert page.js("return document.querySelector('#search').value") == "eth"
    eventually(lambda: page.products() and all("ETH" in product for product in page.products()))
    assert page.js("return document.querySelector('th[data-key=change]').getAttribute('aria-sort')") == "descending"
    assert page.js("return document.querySelector('[data-range=\"1h\"]').getAttribute('aria-pressed')") == "true"


def test_pause_freezes_the_panels_and_not_the_verdict(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.driver.find_element(By.ID, "pause").click()
    assert page.shown("#paused")
    time.sleep(0.3)
    prices, ages, uptime = page.column("prices", 1), page.column("prices", 7), page.text("#uptime")
    time.sleep(2.5)
    assert page.column("prices", 1) == prices
    assert page.column("prices", 7) == ages
    assert page.text("#uptime") != uptime
    assert re.match(r"Paused \d+ s ago", page.text("#paused"))
    page.driver.find_element(By.TAG_NAME, "body").send_keys("p")
    assert not page.shown("#paused")
    eventually(lambda: page.column("prices", 1) != prices)


def test_the_map_is_for_the_keyboard_too(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    canvas = page.driver.find_element(By.ID, "map-canvas")
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = page.text("#map-said")
    assert re.match(r"[A-Z0-9]+-[A-Z]+, [\d,]+\.\d+, (live|quiet)", first)
    assert page.shown("#map-tip")
    assert page.text("#map-tip").startswith(first.split(",")[0])
    canvas.send_keys(Keys.ARROW_DOWN)
    assert page.text("#map-said") != first
    product = page.text("#map-said").split(",")[0]
    canvas.send_keys(Keys.ENTER)
    eventually(lambda: page.shown("#drawer") and product in page.text("#drawer"))
    assert f"open={product}" in page.driver.current_url
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    eventually(lambda: not page.shown("#drawer"))
    ActionChains(page.driver).move_to_element_with_offset(canvas, 3 - canvas.size["width"] // 2, 0).perform()
    eventually(lambda: page.shown("#map-tip"))


def test_light_and_dark_follow_the_system(dashboard: Callable[..., Page]) -> None:
    page = dashboard()

    def brightness() -> int:
        colour = page.js("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    light, cells = brightness(), pixels(page)
    page.dark()
    eventually(lambda: brightness() < light / 4)
    eventually(lambda: set(pixels(page)) - set(cells))


def test_text_from_outside_is_never_html(dashboard: Callable[..., Page]) -> None:
    page = dashboard("""
    const parse = JSON.parse;
    const hostile = "<img src=x onerror=window.hacked=1>";
    JSON.parse = (text, reviver) => parse(String(text)
      .replaceAll('"BTC-USD"', `"${hostile}"`)
      .replaceAll('"last_cause":null', `"last_cause":"${hostile}"`)
      .replaceAll('"reconnects":0', '"reconnects":1')
      .replaceAll('"reasons":[]', `"reasons":["${hostile}"]`)
      .replaceAll('"status":"connected"', `"status":"${hostile}"`), reviver);
    """)
    eventually(lambda: HOSTILE in page.products() and page.text("#reasons") == HOSTILE)
    eventually(lambda: HOSTILE in page.column("connections", 1))
    assert any(HOSTILE in text for text in page.column("connections", 7))
    page.js("location.hash = 'open=' + encodeURIComponent('<img src=x onerror=window.hacked=1>')")
    eventually(lambda: page.shown("#drawer"))
    page.js("scrollTo(0, document.body.scrollHeight)")
    time.sleep(1)
    assert page.js("return [document.images.length, window.hacked ?? 0]") == [0, 0]


def test_the_template_escapes() -> None:
    environment = Environment(loader=FileSystemLoader(ROOT / "templates"), autoescape=True, undefined=StrictUndefined)
    environment.globals["url_for"] = lambda _endpoint, filename: f"/static/{filename}"
    health = {
        "status": HOSTILE, "headline": HOSTILE, "summary": HOSTILE, "untrusted_products": 0, "open_gaps": 0,
        "clients": 1, "connected_connections": 1, "total_connections": 1, "messages_per_second": 1.0,
        "simulated": False, "reasons": [HOSTILE], "last_updated": HOSTILE,
    }  # fmt: skip
    html = environment.get_template("dashboard.html").render(health=health, version=HOSTILE, modules=[])
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
    JSON.parse = (text, reviver) => parse(String(text).replaceAll('"simulated":true', '"simulated":false'), reviver);
    """)
    eventually(lambda: not page.shown("#simulated") and not page.driver.title.startswith("SIMULATED"))
    time.sleep(1.5)
    assert not page.shown("#simulated")


@pytest.mark.parametrize("width", [390, 1440, 2560])
def test_no_width_needs_sideways_scrolling(dashboard: Callable[..., Page], width: int) -> None:
    page = dashboard()
    page.size(width, 900, mobile=width < 500)
    eventually(lambda: page.js("return document.documentElement.scrollWidth") <= width)
    for what in ("#verdict-word", "#map-canvas", "#connections-table .c-status", "#prices-table td.p-price"):
        assert page.shown(what)


def test_the_browsers_link_is_cut_and_mended(page: Page, relay: Relay) -> None:
    page.open(relay.url)
    page.wait_until_live()
    relay.cut()
    eventually(lambda: page.text("#link-text") == "no answer, reconnecting", 12)
    assert re.search(r"showing data of \d+ s ago", page.text("#lost"))
    assert page.text("#verdict-word").startswith("Unknown")
    assert page.total() == 326  # what was known stays, greyed
    assert page.js("return document.documentElement.dataset.link") == "lost"
    relay.mend()
    page.wait_until_live(20)
    eventually(lambda: not page.shown("#lost"))
    eventually(lambda: "can be trusted" in page.text("#verdict-word"))
    prices = page.column("prices", 1)
    eventually(lambda: page.column("prices", 1) != prices)


def test_what_the_exchange_halts_or_delists_bears_a_mark(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "30"], CATALOGUE_REFRESH_SECONDS="1")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()

    def marks() -> dict[str, str]:
        script = """
        return [...document.querySelectorAll("#prices-table tr[data-product]")].filter((row) => !row.hidden)
          .map((row) => [row.dataset.product, row.querySelector(".marks").textContent, row.cells[0].title]);
        """
        return {product: f"{mark}: {title}" for product, mark, title in page.js(script) if mark}

    assert marks() == {}
    assert hub.simulator is not None
    for product, status in (("BTC-USD", "offline"), ("ETH-USD", "delisted")):
        hub.simulator.control("fault", {"kind": "status", "product": product, "status": status})
    eventually(lambda: marks() == {
        "BTC-USD": "HALTED: the exchange says status=offline", "ETH-USD": "DELISTED: the exchange says status=delisted",
    })  # fmt: skip
    eventually(lambda: " · 1 halted · 1 delisted" in page.text("#sentence"))
    assert page.text("#verdict-word") == "All 28 prices can be trusted"
    assert "1 halted" in page.text("#map-legend")
    hub.simulator.control("clear", {})
    eventually(lambda: marks() == {})
    eventually(lambda: "halted" not in page.text("#sentence"))


def test_a_product_that_leaves_leaves_the_page(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "10"], CATALOGUE_REFRESH_SECONDS="1", DELISTED_KEEP_SECONDS="0")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "list", "products": ["NEW-USD"]})
    hub.simulator.control("fault", {"kind": "delist", "products": ["ETH-USD"]})
    eventually(lambda: "NEW-USD" in page.products() and "ETH-USD" not in page.products())
    assert page.total() == 10


def test_a_killed_connection_shows_within_two_seconds_and_heals(
    page: Page, hub_factory: Callable[..., HubProcess]
) -> None:
    hub = hub_factory(TOP_USD_PAIRS="60")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None
    eventually(lambda: page.column("connections", 1) == ["connected"] * 4)
    page.js("""
    window.seen = null;
    const begun = performance.now();
    new MutationObserver(() => {
      const causes = [...document.querySelectorAll("#connections-table .c-cause")];
      const lost = causes.some((cell) => /[1-9]/.test(cell.textContent));
      if (lost && window.seen === null) window.seen = performance.now() - begun;
    }).observe(document.querySelector("#connections-table"), { childList: true, subtree: true, characterData: true });
    """)
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    taken = eventually(lambda: page.js("return window.seen"), 5)
    assert taken <= 2000
    eventually(lambda: page.column("connections", 1) == ["connected"] * 4)
    eventually(lambda: page.text("#verdict-word") == "All 60 prices can be trusted", 20)


@pytest.mark.long
def test_a_stuck_product_turns_and_explains_itself(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None
    eventually(lambda: page.text("#verdict-word") == "All 30 prices can be trusted", 20)
    hub.simulator.control("fault", {"kind": "stuck", "product": "BTC-USD", "seconds": 20})
    row = "return document.querySelector('#prices-table tr[data-product=BTC-USD]')?.dataset.trust"
    eventually(lambda: page.js(row) in ("behind", "stale"), 5)
    said = """
    const named = document.querySelector("#reasons button");
    const seen = [document.querySelector("#verdict-word").textContent, document.querySelector("#verdict").dataset.tone,
      document.querySelector("#icon").href.split("/").at(-1), named?.textContent];
    if (named) named.click();
    return seen;
    """
    # repaired by REST now and then, it is trusted for a moment: all that is shown is looked at in one go
    eventually(lambda: page.js(said) == ["1 of 30 prices can’t be trusted", "warn", "warn.svg", "BTC-USD"], 10)
    eventually(lambda: page.shown("#drawer") and "BTC-USD" in page.text("#drawer"))
    eventually(lambda: "heartbeat names a later trade" in page.text("#drawer"), 5)
    eventually(lambda: page.text("#verdict-word") == "All 30 prices can be trusted", 40)


def test_trouble_is_shown_while_it_lasts(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    assert hub.simulator is not None

    hub.simulator.stop()
    eventually(lambda: page.text("#n-connections") == "0 / 2", 30)
    eventually(lambda: page.text("#verdict-word") == "No price can be trusted", 30)
    eventually(lambda: page.js("return document.querySelector('#verdict').dataset.status") in ("critical", "starting"))
    eventually(lambda: "connected" not in page.column("connections", 1))
    assert "none of 2 connections is up" in page.text("#reasons")
    assert page.text("#link-text").startswith("live")  # the page's own link is not what broke

    port = hub.port
    hub.stop()
    eventually(lambda: page.text("#verdict-word").startswith("Unknown"), 12)
    assert page.text("#reasons") == "Last known: No price can be trusted"
    assert re.search(r"showing data of \d+ s ago", page.text("#lost"))
    assert page.shown("#lost")
    assert page.total() == 30

    hub_factory(arguments=["--port", str(port)], TOP_USD_PAIRS="30")
    page.wait_until_live(30)
    eventually(lambda: page.text("#verdict-word") == "All 30 prices can be trusted", 30)
    assert not page.shown("#lost")


def test_what_nginx_closes_is_named_and_the_rest_goes_on(page: Page, hub: HubProcess, tmp_path: Path) -> None:
    with nginx.running(tmp_path, hub.port, {"127.0.0.1 1;": ""}) as site:
        page.open(site)
        page.wait_until_live()
        page.js("document.querySelector('#clients').scrollIntoView()")
        closed = "Only from inside: see price_hub_inside in nginx-site.conf"
        eventually(lambda: page.text("#clients-hint") == closed)
        page.js("document.querySelector('#budget').scrollIntoView()")
        eventually(lambda: page.text("#budget-hint") == closed)
        page.complaints()
        time.sleep(2.5)  # each is asked for every 2 s where it is open
        assert page.complaints() == [], "what is closed is not asked for again and again"
        assert page.text("#link-text").startswith("live")
        assert page.js("return window.cspViolations") == []
    page.open(hub.url)
    page.js("document.querySelector('#budget').scrollIntoView()")
    eventually(lambda: "Next connect" in page.text("#budget-body") and "–" not in page.text("#budget-body dd"))
    assert page.text("#budget-hint") == ""
