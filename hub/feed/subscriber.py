"""What one socket is subscribed to: asked for in requests, held against the acknowledgements. Pure.

The exchange refuses a whole request for one bad product, and may leave products out of its acknowledgement without a
word. So requests go out one at a time, each waits for its answer, a refused one is halved until the bad product stands
alone, and what an acknowledgement leaves out is asked for again. A product that is refused, or left out
``MAX_ASKS`` times, is set aside and asked for alone, later and later.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hub.model import Subscriptions

ANSWER_SECONDS = 5.0  # for an acknowledgement; without one the request is sent again
MAX_ASKS = 3
ASIDE_SECONDS = (30.0, 600.0)  # first and longest time for which a product is set aside
_NAMED = re.compile(r"([A-Z0-9]{1,20}-[A-Z0-9]{1,20}) is not a valid product", re.ASCII)


class Request(NamedTuple):
    """What to send next: subscribe or unsubscribe these products."""

    subscribe: bool
    product_ids: tuple[str, ...]


class SetAside(NamedTuple):
    """A product that the exchange did not give: until when it is left alone, and what was said."""

    until: float
    times: int
    reason: str


class Subscriber:
    """The subscriptions of one slot. ``opened`` starts them over with each socket; what is set aside outlives it."""

    def __init__(self, channels: Sequence[str] = ("ticker", "heartbeat")) -> None:
        """``channels``: those that an acknowledgement must list a product in."""
        self._channels = channels
        self._answers = 1  # that the waiting request has yet to get
        self.request_size = 1_000  # products in one request; halved when the exchange calls it too big
        self.aside: dict[str, SetAside] = {}
        self.given: frozenset[str] = frozenset()  # what this socket's last acknowledgement lists on every channel
        self._wanted: tuple[str, ...] = ()
        self._queue: deque[Request] = deque()
        self._waiting: tuple[Request, float] | None = None
        self._asks: dict[str, int] = {}
        self._requested: set[str] = set()

    def opened(self) -> None:
        """Start over: nothing is subscribed on a new socket."""
        self._queue.clear()
        self._waiting = None
        self._asks.clear()
        self._requested.clear()
        self.given = frozenset()

    def take_after(self, other: Subscriber) -> None:
        """Know what another one has learnt of the exchange: what it refuses, and how much at a time."""
        self.request_size = other.request_size
        self.aside = dict(other.aside)

    def want(self, product_ids: Sequence[str]) -> None:
        """Set what is wanted; the difference is asked for."""
        self._wanted = tuple(product_ids)
        wanted = set(self._wanted)  # one that left and is listed again is asked for at once
        self.aside = {item: aside for item, aside in self.aside.items() if item in wanted}

    def refresh(self, product_id: str) -> None:
        """Ask anew for a product that is silent."""
        if product_id in self._requested:
            self._queue.append(Request(False, (product_id,)))
            self._queue.append(Request(True, (product_id,)))

    def next_request(self, now: float) -> Request | None:
        """Return what to send at ``now`` (monotonic seconds), None while there is nothing, or an answer is awaited."""
        if self._waiting is not None:
            request, since = self._waiting
            if now - since < ANSWER_SECONDS:
                return None
            self._waiting = None
            held = self.given if request.subscribe else frozenset()  # one answer of several may have been lost
            self._ask_again((item for item in request.product_ids if item not in held), now, "never acknowledged")
        if not self._queue:
            self._plan(now)
        if not self._queue:
            return None
        request = self._queue.popleft()
        change = self._requested.update if request.subscribe else self._requested.difference_update
        change(request.product_ids)
        self._waiting = (request, now)
        self._answers = 1
        return request

    def sent(self, messages: int, now: float) -> None:
        """Note as how many messages the last request left, and when: each is answered."""
        self._answers = messages
        if self._waiting is not None:
            self._waiting = self._waiting[0], now

    def acknowledged(self, answer: Subscriptions, now: float) -> list[str]:
        """Take an acknowledgement in: it lists all that the socket is subscribed to.

        Return the wanted products that it left out; they are asked for again.
        """
        nothing: frozenset[str] = frozenset()
        whole = self.given = frozenset.intersection(*(answer.channels.get(name, nothing) for name in self._channels))
        self._answers -= 1
        if self._waiting is None or self._answers > 0:
            return []
        request, _ = self._waiting
        self._waiting = None
        if not request.subscribe:
            return []
        left_out = [item for item in request.product_ids if item not in whole]
        self._ask_again(left_out, now, "left out")
        for product_id in whole:
            self._asks.pop(product_id, None)
            self.aside.pop(product_id, None)
        return [item for item in left_out if item in self._wanted]

    def refused(self, reason: str, now: float) -> None:
        """Take an error in: the waiting request was refused whole."""
        if self._waiting is None:
            return
        request, _ = self._waiting
        self._waiting = None
        product_ids = request.product_ids
        self._requested.difference_update(product_ids)
        if not request.subscribe:
            return
        named = _NAMED.search(reason)
        if named and named[1] in product_ids:
            self._set_aside(named[1], now, reason)
            parts = [tuple(item for item in product_ids if item != named[1])]
        elif len(product_ids) == 1:
            self._set_aside(product_ids[0], now, reason)
            parts = []
        else:
            middle = len(product_ids) // 2
            parts = [product_ids[:middle], product_ids[middle:]]
        self._queue.extendleft(Request(True, part) for part in reversed(parts) if part)

    def _plan(self, now: float) -> None:
        wanted = set(self._wanted)
        if gone := tuple(item for item in self._requested if item not in wanted):
            self._queue.append(Request(False, gone))
        resting = {item for item, aside in self.aside.items() if now < aside.until}
        new = [item for item in self._wanted if item not in self._requested and item not in resting]
        alone = [item for item in new if item in self.aside]
        together = [item for item in new if item not in self.aside]
        size = self.request_size
        self._queue.extend(Request(True, tuple(together[at : at + size])) for at in range(0, len(together), size))
        self._queue.extend(Request(True, (item,)) for item in alone)

    def _ask_again(self, product_ids: Iterable[str], now: float, reason: str) -> None:
        for product_id in product_ids:
            self._requested.discard(product_id)
            self._asks[product_id] = self._asks.get(product_id, 0) + 1
            if self._asks[product_id] >= MAX_ASKS:
                self._asks.pop(product_id)
                self._set_aside(product_id, now, reason)

    def _set_aside(self, product_id: str, now: float, reason: str) -> None:
        first, longest = ASIDE_SECONDS
        times = self.aside[product_id].times + 1 if product_id in self.aside else 1
        self.aside[product_id] = SetAside(now + min(longest, first * 2.0 ** (times - 1)), times, reason)
