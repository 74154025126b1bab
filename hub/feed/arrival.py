"""When a frame reached us, where it had to wait to be read. Pure.

A hub that was suspended finds seconds of frames in its buffers. To stamp them with the time of reading would make old
evidence look fresh. So after a stall they are aged by the exchange's own time: how much later than usual a frame is
read tells how long it waited; never longer than the stall.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

STALL_SECONDS = 1.0  # between two reads: a connection brings a heartbeat a second for each of its products
CAUGHT_UP_SECONDS = 0.1  # later than usual: no backlog any more
GIVE_UP_SECONDS = 5.0  # of catching up: the exchange's clock must have moved
SAMPLES = 30  # one a second: what is usual


class Arrival:
    """Stamps the frames of one socket, in the order of reading."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=SAMPLES)  # wall clock at reading - the exchange's time
        self._sample_at = 0.0
        self._read_at: float | None = None
        self._stall: tuple[float, float] | None = None  # from when to when nothing was read

    @property
    def catching_up(self) -> bool:
        """Whether what is read waited in buffers."""
        return self._stall is not None

    def stamp(self, exchange_time: str, wall: float, now: float) -> float:
        """Return when a frame arrived (monotonic), that was read at ``now`` and ``wall`` and carries this time."""
        before, self._read_at = self._read_at, now
        if before is not None and now - before > STALL_SECONDS:
            self._stall = (before, now)
        if self._stall is None and now < self._sample_at:
            return now
        lag = wall - datetime.fromisoformat(exchange_time).timestamp()
        if self._stall is None:
            self._sample_at = now + 1.0
            self._lags.append(lag)
            return now
        began, ended = self._stall
        late = lag - min(self._lags) if self._lags else now - began
        if late < CAUGHT_UP_SECONDS or now - ended > GIVE_UP_SECONDS:
            self._stall = None
            return now
        return max(began, now - late)
