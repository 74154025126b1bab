"""When a connection must be replaced. Pure: verdicts from (now, what was last seen).

Rules: a connection that is open must bring a frame that is *believed* (a ticker, a heartbeat, an acknowledgement)
within the limit, whatever else it does: pongs, half a frame, errors and garbage are none. While the hub itself did not
run, nobody could read: such a pause is not blamed on the exchange, and every clock starts anew at its end. One whose
products are all halted or delisted may be silent.
"""

from dataclasses import dataclass

PAUSE_SECONDS = 1.0  # a watchdog that comes this much late was itself starved


@dataclass(frozen=True, slots=True)
class Limits:
    """``silence_seconds``: without a frame, once open; ``connect_seconds``: from the start of an attempt to open."""

    silence_seconds: float
    connect_seconds: float


def verdict(
    now: float, limits: Limits, *, attempt_at: float | None, opened_at: float | None, last_frame_at: float | None,
    resumed_at: float, may_be_silent: bool = False,
) -> str | None:  # fmt: skip
    """Return the cause for which a socket must be shut now, or None. All times are monotonic seconds.

    ``attempt_at`` is when the TCP connection was begun, None between attempts; ``opened_at`` when the handshake was
    done, None before; ``resumed_at`` when the hub last came back from a pause of its own.
    """
    if attempt_at is None:
        return None
    if opened_at is None:
        return "connect_timeout" if now - max(attempt_at, resumed_at) >= limits.connect_seconds else None
    if may_be_silent:
        return None
    quiet_since = max(opened_at, last_frame_at or 0.0, resumed_at)
    return "silent" if now - quiet_since >= limits.silence_seconds else None
