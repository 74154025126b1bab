"""What is broken at the moment. ``faults`` breaks it on command; the exchange and its REST side look here."""

from __future__ import annotations

from typing import Any, NamedTuple

from hub.simulator.delivery import Delivery
from hub.simulator.timed import Timed, TimedMap, TimedSet


class Refusal(NamedTuple):
    """How upgrades are refused: with a status, or by never answering."""

    status: int
    retry_after: str | None
    location: str | None
    hang: bool


class RestFault(NamedTuple):
    """How REST answers badly. ``body`` replaces the right one; ``status`` None leaves the right one.

    ``list_factor`` makes the product list alone that many times as long.
    """

    status: int | None
    body: bytes | None
    content_type: str
    truncate: bool
    delay_seconds: float
    list_factor: float


class Flap(NamedTuple):
    """Connections opened since monotonic ``since`` are closed when they are ``after_seconds`` old."""

    since: float
    after_seconds: float


class Faults:
    """The faults of one endpoint that last, until their deadline or ``clear``.

    Those of the market itself (its clock, how its products are listed) are the same for all endpoints: ``others``'.
    """

    def __init__(self, others: Faults | None = None) -> None:
        self.delivery = Delivery()
        self.refusal: Timed[Refusal] = Timed()
        self.rest: Timed[RestFault] = Timed()
        self.rest_lag_seconds: Timed[float] = Timed()
        self.clock_offset_seconds: Timed[float] = others.clock_offset_seconds if others else Timed()
        self.flap: Timed[Flap] = Timed()
        self.early_data: Timed[bool] = Timed()
        self.rejected = TimedSet()
        # changed fields of rows of the list, None: no row
        self.listed: TimedMap[dict[str, Any] | None] = others.listed if others else TimedMap()
        self._left_out: frozenset[str] = frozenset()
        self._left_out_times = 0

    def leave_out(self, product_ids: frozenset[str], times: int) -> None:
        """Leave products out of the next ``times`` subscribes that hold one of them."""
        self._left_out, self._left_out_times = product_ids, times

    def left_out_of(self, product_ids: frozenset[str]) -> frozenset[str]:
        """Return which products a subscribe to ``product_ids`` leaves out, and count it off."""
        if self._left_out_times < 1 or not self._left_out & product_ids:
            return frozenset()
        self._left_out_times -= 1
        return self._left_out

    def clear(self) -> dict[str, bytes]:
        """End all of them; return the tickers that were held back, by product."""
        for fault in (self.refusal, self.rest, self.rest_lag_seconds, self.clock_offset_seconds, self.flap,
                      self.early_data, self.rejected, self.listed):  # fmt: skip
            fault.clear()
        self._left_out_times = 0
        return self.delivery.clear()
