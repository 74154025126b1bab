"""Faults on command: looks up the kind that is asked for, and the endpoints that it is to hit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.simulator import (  # noqa: F401 - they register their kinds
    faults_connection,
    faults_data,
    faults_exchange,
    faults_listing,
    faults_load,
)
from hub.simulator.endpoint import Endpoint
from hub.simulator.kinds import KINDS, FaultError, Wanted

BOTH = "both"


def cause(body: dict[str, Any], endpoints: Mapping[str, Endpoint], now: float) -> int:
    """Cause the fault that ``body`` asks for and return how many things were hit."""
    name = body.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise FaultError(f"kind has to be one of {', '.join(sorted(KINDS))}, not {name!r}")
    fields, function = KINDS[name]
    unknown = sorted(set(body) - fields)
    if unknown:
        raise FaultError(f"{name} does not know {', '.join(unknown)}; it knows {', '.join(sorted(fields))}")
    return sum(function(Wanted(body), endpoint, now) for endpoint in chosen(body, endpoints))


def chosen(body: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> list[Endpoint]:
    """Return the endpoints that ``endpoint`` names: the first one if it is not there."""
    if "endpoint" not in body:
        return list(endpoints.values())[:1]
    if body["endpoint"] == BOTH:
        return list(endpoints.values())
    if not isinstance(body["endpoint"], str) or body["endpoint"] not in endpoints:
        raise FaultError(f"endpoint has to be one of {', '.join(endpoints)}, {BOTH}, not {body['endpoint']!r}")
    return [endpoints[body["endpoint"]]]
