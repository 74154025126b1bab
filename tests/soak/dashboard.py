"""The dashboard left open on a large universe: what it costs the browser, by the browser's own account."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from tests.browser.conftest import start_browser
from tests.conftest import running_hub
from tests.soak.runs import Report

PRODUCTS, RATE = 3_000, 10_000
SECONDS = 300.0
WARM_UP_SECONDS = 30.0
MAX_TASK_SHARE, MAX_TASK_MS = 0.5, 200.0
MAX_GROWTH_BYTES = 5_000_000  # a heap that is flat moves by what waits to be collected
NOTE_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) window.longTasks.push([startTime, duration]);
}).observe({ type: "longtask", buffered: true });
"""


def metrics(chrome: Chrome) -> dict[str, float]:
    """Return the renderer's own figures: seconds of tasks, bytes of heap after a collection."""
    chrome.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    found = chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {item["name"]: item["value"] for item in found}


def the_dashboard_left_open(seconds: float = SECONDS) -> Report:
    """3,000 products at 10,000 ticks/s: the renderer's task time, its longest task, its heap."""
    report = Report(f"The dashboard open for {seconds:g} s on {PRODUCTS:,} products at {RATE:,} ticks/s")
    arguments = ["--products", str(PRODUCTS), "--rate", str(RATE)]
    with tempfile.TemporaryDirectory(prefix="soak") as name, running_hub(Path(name), arguments, []) as hub:
        hub.wait_until_covered(120)
        chrome = start_browser(Path(name))
        try:
            chrome.execute_cdp_cmd("Performance.enable", {"timeDomain": "timeTicks"})
            chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE_TASKS})
            chrome.get(hub.url + "/dashboard")
            time.sleep(WARM_UP_SECONDS)
            rate = hub.health()["counters"]["new"]
            before, begun = metrics(chrome), time.monotonic()
            since = chrome.execute_script("return performance.now()")
            heaps: list[float] = []
            while time.monotonic() - begun < seconds:
                time.sleep(seconds / 10)
                heaps.append(metrics(chrome)["JSHeapUsedSize"])
            after, taken = metrics(chrome), time.monotonic() - begun
            ticks = (hub.health()["counters"]["new"] - rate) / taken
            tasks: list[list[Any]] = chrome.execute_script("return window.longTasks")
            shown = chrome.execute_script("return document.querySelector('#prices-hint').textContent")
            link = chrome.execute_script("return document.querySelector('#link-text').textContent")
        finally:
            chrome.quit()
    share = (after["TaskDuration"] - before["TaskDuration"]) / taken
    longest = max((duration for at, duration in tasks if at > since), default=0.0)
    growth = heaps[-1] - heaps[0]
    report.row("ticks a second that the hub took in", f"≥ {0.8 * RATE:,.0f}", f"{ticks:,.0f}", ticks >= 0.8 * RATE)
    report.row("products on the page", f"{PRODUCTS:,}", shown, shown == f"{PRODUCTS:,} products")
    report.row("the page's link at the end", "live", link, link.startswith("live"))
    row = report.row
    row("tasks of the renderer, of wall time", f"≤ {MAX_TASK_SHARE:.0%}", f"{share:.1%}", share <= MAX_TASK_SHARE)
    report.row("longest task", f"≤ {MAX_TASK_MS:g} ms", f"{longest:.0f} ms", longest <= MAX_TASK_MS)
    report.row("tasks over 50 ms", "", str(sum(at > since for at, _ in tasks)), kept=True)
    report.row("heap at the first tenth", "", f"{heaps[0] / 1e6:.1f} MB", kept=True)
    row("its growth since", f"≤ {MAX_GROWTH_BYTES / 1e6:g} MB", f"{growth / 1e6:+.1f} MB", growth <= MAX_GROWTH_BYTES)
    return report


RUNS = (the_dashboard_left_open,)
