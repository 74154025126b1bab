"""Of each fault the first drill that is over quickly, one test each. ``make drill`` plays all, and prints a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.drills.runner import Result, run
from tests.drills.scenario import Scenario
from tests.drills.scenarios import ALL

# U14 alone has eight
QUICK = tuple({one.name.split()[0]: one for one in reversed(ALL) if one.quick}.values())[::-1]
LONG = {"H2", "H6", "H7", "U6", "U15", "U22", "U27"}  # 9 to 14 s each
TOGETHER = 3  # they mostly wait


@pytest.fixture(scope="module")
def drilled(request: pytest.FixtureRequest) -> Iterator[Callable[[Scenario], Result]]:
    """Play what was chosen in the background, some at a time; each test waits for its own."""
    chosen = [
        item.callspec.params["scenario"] for item in request.session.items
        if item.parent is not None and item.parent.name == request.node.name and hasattr(item, "callspec")
    ]  # fmt: skip
    with ThreadPoolExecutor(TOGETHER) as pool:
        futures: dict[str, Future[Result]] = {one.name: pool.submit(run, one) for one in chosen}
        yield lambda scenario: futures[scenario.name].result(120)
        for future in futures.values():
            future.cancel()


def param(one: Scenario) -> Any:
    marks = [pytest.mark.long] if one.name.split()[0] in LONG else []
    return pytest.param(one, id=one.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("scenario", [param(one) for one in QUICK])
def test_survives(drilled: Callable[[Scenario], Result], scenario: Scenario) -> None:
    result = drilled(scenario)
    assert result.survived, "\n".join(result.problems)
