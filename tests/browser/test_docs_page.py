"""The page of the interface in a browser: it reads well everywhere, without a script, and asks nobody else."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.browser.conftest import NOTE_VIOLATIONS, Page
from tests.conftest import HubProcess, need

pytestmark = pytest.mark.browser


def show(page: Page, hub: HubProcess, fragment: str = "") -> None:
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE_VIOLATIONS})
    page.driver.get_log("browser")
    page.driver.get(hub.url + "/docs" + fragment)


def test_it_reads_in_both_schemes_and_on_a_phone(page: Page, hub: HubProcess) -> None:
    looks = []
    for dark in (False, True):
        page.dark(dark)
        show(page, hub)
        assert "Price Hub" in page.text("h1")
        assert page.shown(".simulated")
        looks.append(page.js("return getComputedStyle(document.body).backgroundColor"))
        assert dark or page.violations() == []  # of so long a page it takes seconds
        assert page.complaints() == []
        assert page.js("return window.cspViolations") == []
    assert looks[0] != looks[1]
    loaded = page.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [url for url in loaded if not url.startswith(hub.url)] == []
    page.size(320, 600, mobile=True)
    assert page.js("return document.documentElement.scrollWidth") <= 320


def test_a_link_leads_to_its_route_and_fields_open(page: Page, hub: HubProcess) -> None:
    show(page, hub, "#get_health")
    assert page.js("return Math.abs(document.querySelector('#get_health').getBoundingClientRect().top) < 60")
    page.driver.find_element("css selector", "#get_health .fields summary").click()
    assert "untrusted_products" in page.text("#get_health .fields dl")


def test_the_commands_work_as_they_stand(page: Page, hub: HubProcess) -> None:
    need("curl", "the test of the commands")
    show(page, hub)
    commands = page.js("return [...document.querySelectorAll('.curl code')].map((code) => code.textContent)")
    tried = 0
    for command in commands:
        if "-X" not in command:
            answer = subprocess.check_output(["sh", "-c", f"{command} -sS -f"], text=True, timeout=20)
            assert command.endswith(("/dashboard", "/docs", "/metrics")) or json.loads(answer)
            tried += 1
    assert tried > 20
