"""A page that is told nonsense: by clients, by a state file of before, by a link. Each row stands alone."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Page
from tests.browser.test_charts import look_at, rows
from tests.conftest import HubProcess, eventually

pytestmark = pytest.mark.browser

NO_TEXT = {"toString": None, "valueOf": 1}  # who wants it as a text gets an exception
HUGE = "1e999999"
GOOD = {"id": 1, "time": "2026-12-01T10:00:00.000000Z", "event": "spike_alert", "symbol": "BTC-USD", "text": "fine",
        "payload": {"spike_type": "pump", "pct_change": 5.0, "old_price": 64000.0, "new_price": 67200.5}}  # fmt: skip


def spike(**payload: Any) -> dict[str, Any]:
    return {**GOOD, "payload": {**GOOD["payload"], **payload}}  # type: ignore[dict-item]


SIGNALS: list[Any] = [
    GOOD, spike(old_price=HUGE), spike(new_price="9" * 1_000_000), spike(pct_change=1e308, old_price=1e-300),
    spike(pct_change=HUGE, old_price="1e300", new_price="-1e-300"), spike(spike_type=NO_TEXT, event_type=NO_TEXT),
    spike(spike_type="x" * 100_000), spike(spike_type="<b>bold</b>", old_price=NO_TEXT, new_price=[[1]]),
    spike(spike_type="__proto__", event_type="constructor"),
    {**GOOD, "event": "trade_update", "payload": {"current_vol": HUGE, "avg_vol": NO_TEXT, "ratio": "1e400"}},
    {**GOOD, "event": "trade_update", "payload": {"current_vol": 1e308, "avg_vol": 1e-308, "ticker": {"price": HUGE}}},
    {**GOOD, "event": "trade_update", "payload": {"current_vol": -1, "avg_vol": 0, "ticker": NO_TEXT}},
    {**GOOD, "event": "trade_update", "payload": {"current_vol": 3, "avg_vol": 2, "ticker": 7}},
    {**GOOD, "event": "hub_alert", "payload": {"severity": "constructor", "state": NO_TEXT}},
    {**GOOD, "event": "constructor"}, {**GOOD, "event": NO_TEXT}, {**GOOD, "symbol": NO_TEXT},
    {**GOOD, "symbol": "X" * 100_000}, {**GOOD, "text": NO_TEXT, "payload": None}, {**GOOD, "text": "y" * 100_000},
    {**GOOD, "time": "no time"}, {**GOOD, "time": NO_TEXT}, {**GOOD, "time": None}, {**GOOD, "payload": 7},
    {**GOOD, "payload": {}}, None, 7, {},
]  # fmt: skip
ENTRY = {"id": 1, "time": "2026-12-01T10:00:00.000000Z", "kind": "moved", "tone": "ok", "connection_id": "conn_000",
         "product": "BTC-USD", "text": "BTC-USD moved", "data": {}}  # fmt: skip
ENTRIES: list[Any] = [
    ENTRY, {**ENTRY, "kind": "constructor"}, {**ENTRY, "kind": NO_TEXT}, {**ENTRY, "tone": "__proto__"},
    {**ENTRY, "tone": NO_TEXT}, {**ENTRY, "time": "no time"}, {**ENTRY, "time": NO_TEXT}, {**ENTRY, "text": NO_TEXT},
    {**ENTRY, "text": "z" * 100_000}, {**ENTRY, "product": NO_TEXT, "connection_id": NO_TEXT}, {**ENTRY, "data": None},
    {**ENTRY, "data": {"products": 7}}, {**ENTRY, "data": {"products": [NO_TEXT, "ETH-USD", None]}}, None, 7, {},
]  # fmt: skip
WIDER = "const list = document.querySelector(arguments[0]); return list.scrollWidth - list.clientWidth"
TOLD_INSTEAD = """
const told = %s;
const ask = window.fetch;
window.fetch = async (path, options) => {
  const [route] = String(path).split("?");
  if (!(route in told)) return ask(path, options);
  const answer = await ask(path, options);
  const body = { ...(await answer.json()), ...told[route] };
  return new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
};
"""


def numbered(items: list[Any]) -> list[Any]:
    return [{**item, "id": 1_000 + at} if isinstance(item, dict) else item for at, item in enumerate(items)]


def told(page: Page) -> str:
    return page.js("const toast = document.querySelector('#toast'); return toast.hidden ? '' : toast.textContent")


def is_quick(page: Page) -> None:
    """Hold that the page's loop is free: a timer comes in time, again and again."""
    late = page.driver.execute_async_script("""
    const done = arguments[arguments.length - 1];
    const asked = performance.now();
    let times = 0;
    const step = () => { times += 1; if (times < 20) setTimeout(step, 50); else done(performance.now() - asked); };
    step();
    """)
    assert late < 4_000


