"""The fault that gathers trades on some products."""

from __future__ import annotations

from collections import Counter

from hub.simulator.market import GeneratedMarket


def shares(market: GeneratedMarket, count: int = 4_000) -> dict[str, float]:
    drawn = Counter(market.trade(0).product_id for _ in range(count))
    return {product_id: number / count for product_id, number in drawn.items()}


def test_products_have_the_share_that_is_asked_for_evenly_and_give_it_back() -> None:
    market = GeneratedMarket(30, 100.0, 1, 0.0, 1e9)
    chosen = market.product_ids[10:15]
    before = sum(share for item, share in shares(market).items() if item in chosen)
    assert before < 0.2
    market.concentrate(chosen, 0.5)
    found = shares(market)
    assert 0.45 < sum(found[item] for item in chosen) < 0.55
    assert all(0.07 < found[item] < 0.13 for item in chosen)
    assert found[market.product_ids[0]] > 2 * found[market.product_ids[2]]  # the others are as they were to each other
    market.concentrate((), 0.0)
    assert sum(share for item, share in shares(market).items() if item in chosen) < 0.2
