"""A headless Chromium, driven by Selenium, and what the pages' tests ask of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.conftest import eventually, need

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1440,900",
)  # fmt: skip
NOTE_VIOLATIONS = """
window.cspViolations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.cspViolations.push(`${event.effectiveDirective}: ${event.blockedURI}`);
});
"""


class Page:
    """The dashboard in the browser, seen as its reader sees it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._scripts: list[str] = []

    def open(self, url: str, before: str = "") -> None:
        """Load the dashboard of the hub at ``url``; ``before`` is JavaScript that runs ahead of the page's own."""
        self.close()
        for script in (NOTE_VIOLATIONS, before):
            added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
            self._scripts.append(added["identifier"])
        self.driver.get_log("browser")
        self.driver.get(url + "/dashboard")

    def close(self) -> None:
        """Leave the page: it holds no connection to a hub any more."""
        self.driver.get("about:blank")
        for identifier in self._scripts:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})
        self._scripts.clear()

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return self.js("return document.querySelector(arguments[0]).innerText", selector).strip()

    def shown(self, selector: str) -> bool:
        return self.js("return document.querySelector(arguments[0]).checkVisibility()", selector)

    def column(self, table: str, cell: int) -> list[str]:
        """Return the texts of the table's visible rows in one column."""
        script = """
        return [...document.querySelectorAll(`#${arguments[0]} tbody tr:not([hidden])`)]
          .map((row) => row.cells[arguments[1]].textContent.trim());
        """
        return self.js(script, table, cell)

    def products(self) -> list[str]:
        script = """
        return [...document.querySelectorAll("#prices tbody tr:not([hidden])")].map((row) => row.dataset.product);
        """
        return self.js(script)

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def complaints(self) -> list[str]:
        """Return what the console has been told since the page was opened or this was asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def wait_until_live(self, timeout: float = 15.0) -> None:
        eventually(lambda: self.text("#link-text") == "live", timeout)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests."""
    found = [path for name in CHROMIUM_NAMES if (path := shutil.which(name))]
    options = ChromeOptions()
    options.binary_location = found[0] if found else need("chromium", "the browser test")
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    log = Path(tmp_path_factory.mktemp("chromedriver")) / "log"
    service = Service(need("chromedriver", "the browser test"), log_output=str(log))
    chrome = Chrome(options=options, service=service)
    chrome.set_script_timeout(10)
    yield chrome
    chrome.quit()


@pytest.fixture
def page(driver: Chrome) -> Iterator[Page]:
    """An empty page, 1440 × 900."""
    view = Page(driver)
    view.size(1440, 900)
    yield view
    view.close()


@pytest.fixture
def dashboard(page: Page, hub: Any) -> Callable[..., Page]:
    """Open the shared hub's dashboard and wait until it is live."""

    def start(before: str = "") -> Page:
        page.open(hub.url, before)
        page.wait_until_live()
        return page

    return start
