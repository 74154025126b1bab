"""Who guesses at the admin token under a thousand names, or has others shut out by taking theirs."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import HubProcess
from tests.support.attack import Target, under_attack

TOKEN = "operators-only-0000"
GUESSES = 60  # in a minute: BAD_TOKENS_PER_MINUTE
PROXY, BOT, OPERATOR = "127.0.0.3", "127.0.0.1", "127.0.0.4"
ACTION = "/connections/conn_000/rotate"


@pytest.fixture
def target(hub_factory: Callable[..., HubProcess]) -> Iterator[Target]:
    with under_attack(hub_factory, TRUSTED_PROXIES=PROXY, ADMIN_TOKEN=TOKEN) as found:
        yield found


def ask(port: int, address: str, token: str, claimed: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, 5, (address, 0))
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": claimed, "X_Forwarded_For": claimed}
        connection.request("POST", ACTION, headers=headers)
        return connection.getresponse().status


def guess(port: int, address: str, claims: Callable[[int], str], seconds: float = 3.0) -> Counter[int]:
    """Guess for some seconds on four connections; count the answers."""
    found: Counter[int] = Counter()
    numbers = itertools.count()
    until = time.monotonic() + seconds

    def one() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, 5, (address, 0))
        with contextlib.closing(connection):
            while time.monotonic() < until:
                number = next(numbers)
                headers = {"Authorization": f"Bearer guess-{number}", "X-Forwarded-For": claims(number)}
                connection.request("POST", ACTION, headers=headers)
                answer = connection.getresponse()
                answer.read()
                found[answer.status] += 1
                time.sleep(0.004)  # 1,000 a second

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_bot_has_one_name_whatever_it_says(target: Target) -> None:
    with target.attack():
        found = guess(target.hub.port, BOT, lambda number: f"10.9.{number // 250 % 250}.{number % 250}")
    print(f"a bot: {found}")
    assert found[429] > 500, found
    assert sum(found.values()) - found[429] <= 2 * GUESSES, found  # a minute may end meanwhile
    # nobody else is shut out by it: not the operator, nor who comes through the proxy, whose names it took
    assert ask(target.hub.port, OPERATOR, TOKEN, "") == 202
    assert ask(target.hub.port, PROXY, "wrong", "10.9.0.1") in (401, 403)


def test_a_name_that_is_no_address_is_the_proxys(target: Target) -> None:
    with target.attack():
        found = guess(target.hub.port, PROXY, lambda number: f"name-{number}")
    print(f"names: {found}")
    assert found[429] > 500, found
    assert sum(found.values()) - found[429] <= 2 * GUESSES, found
    assert ask(target.hub.port, PROXY, TOKEN, OPERATOR) == 202, "who has an address is still told from the others"
