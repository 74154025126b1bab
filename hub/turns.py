"""Long work in turns: a loop over many items lets other threads run now and then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

TURN_SECONDS = 0.005
ITEMS_A_LOOK = 32  # between two looks at the clock
Item = TypeVar("Item")


def in_turns(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items; let other threads run whenever ``TURN_SECONDS`` have passed."""
    until = time.monotonic() + TURN_SECONDS
    for number, item in enumerate(items):
        if number % ITEMS_A_LOOK == 0 and time.monotonic() > until:
            time.sleep(0)
            until = time.monotonic() + TURN_SECONDS
        yield item
