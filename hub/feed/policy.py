"""What to do after a connection was lost, by cause. Pure.

Most losses are of the moment: reconnect fast. Some say that we are not wanted now; some that we asked for too much.
"""

from __future__ import annotations

from typing import NamedTuple

SLOW_SECONDS = 5.0


class Policy(NamedTuple):
    """``min_delay_seconds`` before the next attempt; whether to ask for less at a time from then on.

    ``failure``: whether it counts as an error, and makes the waits longer.
    """

    min_delay_seconds: float = 0.0
    smaller_requests: bool = False
    failure: bool = True


FAST = Policy()
SLOW = Policy(min_delay_seconds=SLOW_SECONDS)
ON_DEMAND = "on_demand"  # somebody asked for another socket
POLICIES = {
    ON_DEMAND: Policy(failure=False),
    "closed_1008": SLOW,  # policy violation
    "closed_1009": Policy(smaller_requests=True),  # message too big
    "closed_1013": SLOW,  # try again later
    "http_301": SLOW,  # redirects are not followed: they would lead the feed away from where it was configured
    "http_302": SLOW,
    "http_307": SLOW,
    "http_308": SLOW,
    "http_401": SLOW,
    "http_403": SLOW,
    "http_429": SLOW,
    "idle_frames": SLOW,  # whatever sends so is no exchange, or a broken one
    "proxy": SLOW,  # one that we don't speak with
    "proxy_403": SLOW,  # it does not let us out
    "proxy_407": SLOW,  # it wants another password
    "tls": SLOW,  # a certificate does not mend itself
    "too_much": SLOW,
}


def after(cause: str) -> Policy:
    """Return the policy for a cause of loss; every close is a loss, a clean one too."""
    if cause.startswith("closed_4"):
        return SLOW
    return POLICIES.get(cause, FAST)
