"""The desk: what is told, once; cooldown and recovery; and the words in which Slack, Discord and Telegram get it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from hub.alerts import desk as module
from hub.alerts.channel import OUTCOMES, Notice
from hub.alerts.desk import Desk, TestIsRunning
from hub.alerts.words import MAX_TEXT, for_discord, for_slack, line_of, telegram_body, webhook_body
from hub.detect.rules import CLEAR_SECONDS, COVERAGE_SECONDS, CRITICAL, FIRING, INFO, ONCE, RESOLVED, Alert, Seen
from hub.model import HealthStatus
from hub.settings import Settings
from tests.receiver import Receiver, status

AT = 1_800_000_000.0


class Bench:
    """A desk that is looked at each second; what it published and noted; one webhook that keeps what it is offered."""

    def __init__(self, **settings: Any) -> None:
        self.published: list[dict[str, Any]] = []
        self.noted: list[str] = []
        url = ("https://hooks.example.com/canary",)
        self.desk = Desk(
            Settings(webhook_url=url, **settings), self._publish,
            lambda _, text: self.noted.append(text), lambda: True,
        )  # fmt: skip
        self.offered: list[Notice] = []
        (channel,) = self.desk.channels
        channel.offer = lambda notice, _now: self.offered.append(notice)  # type: ignore[method-assign]
        self.now = 0.0

    def _publish(self, event: str, text: str) -> None:
        assert event == "hub_alert"
        self.published.append(json.loads(text))

    def look(self, seconds: float, coverage: float = 100.0) -> list[str]:
        """Return the states that were told in these seconds."""
        before = len(self.published)
        for _ in range(int(seconds)):
            self.now += 1
            self.desk.look(Seen(self.now, AT + self.now, HealthStatus.HEALTHY, coverage, 0.0, 10))
        return [body["state"] for body in self.published[before:]]


def volume(product: str) -> Alert:
    return Alert(f"volume:{product}", "volume", INFO, ONCE, f"{product}: volume", AT, product)


def price(product: str, state: str) -> Alert:
    return Alert(f"price:{product}", "price", INFO, state, f"{product}: pump", AT, product)


FIRE, CLEAR = COVERAGE_SECONDS + 1, CLEAR_SECONDS + 1


def test_an_alert_reaches_clients_journal_and_channels_once_and_so_does_its_end() -> None:
    bench = Bench()
    assert bench.look(60, coverage=50.0) == [FIRING]
    assert bench.look(60) == [RESOLVED]
    assert [json.loads(text) for text in bench.noted] == bench.published
    assert [notice.alert.state for notice in bench.offered] == [FIRING, RESOLVED]
    assert bench.published[0] == {
        "key": "coverage", "kind": "coverage", "severity": "warning", "state": "firing",
        "message": "only 50 % of 10 products are covered", "symbol": None, "since": "2027-01-15T08:00:01.000000Z",
        "time": bench.published[0]["time"], "simulated": True,
    }  # fmt: skip
    counts = bench.desk.counts()
    assert counts["socketio", "sent"] == 2
    assert set(counts) == {(name, outcome) for name in ("socketio", "webhook") for outcome in OUTCOMES}


def test_within_the_cooldown_neither_the_alert_nor_its_end_is_told_again() -> None:
    bench = Bench(alert_cooldown_seconds=300.0)
    assert bench.look(FIRE, 50.0) + bench.look(CLEAR) == [FIRING, RESOLVED]
    for _ in range(5):
        assert bench.look(FIRE, 50.0) + bench.look(CLEAR) == []
    counts = bench.desk.counts()
    assert (counts["socketio", "suppressed"], counts["webhook", "suppressed"]) == (5, 5)


def test_what_still_fires_when_the_cooldown_is_over_is_told_then() -> None:
    bench = Bench(alert_cooldown_seconds=60.0)
    bench.look(FIRE, 50.0)
    bench.look(CLEAR)
    told_at = FIRE
    assert bench.look(told_at + 59 - bench.now, 50.0) == []
    assert bench.desk.body()["firing"][0]["told"] is False
    assert bench.look(2, 50.0) == [FIRING]
    assert bench.desk.body()["firing"][0]["told"] is True
    assert bench.look(CLEAR) == [RESOLVED]


def test_by_default_signals_go_to_no_channel() -> None:
    bench = Bench()
    bench.desk.signal(volume("BTC-USD"))
    assert bench.offered == bench.published == []


def test_signals_go_to_channels_alone_and_have_a_cooldown_each() -> None:
    bench = Bench(alerts=("volume", "price"))
    for _ in range(3):
        bench.desk.signal(volume("BTC-USD"))
        bench.desk.signal(volume("ETH-USD"))
    bench.desk.signal(price("BTC-USD", FIRING))
    bench.desk.signal(price("BTC-USD", RESOLVED))
    bench.desk.signal(price("BTC-USD", FIRING))  # too soon, and so is its end
    bench.desk.signal(price("BTC-USD", RESOLVED))
    told = [(notice.alert.key, notice.alert.state) for notice in bench.offered]
    assert told == [("volume:BTC-USD", ONCE), ("volume:ETH-USD", ONCE), ("price:BTC-USD", FIRING),
                    ("price:BTC-USD", RESOLVED)]  # fmt: skip
    assert bench.published == bench.noted == []  # they were, as events of their own
    assert bench.look(FIRE, 50.0) == [FIRING]
    assert len(bench.offered) == 4  # operational kinds were not asked for


def test_the_end_of_an_alert_is_told_after_a_restart() -> None:
    before = Bench()
    assert before.look(FIRE, 50.0) == [FIRING]
    rows = before.desk.firing_rows()
    again = Bench()
    again.desk.restore(rows)
    assert again.desk.firing_rows() == rows
    assert again.look(CLEAR - 1) == []
    assert [alert["key"] for alert in again.desk.body()["firing"]] == ["coverage"]
    assert again.look(3) == [RESOLVED]
    assert again.published[0]["message"] == (
        "no longer so after a restart of the hub: only 50 % of 10 products are covered"
    )
    assert again.published[0]["since"] == before.published[0]["since"]
    assert [notice.alert.state for notice in again.offered] == [RESOLVED]
    assert again.desk.firing_rows() == []
    again.desk.restore(rows)  # the file was opened anew
    assert again.look(20) == []


def test_what_still_holds_after_a_restart_is_told_once_and_so_is_its_end() -> None:
    before = Bench()
    before.look(FIRE, 50.0)
    again = Bench()
    again.look(3, 50.0)
    again.desk.restore(before.desk.firing_rows())  # the file could not be opened at the start
    assert again.look(60, 50.0) == []
    assert again.look(CLEAR) == [RESOLVED]
    assert again.published[0]["message"] == "the products are covered again"


def test_of_a_price_spike_of_before_a_restart_the_end_is_told_at_once() -> None:
    before = Bench(alerts=("price",))
    before.desk.signal(price("BTC-USD", FIRING))
    again = Bench(alerts=("price",))
    again.desk.restore([*before.desk.firing_rows(), "{}", "[1]", '["k","price","info","once","t",1,null]', "[" * 999])
    again.look(1)
    assert [(notice.alert.key, notice.alert.state) for notice in again.offered] == [("price:BTC-USD", RESOLVED)]
    assert again.offered[0].alert.text == "nobody has watched since a restart of the hub: BTC-USD: pump"
    assert again.published == []


def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    bench = Bench(alerts=("volume", "price"))
    for number in range(100):
        bench.desk.signal(price(f"P{number}-USD", FIRING))
    assert (len(bench.desk._told_at), len(bench.desk._told)) == (10, 10)


def test_a_test_tells_the_outcome_of_each_channel_in_time() -> None:
    with (
        Receiver() as good, Receiver(status(404)) as bad,
        Receiver(lambda handler: handler.server.end.wait(20)) as mute,  # type: ignore[attr-defined]
    ):  # fmt: skip
        urls = (good.url, bad.url, mute.url)
        settings = Settings(webhook_url=urls, webhook_allowed_hosts=("127.0.0.1",))
        published: list[str] = []
        desk = Desk(settings, lambda _, text: published.append(text), lambda *_: None, lambda: False)
        began = time.monotonic()
        running = threading.Thread(target=lambda: published.append(str(desk.test(1.5))))
        running.start()
        while not mute.posts:
            time.sleep(0.01)
        with pytest.raises(TestIsRunning):
            desk.test()
        running.join(5)
        assert time.monotonic() - began < 3
        assert published[1] == str({"socketio": "sent", "webhook_1": "sent", "webhook_2": "http_404",
                                    "webhook_3": "no answer yet"})  # fmt: skip
        assert json.loads(published[0])["kind"] == good.posts[0].body["kind"] == "test"
        desk.stop(1.0)


# -- words -----------------------------------------------------------------------------------------------

NASTY = "@everyone <!channel> <@U1> [here](https://evil.example) *bold* `code` \r\n\x1b[31m & \u202e"


def alert(text: str = NASTY, state: str = FIRING) -> Alert:
    return Alert("k", "coverage", CRITICAL, state, text, AT)


def test_one_webhook_body_serves_slack_discord_and_programs() -> None:
    body = json.loads(webhook_body(alert(), AT, True))
    assert body["message"] == NASTY  # for programs, as it is
    assert "<" not in body["text"]
    assert "@everyone" not in body["text"] + body["content"]
    assert "&lt;!channel&gt;" in body["text"]
    assert r"\[here\]\(https://evil.example\)" in body["content"]
    assert body["allowed_mentions"] == {"parse": []}
    assert body["mrkdwn"] is False
    assert body["text"].startswith("[CRITICAL] ")
    assert body["text"].endswith(" (since 2027-01-15T08:00:00Z) [simulated prices]")
    for line in (body["text"], body["content"]):
        assert line.replace("\u200b", "").isprintable()


def test_telegram_gets_plain_text() -> None:
    body = json.loads(telegram_body(alert("all is lost"), "-100123", False))
    assert body == {
        "chat_id": "-100123", "text": "[CRITICAL] all is lost (since 2027-01-15T08:00:00Z)",
        "link_preview_options": {"is_disabled": True},
    }  # fmt: skip


def test_lines() -> None:
    assert line_of(alert("x", RESOLVED), False).startswith("[RESOLVED] x")
    assert line_of(volume("BTC-USD"), False) == "[VOLUME] BTC-USD: volume"
    assert len(for_discord(line_of(alert("*@" * 9_999), True))) < 2_000
    assert len(line_of(alert("a" * 9_999), False)) < MAX_TEXT + 100
    assert for_slack("a & b") == "a &amp; b"
