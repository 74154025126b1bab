"""The drawer, the table of slots and the actions, as their readers use them: in a browser, on a running hub."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Page
from tests.conftest import HubProcess, eventually

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-an-operator"
ACTIVE = "return document.activeElement.textContent.trim()"
IN_DRAWER = "return document.querySelector('#drawer').contains(document.activeElement)"


def opened(page: Page, url: str, view: str) -> Page:
    """Open the dashboard by a link that somebody sent: ``view`` is what its URL holds."""
    page.open(url)
    page.driver.get("about:blank")
    page.driver.get(f"{url}/dashboard#{view}")
    return page


def loaded(page: Page) -> bool:
    return page.js("return document.querySelector('#drawer .content')?.checkVisibility() ?? false")


def wait_until_loaded(page: Page) -> None:
    eventually(functools.partial(loaded, page))


def slot_of(hub: HubProcess, product: str) -> str:
    return hub.get(f"/price/{product}/explain").json()["slot"]["connection_id"]


def button(page: Page, label: str) -> Any:
    return page.driver.find_element(By.XPATH, f'//*[@id="drawer"]//button[normalize-space()="{label}"]')


# -- what it says --------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_stuck_product_explains_itself(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30")
    hub.wait_until_covered()
    opened(page, hub.url, "open=BTC-USD")
    eventually(lambda: page.text("#drawer .word") == "live")
    assert page.text("#drawer h2") == "BTC-USD"
    assert page.text("#drawer .verdict-words") == "This is the latest trade."
    price = page.text("#drawer .price")
    assert re.fullmatch(r"[0-9,]+\.[0-9]+", price)
    eventually(lambda: page.text("#drawer .price") != price)
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "stuck", "product": "BTC-USD", "seconds": 8})
    whys = lambda: page.text("#drawer .whys")  # noqa: E731
    eventually(lambda: "its socket has owed a trade for" in whys(), 15)
    eventually(lambda: page.text("#drawer .word") == "live" and "owed" not in whys(), 30)
    states = page.js("return [...document.querySelectorAll('#drawer .list li')].map((item) => item.dataset.trust)")
    assert "behind" in states


def test_the_digits_are_the_exchange_s(dashboard: Callable[..., Page], hub: HubProcess) -> None:
    page = dashboard()
    page.js("location.hash = 'open=SHIB-USD'")

    def same() -> bool:
        sent = re.search(r'"price":([0-9.]+)', hub.get("/price/SHIB-USD").text)
        return sent is not None and loaded(page) and page.text("#drawer .price") == sent[1]

    eventually(same)
    assert re.fullmatch(r"0\.0000[0-9]+", page.text("#drawer .price"))


def test_a_deep_link_opens_a_slot(page: Page, hub: HubProcess) -> None:
    opened(page, hub.url, "open=conn_003")
    wait_until_loaded(page)
    assert page.text("#drawer h2") == "conn_003"
    assert page.text("#drawer .word") == "connected"
    chips = page.js("return [...document.querySelectorAll('#drawer .chip span')].map((chip) => chip.textContent)")
    assert sorted(chips) == sorted(item["product"] for item in hub.get("/connections/conn_003").json()["products"])
    assert page.js("return document.querySelector('#drawer .lead .beat-d').getAttribute('d')").startswith("M")
    assert '"product_id"' in page.text("#drawer .frames")
    page.driver.find_element(By.CSS_SELECTOR, "#drawer .chip").click()
    eventually(lambda: loaded(page) and page.text("#drawer h2") == chips[0])
    assert page.js(IN_DRAWER)
    page.driver.find_element(By.XPATH, '//*[@id="drawer"]//button[.="conn_003"]').click()
    eventually(lambda: loaded(page) and page.text("#drawer h2") == "conn_003")


@pytest.mark.parametrize("unknown", ["NO-SUCH", "conn_999", "<img src=x onerror=window.hacked=1>"])
def test_what_nobody_knows_is_said_to_be_unknown(page: Page, hub: HubProcess, unknown: str) -> None:
    opened(page, hub.url, f"open={unknown}")
    eventually(lambda: "The hub has no" in page.text("#drawer .note"))
    assert unknown in page.text("#drawer .note")
    assert not loaded(page)
    assert page.js("return [document.images.length, window.hacked ?? 0]") == [0, 0]


def test_it_is_refreshed_under_the_reader_s_eyes(page: Page, hub: HubProcess) -> None:
    opened(page, hub.url, "open=conn_000")
    page.size(1440, 500)
    wait_until_loaded(page)
    page.js("""
    const chip = document.querySelectorAll("#drawer .chip")[3];
    chip.focus();
    window.chip = chip;
    document.querySelector("#drawer .content").scrollTop = 150;
    const frames = document.querySelector("#drawer .frames");
    getSelection().setBaseAndExtent(frames.firstChild, 3, frames.firstChild, 40);
    """)
    first = page.js("return getSelection().toString()")
    rate = page.js("return document.querySelector('#drawer .facts').textContent")
    eventually(lambda: page.js("return document.querySelector('#drawer .facts').textContent") != rate)
    time.sleep(2)
    assert page.js("return document.activeElement === window.chip")
    assert page.js("return document.querySelector('#drawer .content').scrollTop") == 150
    assert page.js("return getSelection().toString()") == first
    assert page.text("#drawer .held") == "held while you read"
    held = page.text("#drawer .frames")
    page.js("getSelection().removeAllRanges()")
    eventually(lambda: page.text("#drawer .frames") != held)


def test_a_late_answer_about_what_was_open_before_is_left_alone(page: Page, hub: HubProcess) -> None:
    page.open(hub.url, before="""
    const real = window.fetch;
    window.fetch = async (path, ...rest) => {
      if (String(path).includes("/explain")) await new Promise((resolve) => setTimeout(resolve, 2000));
      return real(path, ...rest);
    };
    window.addEventListener("error", (event) => { window.broke = event.message; });
    window.addEventListener("unhandledrejection", (event) => { window.broke = String(event.reason); });
    """)
    page.wait_until_live()
    page.js("location.hash = 'open=BTC-USD'; setTimeout(() => { location.hash = 'open=conn_004'; }, 500)")
    eventually(lambda: page.text("#drawer h2") == "conn_004" and loaded(page))
    assert page.text("#drawer .word") == "connected"
    assert page.js("return window.broke ?? ''") == ""


# -- the way in and out --------------------------------------------------------------------------------


def test_the_keyboard_s_way_in_and_out(dashboard: Callable[..., Page]) -> None:
    page = dashboard()

    def press(*keys: str) -> None:
        page.driver.switch_to.active_element.send_keys(*keys)

    eventually(lambda: page.js("return document.querySelector('[data-connection=conn_005] button') !== null"))
    page.js("document.querySelector('[data-connection=conn_005] button').focus()")
    press(Keys.ENTER)
    wait_until_loaded(page)
    assert page.text("#drawer h2") == "conn_005"
    assert page.js(IN_DRAWER)
    assert page.js("return location.hash") == "#open=conn_005"
    press(Keys.TAB)
    assert page.js(ACTIVE) == "JSON"
    press(Keys.TAB)
    assert page.js(ACTIVE) == "curl"
    press(Keys.TAB)
    assert page.js(ACTIVE) == "Close"
    press(Keys.ESCAPE)
    assert not page.shown("#drawer")
    assert page.js(ACTIVE) == "conn_005"
    assert page.js("return location.hash") == ""
    press(Keys.ENTER)
    assert page.shown("#drawer")
    page.driver.back()
    eventually(lambda: not page.shown("#drawer"))
    assert page.js(ACTIVE) == "conn_005"
    page.driver.forward()
    eventually(lambda: page.shown("#drawer"))
    # it is no trap: the page beside it stays in use, and Esc in the filter is the filter's
    page.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    assert page.js("return document.activeElement.id") == "search"
    press("conn_005", Keys.ESCAPE)
    assert page.shown("#drawer")
    assert page.text("#search") == ""


def test_a_slot_s_row_tells_its_last_minute(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="45")
    hub.wait_until_covered()
    page.open(hub.url)
    page.wait_until_live()
    eventually(lambda: page.text("#connections-hint") == "3 slots · all connected", 20)
    eventually(lambda: page.column("connections", 1) == ["connected"] * 3)
    page.js("window.row = document.querySelector('[data-connection=conn_001]')")
    ticks = "return window.row.querySelector('.beat-d').getAttribute('d')?.split('M').length - 1"
    eventually(lambda: (page.js(ticks) or 0) > 1)
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    broken = "return ['c', 'x'].some((kind) => window.row.querySelector(`.beat-${kind}`).getAttribute('d'))"
    eventually(lambda: page.js(broken))
    eventually(lambda: re.match(r"1 · .", page.column("connections", 7)[1]))
    eventually(lambda: page.column("connections", 1) == ["connected"] * 3)
    assert page.js("return window.row.isConnected")  # in place
    mine = slot_of(hub, "BTC-USD")
    page.driver.find_element(By.ID, "search").send_keys("btc-usd")
    eventually(lambda: page.column("connections", 0) == [mine])
    assert page.text("#connections-hint").startswith("1 of 3 slots")
    page.driver.find_element(By.CSS_SELECTOR, f"[data-connection={mine}] .c-bar").click()
    eventually(lambda: page.shown("#drawer") and page.text("#drawer h2") == mine)


# -- actions -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_an_action_takes_a_token_and_two_clicks(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="30", ADMIN_TOKEN=TOKEN)
    hub.wait_until_covered()
    opened(page, hub.url, "open=conn_001")
    wait_until_loaded(page)
    sockets = lambda: hub.get("/connections/conn_001").json()["age_seconds"]  # noqa: E731
    reconnect = button(page, "Reconnect")
    eventually(lambda: reconnect.get_attribute("aria-disabled") == "false")
    # clicks in the page itself: a slow machine must not let the eight seconds pass between two of them
    twice = "arguments[0].click(); arguments[0].click(); return arguments[0].textContent"
    assert page.js(twice, reconnect) == "Click again: reconnect conn_001"  # half a double click decides nothing
    assert page.js(twice.replace("arguments[0]", "arguments[1]", 1), reconnect, button(page, "Rotate")) != "Reconnect"
    assert page.js("return document.querySelectorAll('[data-armed=yes]').length") <= 1  # one at a time
    eventually(lambda: page.js("return document.querySelectorAll('[data-armed=yes]').length") == 0)
    assert reconnect.text == "Reconnect"
    assert page.js("return document.querySelector('#announce').textContent") == ""  # what is said again is heard again

    def confirm() -> None:
        page.js("const [it] = arguments; it.focus(); it.click(); setTimeout(() => it.click(), 500)", reconnect)

    def token_field() -> Any:
        return eventually(lambda: page.driver.find_elements(By.ID, "admin-token"))[0]

    confirm()
    token_field().send_keys(Keys.ESCAPE)
    eventually(lambda: page.js("return document.querySelectorAll('dialog').length") == 0)
    assert page.shown("#drawer")  # Esc was the form's
    assert page.js(ACTIVE) == "Reconnect"
    confirm()
    token_field().send_keys("wrong", Keys.ENTER)
    eventually(lambda: page.js("return document.querySelector('dialog .wrong')?.textContent.includes('not accept')"))
    before = sockets()
    token_field().send_keys(TOKEN, Keys.ENTER)
    said = "return document.querySelector('#toast').textContent"
    eventually(lambda: page.js(said).startswith("conn_001 "))
    eventually(lambda: sockets() < before)
    assert page.js("return [sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    eventually(lambda: "reconnect conn_001" in page.text("#drawer .list"))  # the audit line
    page.js("document.querySelector('#toast').textContent = ''")
    confirm()  # the token is known now
    eventually(lambda: page.js(said).startswith("conn_001 "))
    refused = [text for text in page.complaints() if "401" not in text]
    assert refused == []


def test_without_a_token_of_the_hub_actions_are_off(dashboard: Callable[..., Page]) -> None:
    page = dashboard()
    page.js("location.hash = 'open=conn_002'")
    wait_until_loaded(page)
    rotate = button(page, "Rotate")
    eventually(lambda: rotate.get_attribute("title") == "Actions are off: the hub has no ADMIN_TOKEN")
    assert rotate.get_attribute("aria-disabled") == "true"
    rotate.click()
    assert rotate.text == "Rotate"
    assert page.js("return document.querySelector('#toast').textContent") == rotate.get_attribute("title")
    assert not page.shown("#drills")
