"""What a cause of loss means for the next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.policy import POLICIES, SLOW_SECONDS, Policy, after

FAST = Policy(0.0, False)
SLOW = Policy(SLOW_SECONDS, False)


@pytest.mark.parametrize(
    ("cause", "policy"),
    [
        ("closed_1000", FAST),  # a clean close that the hub did not ask for is a loss as any other
        ("closed_1001", FAST),
        ("closed_1005", FAST),
        ("closed_1006", FAST),
        ("closed_1008", SLOW),
        ("closed_1009", Policy(0.0, True)),
        ("closed_1011", FAST),
        ("closed_1012", FAST),
        ("closed_1013", SLOW),
        ("closed_4000", SLOW),
        ("closed_4999", SLOW),
        ("closed_other", FAST),
        ("on_demand", Policy(0.0, False, failure=False)),
        ("http_401", SLOW),
        ("http_403", SLOW),
        ("http_429", SLOW),
        ("http_503", FAST),
        ("http_200", FAST),
        ("tls", SLOW),
        ("reset", FAST),
        ("eof", FAST),
        ("silent", FAST),
        ("connect_timeout", FAST),
        ("dns", FAST),
        ("refused", FAST),
        ("no_data", FAST),
        ("bug", FAST),
        ("", FAST),
    ],
)
def test_the_table(cause: str, policy: Policy) -> None:
    assert after(cause) == policy


@given(st.integers(1000, 4999))
def test_every_close_code_has_a_policy_that_is_no_ban(code: int) -> None:
    policy = after(f"closed_{code}")
    assert 0.0 <= policy.min_delay_seconds <= 10.0
    assert policy.smaller_requests == (code == 1009)


def test_the_slow_ones_are_slow_enough_to_matter() -> None:
    assert SLOW_SECONDS >= 1.0
    assert all(policy.min_delay_seconds in (0.0, SLOW_SECONDS) for policy in POLICIES.values())