def test_no_signal_breaks_the_others(page: Page, hub: HubProcess) -> None:
    signals = numbered(SIGNALS)
    page.open(hub.url, TOLD_INSTEAD % json.dumps({"/signals": {"signals": signals}}))
    page.wait_until_live()
    look_at(page, "#alerts")
    shown = eventually(lambda: rows(page, "#alerts-list li"))
    assert len(shown) == len([item for item in signals if isinstance(item, dict)])
    assert any("BTC-USD pump, 64,000.0 → 67,200.5+5.0%" in text for text in shown)
    assert max(map(len, shown)) < 700
    assert page.js(WIDER, "#alerts-list") <= 1
    assert not [text for text in shown if "NaN" in text or "Invalid" in text or "undefined" in text]
    is_quick(page)
    page.js("location.hash = 'q=fine'")  # the filter reads what the rows do
    eventually(lambda: 0 < len(rows(page, "#alerts-list li")) < len(shown))
    assert told(page) == ""
    assert page.js("return document.querySelectorAll('#alerts-list b').length") == 0


def test_no_entry_breaks_the_others(page: Page, hub: HubProcess) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    entries = [{**item, "time": now} if item and item != 7 and item.get("time") == ENTRY["time"] else item
               for item in numbered(ENTRIES)]  # fmt: skip
    instead = {"/journal": {"events": entries, "last_id": 1_001}, "/history": {"annotations": entries}}
    page.open(hub.url, TOLD_INSTEAD % json.dumps(instead))
    page.wait_until_live()
    look_at(page, "#timeline")
    shown = eventually(lambda: rows(page, "#timeline-list li"))
    assert len(shown) >= len([item for item in entries if isinstance(item, dict)])
    assert any("BTC-USD moved" in text for text in shown)
    assert max(map(len, shown)) < 700
    assert page.js(WIDER, "#timeline-list") <= 1
    page.js("location.hash = 'q=moved'")
    eventually(lambda: 0 < len(rows(page, "#timeline-list li")) < len(shown))
    page.js("location.hash = ''")
    look_at(page, "#charts")
    eventually(lambda: rows(page, ".annotation"))
    is_quick(page)
    assert told(page) == ""


