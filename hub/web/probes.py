"""``GET /health/live`` and ``/health/ready``: for machines, without a token, so they name nothing of the inside."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from hub.detect.health import Readiness, readiness
from hub.hub import PriceHub
from hub.web.guard import at_once, json_response, without_api_token

KEPT_SECONDS = 0.25  # for which a look at all prices serves everybody who asks


class Probes:
    """The routes, under every prefix the same; owner of whether the hub was ready before."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        self._was_ready = False
        self._trust: dict[str, int] = {}
        self._looked_at = float("-inf")

    def add_to(self, routes: Blueprint) -> None:
        """Add the routes."""

        @routes.get("/health/live")
        @without_api_token
        @at_once
        def live() -> Response:
            return json_response({"status": "live"})

        @routes.get("/health/ready")
        @without_api_token
        @at_once
        def ready() -> Response:
            status, reasons = self.verdict(time.monotonic())
            response = json_response({"status": status, "reasons": reasons}, 200 if status is Readiness.READY else 503)
            if status is not Readiness.READY:
                response.headers["Retry-After"] = "1"
            return response

    def verdict(self, now: float) -> tuple[Readiness, list[str]]:
        """Return whether clients may be sent here at ``now`` (monotonic), and the reasons in words."""
        hub = self._hub
        if now - self._looked_at >= KEPT_SECONDS:
            self._trust, _ = hub.book.trusts(now)
            self._looked_at = now
        status, reasons = readiness(
            now - hub.started_at, self._was_ready, hub.draining, self._trust, hub.failed_workers(now)
        )
        self._was_ready = self._was_ready or status is Readiness.READY
        return status, reasons
