"""The made-up market: the same seed gives the same trades, and what they say is consistent."""

import json
from collections import Counter
from decimal import Decimal

import pytest

from hub.simulator.market import GeneratedMarket, Tick, activity_weights, fixed, heartbeat_frame, short, time_text
from hub.simulator.products import make_product

WALL = 1_764_000_000.0
TICKER_FIELDS = ["simulated", "type", "sequence", "product_id", "price", "open_24h", "volume_24h", "low_24h",
                 "high_24h", "volume_30d", "best_bid", "best_bid_size", "best_ask", "best_ask_size", "side", "time",
                 "trade_id", "last_size"]  # fmt: skip


class Anyone:
    """An audience that takes everything."""

    def has_room(self, product_id: str) -> bool:  # noqa: ARG002
        return True

    def covers(self, product_ids: tuple[str, ...]) -> bool:  # noqa: ARG002
        return True


def market(count: int = 40, seed: int = 1, rate: float = 1_000.0, exponent: float = 1.1) -> GeneratedMarket:
    return GeneratedMarket(count, rate, seed, now=0.0, wall=WALL, exponent=exponent)


def ticks(source: GeneratedMarket, count: int) -> list[Tick]:
    return [source.trade(int((WALL + number / 1_000) * 1e6)) for number in range(count)]


def test_same_seed_gives_the_same_trades() -> None:
    assert ticks(market(seed=7), 2_000) == ticks(market(seed=7), 2_000)


def test_a_product_that_is_added_is_listed_and_trades_at_once() -> None:
    source, same = market(), market()
    source.add(make_product("NEW-EUR"), WALL)
    assert source.product_ids == (*same.product_ids, "NEW-EUR")
    assert source.listing()[-1]["id"] == "NEW-EUR"
    assert source.snapshot("NEW-EUR") is not None
    count = Counter(tick.product_id for tick in ticks(source, 4_500))
    assert 60 <= count["NEW-EUR"] <= 150  # one of 46 with the foreign ones: 98 on average
    ranges = source.happened("NEW-EUR")
    assert ranges[0][1] - ranges[0][0] == count["NEW-EUR"]  # the first is the one that subscribers are shown


def test_another_seed_gives_others() -> None:
    assert ticks(market(seed=7), 100) != ticks(market(seed=8), 100)


def test_timing_does_not_change_what_is_generated() -> None:
    def without_times(steps: list[float]) -> list[dict]:
        source = market()
        made = [tick for now in steps for tick in source.due(now, WALL + now, Anyone())]
        frames = [json.loads(tick.frame) for tick in made][:500]
        return [{name: value for name, value in frame.items() if name != "time"} for frame in frames]

    smooth, jerky = without_times([n / 100 for n in range(1, 80)]), without_times([0.3, 0.31, 0.8])
    assert len(smooth) == 500
    assert smooth == jerky


def test_a_frame_has_the_exchange_s_fields_in_its_order_behind_the_mark() -> None:
    frame = json.loads(ticks(market(), 1)[0].frame)
    assert list(frame) == TICKER_FIELDS
    assert frame["simulated"] is True
    no_text = {name for name, value in frame.items() if not isinstance(value, str)}
    assert no_text == {"simulated", "sequence", "trade_id"}


def test_trade_ids_are_dense_and_sequence_and_time_never_go_back() -> None:
    source = market()
    last: dict[str, dict] = {one: json.loads(source.snapshot(one) or b"") for one in source.product_ids}
    jumps = 0
    for tick in ticks(source, 5_000):
        frame = json.loads(tick.frame)
        before = last[tick.product_id]
        assert frame["trade_id"] == before["trade_id"] + 1
        assert frame["sequence"] > before["sequence"]
        assert frame["time"] >= before["time"]
        jumps += frame["sequence"] > before["sequence"] + 1
        last[tick.product_id] = frame
    assert jumps > 1_000


def test_time_of_a_product_does_not_follow_a_wall_clock_that_is_set_back() -> None:
    source = market(count=1)
    first = json.loads(source.trade(int(WALL * 1e6)).frame)["time"]
    assert json.loads(source.trade(int((WALL - 3_600) * 1e6)).frame)["time"] == first