def test_a_row_that_throws_says_so_and_the_others_stand(page: Page, hub: HubProcess) -> None:
    good, bad = numbered([GOOD, {**GOOD, "symbol": "BAD-USD"}])
    page.open(hub.url, TOLD_INSTEAD % json.dumps({"/signals": {"signals": [good, bad, {**good, "id": 5}]}}) + """
    const make = document.createElement.bind(document);
    window.breaks = true;
    const text = Object.getOwnPropertyDescriptor(Node.prototype, "textContent");
    Object.defineProperty(Node.prototype, "textContent", { ...text, set(value) {
      if (window.breaks && value === "BAD-USD" && this.className === "as-link subject") throw new Error("on purpose");
      text.set.call(this, value);
    } });
    const button = Object.getOwnPropertyDescriptor(Element.prototype, "className");
    Object.defineProperty(Element.prototype, "className", { ...button, set(value) {
      if (window.breaks && value === "as-link subject" && this.textContent === "BAD-USD") throw new Error("on purpose");
      button.set.call(this, value);
    } });
    """)
    page.wait_until_live()
    look_at(page, "#alerts")
    shown = eventually(lambda: len(found := rows(page, "#alerts-list li")) == 3 and found)
    assert shown[1] == "This row can’t be shown."
    assert "BTC-USD" in shown[0]
    assert "BTC-USD" in shown[2]
    assert told(page) == ""
    page.js("window.breaks = false")  # it is tried again
    eventually(lambda: "BAD-USD" in rows(page, "#alerts-list li")[1])


@pytest.mark.parametrize("word", ["__proto__", "constructor", "-toString", "hasOwnProperty"])
def test_a_link_breaks_nothing(page: Page, hub: HubProcess, word: str) -> None:
    page.open(hub.url, fragment=f"sort={word}&range={word}&open={word}&q=")
    page.wait_until_live()
    assert page.products()
    look_at(page, "#charts")
    eventually(lambda: page.js("return document.querySelector('#range [aria-pressed=true]').dataset.range") == "5m")
    assert told(page) == ""


def test_what_an_older_version_has_kept_breaks_neither_hub_nor_page(
    page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    first = hub_factory(simulator=["--products", "5", "--rate", "50"])
    first.wait_until_covered()
    eventually(lambda: list(tmp_path.glob("*/ledger-*.sqlite")) and first.get("/journal").json()["count"] > 2)
    (path,) = tmp_path.glob("*/ledger-*.sqlite")
    first.stop()
    at = time.time() - 60

    def row(number: int, event: str, body: Any, **changed: Any) -> list[Any]:
        entry = {"id": number, "at": at, "kind": "alert", "tone": "warn", "connection_id": None, "product": "BTC-USD",
                 "text": f"kept {number}", "data": {"event": event}, "payload": json.dumps(body)}  # fmt: skip
        return list({**entry, **changed}.values())

    kept = [
        row(1, "spike_alert", {"old_price": HUGE, "new_price": HUGE}), row(2, "spike_alert", {"spike_type": NO_TEXT}),
        row(3, "spike_alert", GOOD["payload"]), row(4, "trade_update", {}, payload='{"current_vol": 1e999999}'),
        row(5, "trade_update", {}, at=1e300), row(6, "x", {}, kind="constructor"), row(7, "x", {}, text=NO_TEXT),
        row(8, "x", {}, data={"products": 7}), row(9, "x", {}, payload="{"), row(2**62, "x", {}),
    ]  # fmt: skip
    db = sqlite3.connect(path)
    with db:
        db.executemany("insert into journal values (?, ?)", [(entry[0], json.dumps(entry)) for entry in kept])
    db.close()
    assert first.simulator is not None
    again = HubProcess(None, {
        "WS_URL": first.simulator.ws_url, "REST_URL": first.simulator.rest_url, "WS_DIALECT": "exchange",
        "STATE_DIR": str(path.parent),
    }, [])  # fmt: skip
    try:
        again.wait_until_covered()
        found = {item["text"]: item["payload"] for item in again.get("/signals?limit=200").json()["signals"]}
        texts = {text: payload for text, payload in found.items() if text.startswith("kept")}
        good = {"kept 3": GOOD["payload"]}
        assert texts == {**dict.fromkeys(["kept 1", "kept 2", "kept 4", "kept 9"]), **good}
        page.open(again.url)
        page.wait_until_live()
        look_at(page, "#alerts")
        eventually(lambda: any("64,000.0 → 67,200.5" in text for text in rows(page, "#alerts-list li")))
        is_quick(page)
        assert told(page) == ""
    finally:
        page.close()
        again.stop()
