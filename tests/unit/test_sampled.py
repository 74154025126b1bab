"""Rhythms, minutes and beats, from one look a second."""

from math import isnan

import pytest

from hub.model import Quote, Source, Ticker
from hub.sampled import Beats, Track


def quote(trade_id: int, at: float, price: str = "1.5") -> Quote:
    ticker = Ticker("BTC-USD", price, trade_id, "2026-11-20T01:02:03Z")
    return Quote(ticker, at, at, "conn_000", Source.WS, "{")


def test_the_rhythm_is_the_time_between_two_trades() -> None:
    track = Track()
    assert track.rhythm_ms is None
    track.take(quote(100, 50.0))
    assert track.rhythm_ms is None
    for number in range(1, 20):
        track.take(quote(100 + number, 50.0 + 4 * number))
    assert track.rhythm_ms == 4_000


def test_trades_that_were_not_seen_count_by_their_ids() -> None:
    track = Track()
    for second in range(30):
        track.take(quote(100 + second // 10 * 5, float(second // 10 * 10)))
    assert track.rhythm_ms == 2_000  # five in ten seconds


def test_a_busy_product_has_the_least_rhythm() -> None:
    track = Track()
    for second in range(10):
        track.take(quote(1 + 50 * second, float(second)))
    assert track.rhythm_ms == 1_000


def test_a_slow_product_follows_its_last_handful() -> None:
    track = Track()
    at = 0.0
    for number, gap in enumerate([10.0] * 20 + [600.0] * 10):
        at += gap
        track.take(quote(1 + number, at))
    assert track.rhythm_ms is not None
    assert 450_000 < track.rhythm_ms < 600_000


def test_bursts_and_waits_make_one_rhythm() -> None:
    track = Track()
    for burst in range(20):  # ten at once, a minute of nothing
        track.take(quote(1 + 10 * burst, 60.0 * burst))
        track.take(quote(10 + 10 * burst, 60.0 * burst + 1))
    assert track.rhythm_ms == pytest.approx(6_000, rel=0.2)


@pytest.mark.parametrize("trade_id", [0, 100, 40])
def test_what_is_no_next_trade_leaves_the_rhythm(trade_id: int) -> None:
    track = Track()
    track.take(quote(95, 0.0))
    track.take(quote(100, 10.0))
    track.take(quote(trade_id, 500.0))  # REST's; the same again; ids that began anew
    assert track.rhythm_ms == 2_000


def test_a_clock_that_goes_back_makes_no_negative_rhythm() -> None:
    track = Track()
    track.take(quote(1, 10.0))
    track.take(quote(2, 9.0))
    assert track.rhythm_ms == 1_000


def test_the_minutes_of_the_last_hour() -> None:
    track = Track()
    assert track.prices(None) == [None] * 60
    track.take(quote(1, 0.0, "10"))
    track.end_minute(0)
    track.end_minute(0)  # without a trade: the price stands
    track.take(quote(2, 0.0, "11.5"))
    track.end_minute(2)  # the hub stood still for two minutes after
    assert track.prices(quote(3, 0.0, "12")) == [None] * 54 + [10.0, 10.0, 11.5, None, None, 12.0]
    for _ in range(100):
        track.end_minute(0)
    assert track.prices(None) == [11.5] * 59 + [None]
    track.end_minute(1_000_000)
    assert len(track.minutes) == 59
    assert all(map(isnan, track.minutes))


def test_beats_are_a_letter_a_second() -> None:
    beats = Beats()
    assert beats.line("conn_000", 100) == "." * 60
    beats.note(100, {"conn_000": "c"})
    beats.note(101, {"conn_000": "d", "conn_001": "h"})
    assert beats.line("conn_000", 101) == "." * 58 + "cd"
    assert beats.line("conn_001", 101) == "." * 59 + "h"
    for second in range(102, 300):
        beats.note(second, {"conn_000": "d"})
    assert beats.line("conn_000", 299) == "d" * 60
    assert beats.line("conn_001", 299) == "." * 60  # the slot went


def test_seconds_that_were_passed_over_are_not_known() -> None:
    beats = Beats()
    beats.note(100, {"conn_000": "d"})
    beats.note(104, {"conn_000": "h"})
    assert beats.line("conn_000", 104) == "." * 55 + "d...h"
    assert beats.line("conn_000", 107) == "." * 52 + "d...h" + "..."
    assert beats.line("conn_000", 100_000) == "." * 60
