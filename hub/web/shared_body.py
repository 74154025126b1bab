"""Bodies that cost time to make: one for all who ask within a moment, once making them anew for each takes too much.

While few ask, each gets a body of its own, which shows what its reader has just done. No body depends on who asks.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from flask import Response, make_response, request

KEPT_SECONDS = 0.25
ANEW_SHARE = 0.1  # of the loop's time, for bodies that are made although there is one
MAX_BODIES, MAX_BYTES = 64, 8_388_608  # that are kept; what is larger is not
NO_QUERY: Callable[[], Hashable] = tuple


class Body(NamedTuple):
    """What an answer is made of; ``made_at`` in monotonic seconds."""

    data: bytes
    status: int
    headers: list[tuple[str, str]]
    made_at: float


class SharedBodies:
    """Owner of the bodies of the last moment, and of how much time there is for more."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:  # fmt: skip
        self._clock = clock
        self._cpu = cpu
        self._bodies: dict[Hashable, Body] = {}  # the first is the oldest
        self._making: dict[Hashable, threading.Event] = {}
        self._bytes = 0
        self._left = self._most = KEPT_SECONDS * ANEW_SHARE  # seconds
        self._at = clock()

    def shared(self, query: Callable[[], Hashable] = NO_QUERY) -> Callable[[Any], Any]:
        """Share the answers of a route; ``query`` tells what they depend on, and raises ``ValueError`` for nonsense."""
        def decorate(view: Callable[[], Any]) -> Callable[[], Response]:
            @functools.wraps(view)
            def answer() -> Response:
                try:
                    key = (request.endpoint, query())
                except ValueError:
                    return make_response(view())  # which says what is wrong
                body = self.body(key, lambda: make_response(view()))
                return Response(body.data, body.status, body.headers)

            return answer

        return decorate

    def body(self, key: Hashable, make: Callable[[], Response]) -> Body:
        """Return a body that is at most ``KEPT_SECONDS`` old, or that somebody else is making just now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * ANEW_SHARE)
        self._at = now
        if (other := self._making.get(key)) is not None:
            other.wait(KEPT_SECONDS)
        kept = self._bodies.get(key)
        if kept is not None and (other or self._left <= 0) and now - kept.made_at < KEPT_SECONDS:
            return kept
        self._making[key] = done = threading.Event()
        begun = self._cpu()
        try:
            made = make()  # which may give way
            body = Body(made.get_data(), made.status_code, list(made.headers), now)
            self._keep(key, body)
        finally:
            self._left = max(-self._most, self._left - (self._cpu() - begun))
            if self._making.get(key) is done:
                del self._making[key]
            done.set()
        return body

    def _keep(self, key: Hashable, body: Body) -> None:
        self._forget(key)
        self._bodies[key] = body
        self._bytes += len(body.data)
        while self._bodies and (
            len(self._bodies) > MAX_BODIES or self._bytes > MAX_BYTES
            or body.made_at - next(iter(self._bodies.values())).made_at >= KEPT_SECONDS
        ):
            self._forget(next(iter(self._bodies)))

    def _forget(self, key: Hashable) -> None:
        if (gone := self._bodies.pop(key, None)) is not None:
            self._bytes -= len(gone.data)
