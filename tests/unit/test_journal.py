"""The journal: bounded, in order, and never flooded."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from hub import journal as module
from hub.journal import KINDS, TONES, Entry, Journal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def texts(journal: Journal, **wanted: object) -> list[str]:
    return [entry.text for entry in journal.query(**wanted)]  # type: ignore[arg-type]


def test_entries_come_back_newest_first_with_all_that_was_said(clock: Clock) -> None:
    journal = Journal(7, clock)
    journal.note("lost", "conn_004 lost", tone="bad", connection_id="conn_004", cause="silent")
    journal.note("moved", "BTC-USD moved", product="BTC-USD")
    newest, oldest = (entry.body() for entry in journal.query())
    assert oldest.pop("time") <= newest["time"]
    assert oldest == {
        "id": 7, "kind": "lost", "tone": "bad", "connection_id": "conn_004", "product": None, "text": "conn_004 lost",
        "data": {"cause": "silent"},
    }  # fmt: skip
    assert (newest["id"], newest["product"], newest["tone"], journal.last_id) == (8, "BTC-USD", "info", 8)


def test_a_query_chooses(clock: Clock) -> None:
    journal = Journal(1, clock)
    journal.note("lost", "a", connection_id="conn_000")
    journal.note("connected", "b", connection_id="conn_001")
    journal.note("listed", "c", products=["A-USD", "B-USD"], connections=["conn_002", "conn_003"])
    assert texts(journal, kinds={"lost", "listed"}) == ["c", "a"]
    assert texts(journal, connection_id="conn_001") == ["b"]
    assert texts(journal, connection_id="conn_003") == ["c"]
    assert texts(journal, product="B-USD") == ["c"]
    assert texts(journal, after=2) == ["c"]
    assert texts(journal, limit=2) == ["c", "b"]
    assert texts(journal, since=journal.query()[0].at + 1) == []
    assert [entry.text for entry in journal.after(1)] == ["b", "c"]
    assert [entry.text for entry in journal.after(0, 1)] == ["a"]


def test_a_flood_of_one_connection_is_counted_and_hides_no_other(clock: Clock) -> None:
    journal = Journal(1, clock)
    for number in range(100):
        journal.note("resubscribed", f"{number}", connection_id="conn_000", product=f"P{number}-USD")
    journal.note("resubscribed", "other", connection_id="conn_001")
    assert texts(journal) == ["other", "4", "3", "2", "1", "0"]
    clock.now += 1.0
    journal.tidy()
    entry = journal.query(limit=1)[0]
    assert (entry.text, entry.data["left_out"]) == ("99 (and 94 more like it)", 94)
    assert (entry.names("P50-USD"), len(entry.data["products"])) == (True, 95)
    clock.now += 5.0
    journal.tidy()
    assert len(journal.query()) == 7
    journal.note("resubscribed", "again", connection_id="conn_000")
    assert texts(journal, limit=1) == ["again"]


def test_what_was_left_out_is_named_before_the_next(clock: Clock) -> None:
    journal = Journal(1, clock)
    for number in range(7):
        journal.note("pause", f"{number}")
    clock.now += 2.0
    journal.note("pause", "next")
    assert texts(journal, limit=2) == ["next", "6 (and 1 more like it)"]


def test_it_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    journal = Journal(1, clock)
    for number in range(6_000):
        clock.now += 1.0
        journal.note("lost", "x" * 1_000, connection_id=f"conn_{number}")
    entries = journal.query(limit=10_000)
    assert (len(entries), entries[0].id, len(entries[0].text)) == (module.MAX_ENTRIES, 6_000, module.MAX_TEXT)
    assert len(journal._seconds) <= 11


def test_where_it_is_full_the_most_frequent_kind_gives_way(clock: Clock) -> None:
    journal = Journal(1, clock)
    journal.note("lost", "the one that matters")
    for number in range(6_000):
        clock.now += 1.0
        journal.note("alert", f"{number}")
    assert texts(journal, kinds={"lost"}) == ["the one that matters"]
    assert texts(journal, limit=10_000)[-2] == f"{6_000 - module.MAX_ENTRIES + 1}"


def flood(journal: Journal, clock: Clock, event: str, count: int, kind: str = "alert") -> None:
    for number in range(count):
        clock.now += 1.0
        journal.note(kind, f"{event} {number}", product=f"P{number % 50}-USD", payload="{}", event=event)


def test_what_clients_cause_never_has_more_than_its_part(clock: Clock) -> None:
    journal = Journal(1, clock)
    journal.note("alert", "the hub's own", event="hub_alert")
    flood(journal, clock, "volume_alert", 100)
    flood(journal, clock, "spike_alert", 6_000)
    flood(journal, clock, "trade_update", 6_000)
    flood(journal, clock, "", 3_000, kind="priority")
    entries = journal.query(limit=10_000)
    groups = Counter(entry.group for entry in entries)
    assert groups == {"hub_alert": 1, "signal": 100, "relayed": 1_000, "priority": 500}
    assert {entry.text for entry in entries if entry.group == "relayed"} == {
        f"trade_update {number}" for number in range(5_000, 6_000)
    }  # fmt: skip
    flood(journal, clock, "volume_alert", 6_000)
    assert journal.alerts(limit=1, event="hub_alert")[0].text == "the hub's own"
    again = Journal(1, clock)
    again.restore(entries)
    assert Counter(entry.group for entry in again.query(limit=10_000)) == groups


def test_each_group_of_alerts_has_its_room_among_the_newest(clock: Clock) -> None:
    journal = Journal(1, clock)
    flood(journal, clock, "hub_alert", 5)
    flood(journal, clock, "volume_alert", 30)
    flood(journal, clock, "spike_alert", 900)
    found = journal.alerts(limit=30)
    assert [entry.id for entry in found] == sorted((entry.id for entry in found), reverse=True)
    assert Counter(entry.group for entry in found) == {"hub_alert": 5, "signal": 10, "relayed": 15}
    assert [entry.text for entry in found if entry.group == "hub_alert"] == [f"hub_alert {n}" for n in (4, 3, 2, 1, 0)]
    assert len(journal.alerts(limit=10_000)) == 935
    assert [entry.text for entry in journal.alerts(limit=1)] == ["spike_alert 899"]
    assert [entry.text for entry in journal.alerts(product="P4-USD", event="hub_alert")] == ["hub_alert 4"]
    assert journal.alerts(event="price_alert") == journal.alerts(since=journal.query()[0].at + 1) == []


def test_a_flood_of_clients_in_one_second_leaves_out_nothing_of_the_hub(clock: Clock) -> None:
    journal = Journal(1, clock)
    for number in range(100):
        journal.note("alert", f"{number}", product=f"P{number}-USD", payload="{}", event="spike_alert")
    journal.note("alert", "no connection is up", event="hub_alert")
    assert texts(journal, limit=1) == ["no connection is up"]


def test_an_entry_for_several_alerts_names_what_they_were(clock: Clock) -> None:
    journal = Journal(1, clock)
    for number in range(25):
        journal.note("alert", f"{number}", product=f"P{number}-USD", payload='{"a":1}', event="spike_alert")
        journal.note("alert", f"BTC {number}", product="BTC-USD", payload='{"b":1}', event="trade_update")
    clock.now += 1.0
    journal.tidy()
    several, one = journal.query(limit=2)[::-1]
    assert (several.text, several.product, several.payload) == (
        "5 more spike_alerts in one second: of 5 products: P20-USD, P21-USD, P22-USD and 2 more", None, None
    )  # fmt: skip
    assert several.data == {"event": "spike_alert", "left_out": 4, "products": [f"P{n}-USD" for n in range(20, 25)]}
    assert (one.text, one.product, one.payload) == ("BTC 24 (and 4 more like it)", "BTC-USD", '{"b":1}')


def test_alerts_keep_what_they_were_sent_as_where_it_is_short(clock: Clock) -> None:
    journal = Journal(1, clock)
    journal.note("alert", "short", payload='{"a":1}')
    journal.note("alert", "long", payload=" " * (module.MAX_PAYLOAD + 1))
    assert [entry.payload for entry in journal.query()] == [None, '{"a":1}']
    assert "payload" not in journal.query()[0].body()


def test_what_was_kept_goes_before_what_is_new(clock: Clock) -> None:
    journal = Journal(10, clock)
    journal.note("pause", "new")
    journal.restore([Entry(number, 5.0, "pause", "info", None, None, f"old {number}", {}) for number in (3, 4, 10)])
    assert texts(journal) == ["new", "old 4", "old 3"]
    journal.restore([Entry(50, 5.0, "pause", "info", None, None, "of a clock that was fast", {})])
    journal.note("pause", "newest")
    assert (texts(journal, limit=1), journal.last_id) == (["newest"], 51)


def test_the_words_are_settled() -> None:
    assert len(set(KINDS)) == 16
    assert set(TONES) == {"ok", "info", "warn", "bad"}


def test_the_timeline_of_the_page_asks_for_every_kind_but_alerts() -> None:
    script = (Path(module.__file__).parents[1] / "static/js/timeline.js").read_text()
    found = re.search(r'^const KINDS = "(.*?)";$', script, re.M | re.S)
    assert found is not None
    assert re.findall(r"\w+", found[1]) == [kind for kind in module.KINDS if kind != "alert"]