def test_prices_are_consistent() -> None:
    source = market()
    opens: dict[str, str] = {}
    volumes: dict[str, Decimal] = {}
    for tick in ticks(source, 20_000):
        frame = json.loads(tick.frame)
        price, low, high = (Decimal(frame[name]) for name in ("price", "low_24h", "high_24h"))
        assert 0 < low <= price <= high
        assert low <= Decimal(frame["open_24h"]) <= high
        assert 0 < Decimal(frame["best_bid"]) < Decimal(frame["best_ask"])
        assert Decimal(frame["best_bid"]) <= price <= Decimal(frame["best_ask"])
        assert Decimal(frame["last_size"]) > 0
        assert opens.setdefault(tick.product_id, frame["open_24h"]) == frame["open_24h"]
        volume = Decimal(frame["volume_24h"])
        if tick.product_id in volumes:
            assert volume - volumes[tick.product_id] == Decimal(frame["last_size"])
        volumes[tick.product_id] = volume
        assert abs(price / Decimal(frame["open_24h"]) - 1) < Decimal("0.1")


def test_activity_follows_zipf_with_a_nearly_silent_tail() -> None:
    counts = Counter(tick.product_id for tick in ticks(market(count=100), 40_000))
    assert counts["BTC-USD"] / counts["ETH-USD"] == pytest.approx(2**1.1, rel=0.1)
    assert counts["BTC-USD"] / counts["ADA-USD"] == pytest.approx(6**1.1, rel=0.15)
    silent = market(count=100).product_ids[95:100]
    assert sum(counts[one] for one in silent) < 5
    weights = activity_weights(100, 1.1)
    assert weights == sorted(weights, reverse=True)


def test_the_rate_is_held_and_a_long_pause_is_not_made_up_for() -> None:
    source = market(rate=1_000.0)
    made = sum(1 for now in range(1, 101) for _ in source.due(now / 100, WALL + now / 100, Anyone()))
    assert made == pytest.approx(1_000, abs=1)
    assert len(list(source.due(31.0, WALL + 31, Anyone()))) == 1_000
    source.restart_clock(90.0)
    assert list(source.due(90.0, WALL + 90, Anyone())) == []
    assert len(list(source.due(90.1, WALL + 90.1, Anyone()))) == pytest.approx(100, abs=1)


def test_trades_pages_run_from_the_newest_down() -> None:
    source = market(count=1)
    made = [tick.trade_id for tick in ticks(source, 6_000)]
    last = made[-1]
    assert [row["trade_id"] for row in source.trades("BTC-USD", 3, None, None)] == [last, last - 1, last - 2]
    assert [row["trade_id"] for row in source.trades("BTC-USD", 2, last - 100, None)] == [last, last - 1]
    assert [row["trade_id"] for row in source.trades("BTC-USD", 2, None, last - 10)] == [last - 11, last - 12]
    assert source.trades("BTC-USD", 10, last, None) == []
    kept = source.trades("BTC-USD", 9_999, None, None)
    assert len(kept) == 5_000
    assert kept[-1]["trade_id"] == last - 4_999


def test_a_trade_in_rest_is_the_one_of_the_ticker() -> None:
    source = market(count=1)
    frames = {tick.trade_id: json.loads(tick.frame) for tick in ticks(source, 5_500)}
    for row in source.trades("BTC-USD", 5_000, None, None):
        frame = frames[row["trade_id"]]
        assert (row["price"], row["size"], row["time"]) == (frame["price"], frame["last_size"], frame["time"])
        assert {row["side"], frame["side"]} == {"buy", "sell"}  # the maker's here, the taker's there


def test_the_list_holds_what_the_real_one_does() -> None:
    source = market(count=340)
    rows = source.listing()
    usd = [row["id"] for row in rows if row["quote_currency"] == "USD" and row["status"] == "online"]
    assert len(usd) == len(set(usd)) == 340
    assert usd[0] == "BTC-USD"
    assert usd[-1].startswith("SIM")
    assert any(row["status"] == "delisted" and row["trading_disabled"] for row in rows)
    assert any(row["quote_currency"] == "EUR" for row in rows)
    assert {row["id"] for row in rows if row["status"] == "online"} == set(source.product_ids)
    assert len({row["id"] for row in rows}) == len(rows)


def test_the_default_size_needs_no_made_up_product() -> None:
    assert not any("SIM0" in one for one in market(count=326).product_ids)


def test_texts() -> None:
    assert (fixed(205, 2), fixed(5, 8), short(13440, 2), short(276200, 2)) == ("2.05", "0.00000005", "134.4", "2762")
    assert time_text(1_764_004_488_870_548) == "2025-11-24T17:14:48.870548Z"
    assert json.loads(heartbeat_frame("A-USD", 5, 9, "t")) == {
        "simulated": True, "type": "heartbeat", "last_trade_id": 5, "product_id": "A-USD", "sequence": 9, "time": "t",
    }  # fmt: skip
