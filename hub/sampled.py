"""What is known of products and connections from looking at them once a second. Pure: the caller brings the time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from math import isnan, nan

from hub.model import Quote

MINUTES = 60
HALF_LIFE_SECONDS = 300.0  # of what is known of a busy product's rhythm
LEAST_KEPT = 0.7  # of a slow one's: its last handful of trades counts
MIN_RHYTHM_MS = 1_000  # whoever looks once a second sees no finer
BEATS = 60


class Track:
    """One product: its latest quote, its rhythm, its price at the end of each minute. Times: monotonic seconds."""

    __slots__ = ("_at", "_id", "_seconds", "_trades", "minutes", "quote", "rhythm_ms")

    def __init__(self) -> None:
        self.quote: Quote | None = None
        self.rhythm_ms: int | None = None  # the usual time between two trades; the wait for the next adds nothing
        self.minutes = array("d", [nan] * (MINUTES - 1))  # those that are over, oldest first
        self._id, self._at = 0, 0.0  # the latest trade, and when it came
        self._seconds = self._trades = 0.0  # between trades, and how many: old ones count less and less

    def take(self, quote: Quote) -> None:
        """Take in the latest quote; the trades between it and the one before are known by their ids."""
        self.quote = quote
        trade_id, at = quote.ticker.trade_id, quote.received_monotonic
        if trade_id <= 0 or trade_id == self._id:  # REST's price, or the same trade once more
            return
        if 0 < self._id < trade_id:
            seconds = max(0.0, at - self._at)
            kept = max(0.5 ** (seconds / HALF_LIFE_SECONDS), LEAST_KEPT)
            self._seconds = self._seconds * kept + seconds
            self._trades = self._trades * kept + trade_id - self._id
            self.rhythm_ms = max(MIN_RHYTHM_MS, int(self._seconds / self._trades * 1000))
        self._id, self._at = trade_id, at

    def end_minute(self, missed: int) -> None:
        """Note the last price of the minute that is over; of so many after it nothing is known."""
        price = nan if self.quote is None else float(self.quote.ticker.price)
        for value in (price, *[nan] * min(missed, MINUTES)):
            del self.minutes[0]
            self.minutes.append(value)

    def prices(self, now: Quote | None) -> list[float | None]:
        """Return the last price of each minute, that of the one under way last."""
        over = [None if isnan(price) else price for price in self.minutes]
        return [*over, None if now is None else float(now.ticker.price)]


class Beats:
    """What each connection slot did in each second, a letter a second."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._second = 0

    def note(self, second: int, letters: Mapping[str, str]) -> None:
        """Note slot → letter of a whole second; seconds that were passed over are not known. Others are forgotten."""
        self._lines = {slot: (self.line(slot, second - 1) + letter)[-BEATS:] for slot, letter in letters.items()}
        self._second = second

    def line(self, slot: str, second: int) -> str:
        """Return the letters of the last 60 s, as of a whole second."""
        unknown = min(BEATS, max(0, second - self._second))
        return (self._lines.get(slot, "").rjust(BEATS, ".") + "." * unknown)[-BEATS:]
