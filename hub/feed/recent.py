"""The last frames of a connection, kept for whoever asks why: a few of each product, so none is crowded out.

Times are wall-clock seconds of reading.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

KEPT_FRAME_BYTES = 2_000  # of each frame, the start
TICKERS, HEARTBEATS, OTHERS = 8, 4, 20

Frame = tuple[float, bytes]


class _Rings(NamedTuple):
    tickers: deque[Frame]
    heartbeats: deque[Frame]  # apart: one a second would soon leave no ticker of a product that is stuck


class RecentFrames:
    """Bounded by the products that are kept; written by one thread, read by any."""

    def __init__(self) -> None:
        self._products: dict[str, _Rings] = {}
        self._others: deque[Frame] = deque(maxlen=OTHERS)  # acknowledgements, errors, what could not be read

    def keep(self, product_ids: Iterable[str]) -> None:
        """Keep the frames of these products from now on, and drop those of others."""
        old = self._products
        self._products = {
            item: old.get(item) or _Rings(deque(maxlen=TICKERS), deque(maxlen=HEARTBEATS)) for item in product_ids
        }

    def ticker(self, product_id: str, wall: float, frame: bytes) -> None:
        """Note a frame that brought a ticker."""
        if (rings := self._products.get(product_id)) is not None:
            rings.tickers.append((wall, frame[:KEPT_FRAME_BYTES]))

    def heartbeat(self, product_id: str, wall: float, frame: bytes) -> None:
        """Note a frame that brought a heartbeat."""
        if (rings := self._products.get(product_id)) is not None:
            rings.heartbeats.append((wall, frame[:KEPT_FRAME_BYTES]))

    def other(self, wall: float, frame: bytes) -> None:
        """Note any other frame."""
        self._others.append((wall, frame[:KEPT_FRAME_BYTES]))

    def of(self, product_id: str) -> list[Frame]:
        """Return a product's frames and those that concern the whole connection, in the order of reading."""
        rings = self._products.get(product_id)
        mine = [*rings.tickers, *rings.heartbeats] if rings is not None else []
        return sorted([*mine, *self._others], key=lambda item: item[0])

    def latest(self, limit: int) -> list[Frame]:
        """Return the last frames of the whole connection, the newest first."""
        kept = [ring for rings in list(self._products.values()) for ring in rings]
        frames = {frame for ring in (*kept, self._others) for frame in ring.copy()}  # one may be of several products
        return heapq.nlargest(limit, frames, key=lambda item: item[0])
