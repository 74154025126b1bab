"""Which of the listed products are asked for: ids, patterns, the top by volume, exclusions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.selectors import SLACK, Chosen, select, usd_rate
from hub.model import Product

BASES, QUOTES = ("BTC", "ETH", "SOL", "ADA", "DOGE"), ("USD", "EUR", "USDC")
PRODUCTS = [Product(f"{base}-{quote}", base, quote) for base in BASES for quote in QUOTES]
VOLUMES = {item.id: Decimal(100 - number) for number, item in enumerate(PRODUCTS)}
EVERYTHING = ("*-USD",)


def chosen(*selectors: str, watched: tuple[str, ...] = (), products: list[Product] = PRODUCTS) -> set[str]:
    return set(select(products, selectors, EVERYTHING, VOLUMES, watched).product_ids)


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ("BTC-USD", "BTC-USD"),
        ("*-EUR", "BTC-EUR ETH-EUR SOL-EUR ADA-EUR DOGE-EUR"),
        ("BTC-*", "BTC-USD BTC-EUR BTC-USDC"),
        ("*-USD,BTC-EUR,!DOGE-USD,!ADA-*", "BTC-USD ETH-USD SOL-USD BTC-EUR"),
        ("!DOGE-USD,*-USD", "BTC-USD ETH-USD SOL-USD ADA-USD"),  # wherever it stands
        ("!DOGE-USD,!ADA-*", "BTC-USD ETH-USD SOL-USD"),  # alone: of the quote currency
        ("top:2", "BTC-USD ETH-USD"),
        ("top:2,!BTC-USD", "ETH-USD SOL-USD"),  # what is excluded takes no place
        ("*-*,top:4", "BTC-USD BTC-EUR BTC-USDC ETH-USD"),
        ("*-USD,top:2,*-EUR,top:1", "BTC-USD ETH-USD BTC-EUR"),
        ("*-USD,top:1,ADA-*", "BTC-USD ADA-USD ADA-EUR ADA-USDC"),
        ("DOGE-EUR,top:1", "DOGE-EUR BTC-USD"),  # ids neither count nor suffer
        ("*-USD,DOGE-EUR,top:1", "DOGE-EUR BTC-USD"),
        ("top:100", "BTC-USD ETH-USD SOL-USD ADA-USD DOGE-USD"),
        ("*-*,!*-*", ""),
    ],
)
def test_what_selectors_choose(selectors: str, expected: str) -> None:
    assert chosen(*selectors.split(",")) == set(expected.split())


def test_an_id_may_be_halted_and_what_a_pattern_finds_must_be_online_or_watched() -> None:
    products = [Product("BTC-USD", "BTC", "USD", status="offline"), Product("ETH-USD", "ETH", "USD", status=None),
                Product("SOL-USD", "SOL", "USD")]  # fmt: skip
    assert chosen("*-USD", products=products) == {"SOL-USD"}
    assert chosen("*-USD", products=products, watched=("BTC-USD", "ETH-USD")) == {"BTC-USD", "SOL-USD"}
    found = select(products, ("BTC-USD", "ETH-USD", "NO-USD", "BAD-USD", "!BAD-*"), EVERYTHING, {})
    assert found == Chosen(frozenset({"BTC-USD"}), ("ETH-USD", "NO-USD"))


lists = st.permutations(range(40))


def ranked(order: list[int]) -> tuple[list[Product], dict[str, Decimal]]:
    products = [Product(f"C{number}-USD", f"C{number}", "USD") for number in range(40)]
    return products, {f"C{number}-USD": Decimal(1000 - rank) for rank, number in enumerate(order)}


@given(lists, lists, st.integers(1, 50))
def test_the_top_is_as_long_as_asked_for_and_has_slack(first: list[int], second: list[int], count: int) -> None:
    products, volumes = ranked(first)
    before = select(products, (f"top:{count}",), EVERYTHING, volumes).product_ids
    assert before == {f"C{number}-USD" for number in first[:count]}
    _, volumes = ranked(second)
    after = select(products, (f"top:{count}",), EVERYTHING, volumes, before).product_ids
    assert len(after) == min(count, 40)
    rank = {f"C{number}-USD": number_rank for number_rank, number in enumerate(second, 1)}
    for product_id in before - after:
        assert rank[product_id] > count  # who is in the top by rank never leaves
    for product_id in after - before:
        assert rank[product_id] <= count * SLACK
    for product_id in rank.keys() - after:
        assert rank[product_id] > count / SLACK - 1  # who is far up is in
    assert select(products, (f"top:{count}",), EVERYTHING, volumes, after).product_ids == after  # and it settles


@given(st.lists(st.sampled_from(["*-USD", "BTC-*", "*-*", "ETH-EUR", "!ETH-*", "!*-EUR", "top:3", "!SOL-USD"])))
def test_what_is_excluded_is_never_chosen(selectors: list[str]) -> None:
    found = chosen(*selectors)
    for item in selectors:
        if item.startswith("!"):
            base, quote = item[1:].split("-")
            assert not {one for one in found if base in ("*", one.split("-")[0]) and quote in ("*", one.split("-")[1])}
    assert found <= {item.id for item in PRODUCTS}


def test_rates_to_the_dollar() -> None:
    prices = {"GBP-USD": Decimal("1.3"), "BTC-USD": Decimal(90_000), "BTC-EUR": Decimal(75_000), "X-Y": Decimal(2)}
    assert usd_rate("USD", {}) == usd_rate("USDC", {}) == 1
    assert usd_rate("GBP", prices) == Decimal("1.3")
    assert usd_rate("EUR", prices) == Decimal("1.2")
    assert usd_rate("EUR", {**prices, "USDC-EUR": Decimal("0.8")}) == Decimal("1.25")
    assert usd_rate("BTC", prices) == 90_000
    assert usd_rate("Y", prices) is None
    assert usd_rate("EUR", {"BTC-EUR": Decimal(0), "BTC-USD": Decimal(1)}) is None


def test_what_can_not_be_converted_ranks_last_and_among_itself_by_its_own_volume() -> None:
    products = [Product("A-X", "A", "X", Decimal(1)), Product("B-X", "B", "X", Decimal(2))]
    products.append(Product("C-USD", "C", "USD"))
    volumes = {"C-USD": Decimal("0.5")}
    assert select(products, ("*-X", "top:1"), EVERYTHING, volumes).product_ids == {"B-X"}
    assert select(products, ("*-*", "top:2"), EVERYTHING, volumes).product_ids == {"B-X", "C-USD"}
