"""``GET /metrics``: the hub's numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest

from hub.web.shared_body import SharedBodies


def add_metrics(routes: Blueprint, registry: CollectorRegistry, bodies: SharedBodies) -> None:
    """Add the route."""

    @routes.get("/metrics")
    @bodies.shared(lambda: _form()[1])
    def metrics() -> Response:
        encode, content_type = _form()
        response = Response(encode(registry), content_type=content_type)
        response.vary.add("Accept")
        return response


def _form() -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return what writes the answer as it was asked for, and what that is called: one of a few."""
    try:
        return choose_encoder(request.headers.get("Accept", ""))
    except TypeError:  # a version that is no number
        return generate_latest, CONTENT_TYPE_PLAIN_0_0_4
