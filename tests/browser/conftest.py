"""A headless Chromium, driven by Selenium, and what the pages' tests ask of it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
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
AXE = Path(__file__).resolve().parents[1] / "integration" / "js" / "node_modules" / "axe-core"
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

    def open(self, url: str, before: str = "", fragment: str = "") -> None:
        """Load the dashboard of the hub at ``url``; ``before`` is JavaScript that runs ahead of the page's own."""
        self.close()
        for script in (NOTE_VIOLATIONS, before):
            added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
            self._scripts.append(added["identifier"])
        self.driver.get_log("browser")
        self.driver.get(f"{url}/dashboard{fragment and '#'}{fragment}")

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
        """Return the texts of the table's shown rows in one column; of prices, those are the rows in sight."""
        script = """
        return [...document.querySelectorAll(`#${arguments[0]}-table tbody tr:not([hidden]):not(.filler)`)]
          .map((row) => row.cells[arguments[1]].textContent.trim());
        """
        return self.js(script, table, cell)

    def products(self) -> list[str]:
        """Return the products of the price table's rows in sight."""
        script = """
        return [...document.querySelectorAll("#prices-table tbody tr:not([hidden])")].map((row) => row.dataset.product)
          .filter(Boolean);
        """
        return self.js(script)

    def total(self) -> int:
        """Return how many products the price table has."""
        return int(self.js("return document.querySelector('#prices-table').getAttribute('aria-rowcount') ?? 1")) - 1

    def dark(self, wanted: bool = True) -> None:
        value = "dark" if wanted else "light"
        features = {"features": [{"name": "prefers-color-scheme", "value": value}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def violations(self) -> list[tuple[str, str, list[str]]]:
        """Return what axe-core finds of WCAG 2 A and AA: (rule, impact, where)."""
        self.js((AXE / "axe.min.js").read_text())
        found = self.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        const failed = (error) => done([{ id: String(error), impact: "critical", nodes: [] }]);
        axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })
          .then((answer) => done(answer.violations), failed);
        """)
        return [(rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"]]) for rule in found]

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def complaints(self) -> list[str]:
        """Return what the console has been told since the page was opened or this was asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def wait_until_live(self, timeout: float = 15.0) -> None:
        eventually(lambda: self.text("#link-text").startswith("live") and self.products(), timeout)


def start_browser(folder: Path) -> Chrome:
    """Start a browser that keeps what it writes in ``folder``."""
    found = [path for name in CHROMIUM_NAMES if (path := shutil.which(name))]
    options = ChromeOptions()
    options.binary_location = found[0] if found else need("chromium", "the browser test")
    for argument in (*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(need("chromedriver", "the browser test"), log_output=str(folder / "chromedriver.log"))
    chrome = Chrome(options=options, service=service)
    chrome.set_script_timeout(20)
    return chrome


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests."""
    chrome = start_browser(tmp_path_factory.mktemp("browser"))
    yield chrome
    chrome.quit()


@pytest.fixture
def page(driver: Chrome) -> Iterator[Page]:
    """An empty page, 1440 × 900."""
    view = Page(driver)
    view.size(1440, 900)
    view.dark(False)
    yield view
    view.close()


class Relay:
    """A link to the hub that can be cut: connections end, and nobody is let in, until it is mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._up = True
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if not self._up:
                    client.close()
                    continue
                hub = socket.create_connection(("127.0.0.1", self._target))
                self._sockets |= {client, hub}
                for source, sink in ((client, hub), (hub, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            self._sockets.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self) -> None:
        self._up = False
        for end in list(self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._up = True

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def relay(hub: Any) -> Iterator[Relay]:
    """A link to the shared hub."""
    link = Relay(hub.port)
    yield link
    link.close()


@pytest.fixture
def dashboard(page: Page, hub: Any) -> Callable[..., Page]:
    """Open the shared hub's dashboard and wait until it is live."""

    def start(before: str = "") -> Page:
        page.open(hub.url, before)
        page.wait_until_live()
        return page

    return start
