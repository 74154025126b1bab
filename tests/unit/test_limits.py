"""How much a client may ask for, and whose request it is."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fanout.limits import BURST_SECONDS, BYTES_PER_EVENT, Budget, client_address

NO_ADDRESSES = (
    "unknown", "guess-74490", "1.2.3", "1.2.3.4:80", "_hidden", "fe80::1%guess-1", "::1%1", "1.2.3.4\0", "x" * 9_000,
)  # fmt: skip
PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.168.7.1/32", "fd00::/8")]


def spend(budget: Budget, times: int, now: float) -> int:
    return sum(budget.spend(now) for _ in range(times))


def test_a_burst_then_the_rate() -> None:
    budget = Budget(10.0, 100.0)
    assert spend(budget, 1_000, 100.0) == 10 * BURST_SECONDS  # in one go
    assert spend(budget, 1_000, 100.05) == 0
    assert spend(budget, 1_000, 100.5) == 5
    assert spend(budget, 1_000, 1_000.0) == 10 * BURST_SECONDS  # a long rest allows no more than that


def test_bytes_cost_too() -> None:
    budget = Budget(10.0, 0.0)
    messages = 0
    while budget.spend(0.0, 15 * BYTES_PER_EVENT):
        messages += 1
    assert messages == 10 * BURST_SECONDS // 16


def test_less_than_one_event_a_second() -> None:
    budget = Budget(0.5, 0.0)
    assert spend(budget, 50, 0.0) == 15
    assert spend(budget, 5, 1.9) == 0
    assert spend(budget, 5, 2.0) == 1


@given(st.floats(1.0, 10_000.0), st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 200)), max_size=30))
def test_no_rhythm_gets_more_than_the_rate_and_one_burst(rate: float, steps: list[tuple[float, int]]) -> None:
    budget, now, spent = Budget(rate, 0.0), 0.0, 0
    for wait, times in steps:
        now += wait
        spent += spend(budget, times, now)
    assert spent <= rate * (now + BURST_SECONDS) * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),  # what a stranger claims is not believed
        ("10.1.2.3", "1.2.3.4", "1.2.3.4"),
        ("10.1.2.3", "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # nor what a client claimed before our proxy spoke
        ("10.1.2.3", "1.2.3.4, 192.168.7.1", "1.2.3.4"),
        ("10.1.2.3", "1.2.3.4, 192.168.7.2", "192.168.7.2"),
        ("10.1.2.3", "unknown", "10.1.2.3"), ("10.1.2.3", "1.2.3.4, unknown", "10.1.2.3"),
        ("10.1.2.3", "1.2.3.4, nobody, 192.168.7.1", "192.168.7.1"), ("10.1.2.3", "1.2.3.4:5678", "10.1.2.3"),
        ("10.1.2.3", "fe80::1%anything", "10.1.2.3"), ("10.1.2.3", "2001:db8::1", "2001:db8::1"),
        ("10.1.2.3", None, "10.1.2.3"), ("10.1.2.3", " , ", "10.1.2.3"),
        ("10.1.2.3", "10.9.9.9", "10.9.9.9"),  # one of our own behind our own
        *(("10.1.2.3", name, "10.1.2.3") for name in NO_ADDRESSES),
        ("10.1.2.3", "1.2.3.4, guess", "10.1.2.3"), ("10.1.2.3", "guess, 1.2.3.4", "1.2.3.4"),
        ("::ffff:10.1.2.3", "1.2.3.4", "1.2.3.4"),  # as a socket for both protocols shows it
        ("fd00::7", "2001:db8::1", "2001:db8::1"), ("2001:db8::2", "1.2.3.4", "2001:db8::2"),
        ("", "1.2.3.4", ""),
    ],
)  # fmt: skip
def test_whose_request_it_is(peer: str, forwarded: str | None, address: str) -> None:
    environ = {"REMOTE_ADDR": peer} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded})
    assert client_address(environ, PROXIES) == address


def test_without_proxies_nobody_speaks_for_another() -> None:
    assert client_address({"REMOTE_ADDR": "10.1.2.3", "HTTP_X_FORWARDED_FOR": "1.2.3.4"}, ()) == "10.1.2.3"


def test_a_request_without_an_address() -> None:
    assert client_address({}, PROXIES) == ""
