"""Bodies that cost time to make: one for all who ask within a moment, once making them anew for each takes too much.

While few ask, each gets a body of its own, which shows what its reader has just done. No body depends on who asks.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from flask import Response, g, make_response, request

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
        self._turn = threading.Lock()  # one body at a time, however many ask
        self._bytes = 0
        self._left = self._most = KEPT_SECONDS * ANEW_SHARE  # seconds
        self._at = clock()

    def shared(self, query: Callable[[], Hashable] = NO_QUERY, urgent: bool = False) -> Callable[[Any], Any]:
        """Share the answers of a route; ``query`` tells what they depend on, and raises ``ValueError`` for nonsense.

        What is ``urgent`` waits for no other body.
        """
        def decorate(view: Callable[[], Any]) -> Callable[[], Response]:
            @functools.wraps(view)
            def answer() -> Response:
                try:
                    key = (request.endpoint, query())
                except ValueError:
                    return make_response(view())  # which says what is wrong
                body, g.work_seconds = self.body(key, lambda: make_response(view()), urgent)
                return Response(body.data, body.status, body.headers)

            return answer

        return decorate

    def body(self, key: Hashable, make: Callable[[], Response], urgent: bool = False) -> tuple[Body, float]:
        """Return a body that is at most ``KEPT_SECONDS`` old, and the CPU time that it took, in seconds."""
        asked_at = self._clock()
        if (kept := self._kept(key, asked_at)) is not None:
            return kept, 0.0
        if urgent:
            return self._made(key, make)
        with self._turn:
            kept = self._bodies.get(key)
            if kept is not None and kept.made_at > asked_at:  # while this one waited
                return kept, 0.0
            made = self._made(key, make)
            if self._left <= 0:
                time.sleep(0)  # the next one waits until everybody else had a turn
            return made

    def _kept(self, key: Hashable, now: float) -> Body | None:
        """Return a body for one more who asks; None if there is none, or if there is time for another."""
        self._left = min(self._most, self._left + (now - self._at) * ANEW_SHARE)
        self._at = now
        kept = self._bodies.get(key)
        return kept if kept is not None and self._left <= 0 and now - kept.made_at < KEPT_SECONDS else None

    def _made(self, key: Hashable, make: Callable[[], Response]) -> tuple[Body, float]:
        now, begun = self._clock(), self._cpu()
        made = make()
        body = Body(made.get_data(), made.status_code, list(made.headers), now)
        took = self._cpu() - begun
        self._left = max(-self._most, self._left - took)
        self._keep(key, body)
        return body, took

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
