"""The routes for those who run the hub: its settings, its parts, its sockets, what it costs (``docs/protocol.md``)."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response

from hub import __version__, performance, services, sockets
from hub.config import shown
from hub.hub import PriceHub
from hub.web.guard import json_response
from hub.web.shared_body import SharedBodies


def add_operators(routes: Blueprint, hub: PriceHub, bodies: SharedBodies, sources: Mapping[str, str]) -> None:
    """Add them to the routes; ``sources``: setting → where it came from."""

    @routes.get("/config")
    def config() -> Response:
        settings = shown(hub.settings, sources)
        return json_response({"version": __version__, "settings": settings, "simulated": hub.simulated})

    @routes.get("/services/status")
    @bodies.shared()
    def services_status() -> Response:
        return json_response(services.body(hub))

    @routes.get("/websocket/status")
    @bodies.shared()
    def websocket_status() -> Response:
        return json_response(sockets.body(hub))

    @routes.get("/performance/metrics")
    @bodies.shared()
    def performance_metrics() -> Response:
        return json_response(performance.body(hub))
