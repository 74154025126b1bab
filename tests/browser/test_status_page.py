"""The status page in a browser: it reads well everywhere, and reloads itself without a script."""

from __future__ import annotations

import pytest

from tests.browser.conftest import NOTE_VIOLATIONS, Page
from tests.conftest import HubProcess, eventually

pytestmark = pytest.mark.browser


def show(page: Page, hub: HubProcess, scheme: str = "light") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE_VIOLATIONS})
    page.driver.get_log("browser")
    page.driver.get(hub.url + "/status")


def test_it_reads_in_both_schemes_and_on_a_phone(page: Page, hub: HubProcess) -> None:
    looks = []
    for scheme in ("light", "dark"):
        show(page, hub, scheme)
        assert "Up" in page.text("h1")
        assert "prices can be trusted" in page.text(".sentence")
        assert page.shown(".simulated")
        looks.append(page.js("return getComputedStyle(document.body).backgroundColor"))
        assert page.complaints() == []
        assert page.js("return window.cspViolations") == []
    assert looks[0] != looks[1]
    page.size(320, 600, mobile=True)
    assert page.js("return document.documentElement.scrollWidth") <= 320


@pytest.mark.long
def test_it_reloads_itself(page: Page, hub: HubProcess) -> None:
    show(page, hub)
    before = page.text("footer time")
    eventually(lambda: page.text("footer time") != before, 14, 0.5)
