"""Which priority pairs call for somebody, and in how many alerts, whatever clients add and remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.detect.pairs import MANY, MANY_PINNED, ONE_BY_ONE, PACE_SECONDS, PRIORITY_SECONDS, Doubt, Pairs


class Bench:
    """Looks once a second; what was yielded fires from then on, what was not is over at once."""

    def __init__(self, *pinned: str) -> None:
        self.pairs = Pairs()
        self.pinned = pinned
        self.now = 1_000.0
        self.firing: dict[str, Doubt] = {}
        self.began: list[str] = []

    def look(self, seconds: int, doubtful: Iterable[str] = (), why: str = "old") -> list[str]:
        """Return the keys that began to fire."""
        before = len(self.began)
        for _ in range(seconds):
            self.now += 1
            found = {
                doubt.key: doubt
                for doubt in self.pairs.doubts(
                    self.now, dict.fromkeys(doubtful, why), self.pinned, self.firing.__contains__
                )
            }
            self.began += [key for key in found if key not in self.firing]
            self.firing = found
        return self.began[before:]


def names(first: int, last: int) -> list[str]:
    return [f"P{number}-USD" for number in range(first, last)]


def test_a_few_have_an_alert_each_and_more_have_one() -> None:
    bench = Bench()
    assert bench.look(int(PRIORITY_SECONDS), names(0, 3)) == []
    assert bench.look(1, names(0, 3)) == ["priority:P0-USD", "priority:P1-USD", "priority:P2-USD"]
    assert bench.look(60, names(0, 50)) == [MANY]
    assert bench.firing[MANY].text.startswith("the prices of 47 priority pairs can't be trusted: P3-USD, P4-USD,")
    assert bench.firing[MANY].age_seconds == 59
    bench.look(3, names(40, 41))
    assert bench.firing[MANY].text == "the price of 1 priority pair can't be trusted: P40-USD: old"


def test_pinned_ones_are_counted_apart() -> None:
    bench = Bench("A-USD", "B-USD")
    assert set(bench.look(10, ["A-USD", "B-USD", *names(0, 300)])) == {"priority:A-USD", "priority:B-USD", MANY}
    bench = Bench(*names(0, 20))
    assert set(bench.look(10, [*names(0, 20), "X-USD"])) == {MANY_PINNED, "priority:X-USD"}


def test_who_adds_and_removes_pairs_all_the_time_makes_no_more_alerts() -> None:
    bench = Bench("A-USD")
    for number in range(30):
        bench.look(7, [f"P{number}-USD"])
        bench.look(1)
    assert Counter(key == MANY for key in bench.began) == {False: ONE_BY_ONE, True: 27}  # the desk paces one key
    assert bench.look(10, ["A-USD"]) == ["priority:A-USD"]
    bench.look(int(PACE_SECONDS))
    assert bench.look(10, ["Q-USD"]) == ["priority:Q-USD"]


def test_what_is_over_says_what_became_of_each() -> None:
    bench = Bench()
    bench.look(10, names(0, 9))
    state = {**dict.fromkeys(names(0, 6), ""), "P6-USD": "the exchange says status=delisted"}
    assert bench.pairs.over(MANY, state) == (
        "of the priority pairs that could not be trusted, 6 can be trusted again; 2 are watched as such no more "
        "(P7-USD, P8-USD); 1 are not judged any more, since nobody can trade them (P6-USD)"
    )
    assert Pairs().over(MANY, {}) is None


def test_time_that_counts_for_nothing() -> None:
    bench = Bench()
    bench.look(4, ["A-USD"])
    bench.now += 60
    bench.pairs.forgive(60)
    assert bench.look(1, ["A-USD"]) == []
    assert bench.look(1, ["A-USD"]) == ["priority:A-USD"]


@pytest.mark.parametrize("pinned", [(), ("P0-USD", "P1-USD", "P2-USD", "P3-USD", "P4-USD")])
@given(st.lists(st.sets(st.integers(0, 9), max_size=10), max_size=30))
def test_no_pair_that_is_in_doubt_for_long_is_left_out(pinned: tuple[str, ...], looks: list[set[int]]) -> None:
    bench, since = Bench(*pinned), Counter[str]()
    for doubtful in looks:
        now = [f"P{number}-USD" for number in doubtful]
        bench.look(1, now)
        since = Counter({pair: since[pair] + 1 for pair in now})
        singles = {key.removeprefix("priority:") for key in bench.firing} - {"others", "pinned"}
        assert singles <= set(now)
        for pair, seconds in since.items():
            if seconds > PRIORITY_SECONDS:
                assert pair in singles or (MANY_PINNED if pair in pinned else MANY) in bench.firing
