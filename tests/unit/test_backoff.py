"""Delays between attempts: exact with a seeded random source, never past the cap."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hub.feed.backoff import Backoff


class Largest(Random):
    """Draws the largest delay every time."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


@given(
    st.floats(0.1, 60.0),
    st.floats(0.1, 3600.0),
    st.lists(st.floats(0.0, 100.0), max_size=60),
    st.integers(0, 1000),
)
def test_a_delay_is_within_the_bound_which_is_within_the_cap(
    base: float, cap: float, held: list[float], seed: int
) -> None:
    backoff = Backoff(base, cap, 30.0, Random(seed))
    for data_seconds in held:
        expected = 0 if data_seconds >= 30.0 else backoff.failures
        delay = backoff.failed(data_seconds)
        assert backoff.failures == expected + 1
        assert 0.0 <= delay <= min(cap, base * 2.0**expected)
        assert backoff.bound_seconds() <= cap


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 60.0, 30.0, Largest())
    assert [backoff.failed() for _ in range(9)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_the_jitter_is_full_and_exact() -> None:
    source, backoff = Random(7), Backoff(1.0, 60.0, 30.0, Random(7))
    bounds = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert [backoff.failed() for _ in bounds] == [source.uniform(0.0, bound) for bound in bounds]
    spread = [Backoff(1.0, 60.0, 30.0, Random(seed)).failed() for seed in range(200)]
    assert min(spread) < 0.1
    assert max(spread) > 0.9


def test_it_starts_over_only_after_enough_data() -> None:
    backoff = Backoff(1.0, 60.0, 30.0, Largest())
    for _ in range(5):
        backoff.failed(29.999)  # accepts, talks, hangs up: not a success
    assert backoff.bound_seconds() == 32.0
    assert backoff.failed(30.0) == 1.0
    assert backoff.failures == 1
    assert backoff.failed() == 2.0


def test_a_million_failures_do_not_overflow() -> None:
    backoff = Backoff(1.0, 60.0, 30.0, Largest())
    backoff.failures = 1_000_000
    assert backoff.failed() == 60.0
