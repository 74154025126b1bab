"""Faults on command: looks up the kind that is asked for."""

from __future__ import annotations

from typing import Any

from hub.simulator import faults_connection, faults_data, faults_exchange, faults_load  # noqa: F401 - they register
from hub.simulator.exchange import Exchange
from hub.simulator.kinds import KINDS, FaultError, Wanted


def cause(body: dict[str, Any], exchange: Exchange, now: float) -> int:
    """Cause the fault that ``body`` asks for and return how many things were hit."""
    name = body.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise FaultError(f"kind has to be one of {', '.join(sorted(KINDS))}, not {name!r}")
    fields, function = KINDS[name]
    unknown = sorted(set(body) - fields)
    if unknown:
        raise FaultError(f"{name} does not know {', '.join(unknown)}; it knows {', '.join(sorted(fields))}")
    return function(Wanted(body), exchange, now)
