"""When the last frame about each product was really written: what a client's claims of freshness are judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Evidence:
    """Times are monotonic seconds, the same clock for every process of the machine.

    *Written*: a ticker or heartbeat went into the socket of a connection that subscribed the product. *Proof*: one that
    lets the client prove that it has every trade, since nothing was kept from that connection.
    """

    def __init__(self) -> None:
        self._written: dict[str, float] = {}
        self._proof: dict[str, float] = {}

    def note(self, frames: Mapping[str, bool], now: float) -> None:
        """Take in that frames were written: product → whether they are a proof."""
        for product_id, proof in frames.items():
            self._written[product_id] = now
            if proof:
                self._proof[product_id] = now

    def report(self, product_ids: Iterable[str], now: float) -> dict[str, Any]:
        """Return both times of products; one without a frame yet is left out."""
        wanted = tuple(product_ids)
        return {
            "now": now,
            "products": {one: self._written[one] for one in wanted if one in self._written},
            "proof": {one: self._proof[one] for one in wanted if one in self._proof},
        }
