"""When a frame reached us, where it had to wait to be read. Pure.

A hub that was suspended, or is slower than its feed, finds seconds of frames in its buffers. To stamp them with the
time of reading would make old evidence look fresh. So such frames are aged by the exchange's own time: how much later
than usual a frame is read tells how long it waited; never longer than since the buffers were last known to be empty.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

STALL_SECONDS = 1.0  # between two reads: a connection brings a heartbeat a second for each of its products
BUSY_SECONDS = 0.25  # without a wait for the network: what is read has waited for us
CAUGHT_UP_SECONDS = 0.1  # later than usual: no backlog any more
GIVE_UP_SECONDS = 5.0  # without coming nearer, though the reader waits: the exchange's clock must have moved
STEP_SECONDS = 0.5  # of our wall clock against the monotonic one, between two frames: it was set
SAMPLES = 30  # one a second: what is usual


class Arrival:
    """Stamps the frames of one socket, in the order of reading."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=SAMPLES)  # wall clock at reading - the exchange's time
        self._sample_at = 0.0
        self._read_at: float | None = None
        self._empty_at: float | None = None  # when nothing waited, while something does
        self._least = (0.0, 0.0)  # the least lateness since then, and when that was
        self._resumed_at = 0.0  # when reading went on after a stall
        self._offset: float | None = None  # wall clock - monotonic clock
        self._stepped = False  # whether the wall clock was set since what is usual was learnt

    @property
    def catching_up(self) -> bool:
        """Whether what is read waited in buffers."""
        return self._empty_at is not None

    def stamp(self, exchange_time: str, wall: float, now: float, waited_until: float, typical: bool = True) -> float:
        """Return when a frame arrived (monotonic), that was read at ``now`` and ``wall`` and carries this time.

        ``waited_until``: when reading last had to wait for the network (monotonic). ``typical``: its time is that of
        its sending, which is not so for a product's last ticker, sent again.
        """
        before, self._read_at = self._read_at, now
        busy = now - waited_until > BUSY_SECONDS
        if self._offset is not None and abs(wall - now - self._offset) > STEP_SECONDS:
            self._stepped = bool(self._lags)
        self._offset = wall - now
        if before is not None and now - before > STALL_SECONDS:
            self._empty_at, self._least, self._resumed_at = before, (float("inf"), now), now
        elif busy and self._empty_at is None and self._lags:
            self._empty_at, self._least = waited_until, (float("inf"), now)
        if self._empty_at is None and (now < self._sample_at or not typical):
            return now
        lag = wall - datetime.fromisoformat(exchange_time).timestamp()
        if self._empty_at is None:
            self._learn(lag, now)
            return now
        # a socket too young to know what is usual has caught up when it waits for the network again
        unknown = 0.0 if waited_until > self._resumed_at else now - self._empty_at
        late = lag - min(self._lags) if self._lags else unknown
        if late < self._least[0]:
            self._least = (late, now)
        if late < CAUGHT_UP_SECONDS:
            self._empty_at = None
            if typical:
                self._learn(lag, now)
            return now
        given_up = now - self._least[1] > GIVE_UP_SECONDS and (self._stepped or not busy)
        if given_up or (self._stepped and not busy):
            self._empty_at = None
            self._lags.clear()
            self._stepped = False
            return now
        return max(self._empty_at, now - late)

    def _learn(self, lag: float, now: float) -> None:
        self._sample_at = now + 1.0
        self._lags.append(lag)
        if len(self._lags) == SAMPLES:
            self._stepped = False
