"""How many products a client's names and patterns are."""

from hub.audience import _counts
from hub.fanout.choice import Choice

PRODUCTS = ("BTC-USD", "BTC-EUR", "ETH-USD", "ETH-EUR", "SOL-USD")


def test_names_and_patterns_count_as_a_choice_wants_them() -> None:
    asked = {frozenset(names.split()) for names in (
        "", "BTC-USD", "NOPE-USD", "*-USD", "BTC-* *-USD BTC-EUR", "*-* BTC-USD", "*-GBP"
    )}  # fmt: skip
    counts = _counts(asked, PRODUCTS)
    assert counts == {names: sum(Choice(names).wants(item) for item in PRODUCTS) for names in asked}
    assert sorted(counts.values()) == [0, 0, 0, 1, 3, 4, 5]


def test_nobody_asked() -> None:
    assert _counts(set(), PRODUCTS) == {}
