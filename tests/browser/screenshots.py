"""Take the pictures of docs/ anew, on a demo of its own:  make screenshots. Look at them before they are committed."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import requests

from tests.browser.conftest import Page, start_browser
from tests.conftest import ROOT, HubProcess, eventually

PICTURES = ROOT / "docs"
FILL_SECONDS = 160.0  # until five minutes of history have a shape


def demo(folder: str) -> tuple[HubProcess, str]:
    hub = HubProcess(None, {"STATE_DIR": folder}, ["--simulate"])
    hub.wait_until_covered()
    token = re.search(r"Token for actions.*: (\S+)", hub.log())
    assert token
    return hub, token[1]


def main() -> None:
    """Light and dark, a phone, an incident with its drawer, the status page."""
    with tempfile.TemporaryDirectory(prefix="pictures") as folder:
        hub, token = demo(folder)
        driver = start_browser(Path(folder))
        try:
            page = Page(driver)
            page.size(1440, 1360)
            page.dark()
            page.open(hub.url)
            page.wait_until_live()
            for product in ("BTC-USD", "ETH-USD"):
                requests.post(f"{hub.url}/priority-pairs", json={"product_id": product, "action": "add"}, timeout=5)

            def drill(name: str) -> None:
                headers = {"Authorization": f"Bearer {token}"}
                requests.post(f"{hub.url}/drills", json={"drill": name}, headers=headers, timeout=5).raise_for_status()

            time.sleep(FILL_SECONDS / 2)
            drill("kill")
            time.sleep(FILL_SECONDS / 2)
            driver.save_screenshot(PICTURES / "dashboard.png")
            page.dark(False)
            time.sleep(1)
            driver.save_screenshot(PICTURES / "dashboard-light.png")
            page.dark()
            drill("outage")
            eventually(lambda: page.js("return document.querySelector('#verdict').dataset.tone") != "ok", 15)
            click = "const named = document.querySelector('#reasons button'); named?.click(); return named !== null;"
            eventually(lambda: page.js(click))
            time.sleep(1.5)
            driver.save_screenshot(PICTURES / "dashboard-incident.png")
            page.js("location.hash = ''")
            page.size(390, 844, mobile=True)
            eventually(lambda: "All" in page.text("#verdict-word"), 60)
            time.sleep(1)
            driver.save_screenshot(PICTURES / "dashboard-phone.png")
            page.size(900, 700)
            driver.get(f"{hub.url}/status")
            driver.save_screenshot(PICTURES / "status.png")
        finally:
            driver.quit()
            hub.stop()


if __name__ == "__main__":
    main()
