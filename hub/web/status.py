"""``GET /status``: is it up, and can all prices be trusted? For everybody, so it names nothing of the inside."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from hub.hub import PriceHub
from hub.model import HealthStatus, Trust
from hub.payload import iso_time
from hub.web.guard import json_response, without_api_token

DOUBTFUL = (Trust.BEHIND, Trust.STALE)
INCIDENT_SECONDS = 86_400.0
KEPT_SECONDS = 1.0  # for which an answer serves everybody
INCIDENTS_KEPT_SECONDS = 10.0  # longer: it reads the ledger


class Status:
    """The route, under every prefix the same; owner of since when prices can be trusted, or not."""

    def __init__(self, hub: PriceHub) -> None:
        self._hub = hub
        self._doubtful: set[str] = set()
        self._started = time.time()
        self._since: float | None = None  # when the first price became doubtful, or the last one trusted again
        self._kept: tuple[float, dict[str, Any]] | None = None
        self._incidents: tuple[float, dict[str, int]] | None = None
        hub.on("trust_update", self._trust_changed)
        hub.on("product_left", lambda event: self._note(event["crypto"], False))

    def add_to(self, routes: Blueprint) -> None:
        """Add ``GET /status`` to the routes."""

        @routes.get("/status")
        @without_api_token
        def status() -> Response:
            body = self.body()
            code = 200 if body["up"] else 503  # as GET /health
            accepts = request.accept_mimetypes
            if accepts.quality("application/json") > accepts.quality("text/html"):
                response = json_response(body, code)
            else:
                response = make_response(render_template("status.html", status=body), code)
                response.headers["Cache-Control"] = "no-store"
            response.vary.add("Accept")
            return response

    def body(self) -> dict[str, Any]:
        """Return the answer, at most ``KEPT_SECONDS`` old."""
        now = time.monotonic()
        if self._kept is None or now - self._kept[0] >= KEPT_SECONDS:
            self._kept = now, self._body(now)
        return self._kept[1]

    def _body(self, now: float) -> dict[str, Any]:
        hub = self._hub
        health = hub.get_health_summary()
        counts: dict[str, int] = health["trust"]
        trusted = counts[Trust.LIVE] + counts[Trust.QUIET]
        doubtful = sum(counts[trust] for trust in DOUBTFUL)
        up = health["connected_connections"] > 0 and health["status"] != HealthStatus.CRITICAL
        if health["status"] == HealthStatus.STARTING:
            state, since = "starting", self._started
        elif not up:
            state, since = "down", self._down_since()
        else:
            state, since = ("doubtful" if doubtful or not trusted else "ok"), self._since or self._started
        return {
            "state": state,
            "up": up,
            "trusted": state == "ok",
            "sentence": _sentence(state, trusted, doubtful),
            "since": iso_time(since),
            "products": {
                "trusted": trusted,
                "doubtful": doubtful,
                "without_price": counts[Trust.STARTING],
                "not_trading": counts[Trust.HALTED] + counts[Trust.DELISTED],
            },
            "incidents_24h": self._incidents_24h(now, state),
            "uptime_seconds": int(health["uptime_seconds"]),
            "time": iso_time(time.time()),
            "simulated": health["simulated"],
        }

    def _trust_changed(self, event: dict[str, Any]) -> None:
        self._note(event["crypto"], event["trust"] in DOUBTFUL)

    def _note(self, product_id: str, doubtful: bool) -> None:
        before = bool(self._doubtful)
        (self._doubtful.add if doubtful else self._doubtful.discard)(product_id)
        if self._since is None or before != bool(self._doubtful):
            self._since = time.time()

    def _down_since(self) -> float:
        """Return when the last of the connections was lost; the start, if none ever was up."""
        return self._hub.ledger.incidents(time.time()).lost_at or self._started

    def _incidents_24h(self, now: float, state: str) -> dict[str, int]:
        changed = self._kept is None or self._kept[1]["state"] != state
        if self._incidents is None or changed or now - self._incidents[0] >= INCIDENTS_KEPT_SECONDS:
            found = self._hub.ledger.incidents(time.time() - INCIDENT_SECONDS)._asdict()
            del found["lost_at"]
            self._incidents = now, found
        return self._incidents[1]


def _sentence(state: str, trusted: int, doubtful: int) -> str:
    priced = trusted + doubtful
    which = f"{trusted:,} of {priced:,} prices" if trusted else "no price"
    part = f"{which} can be trusted right now"
    if state == "ok":
        return f"The hub is up, and {f'all {priced:,} prices' if priced > 1 else 'its one price'} can be trusted."
    if state == "doubtful":
        return f"The hub is up, but {'only ' if trusted else ''}{part}."
    if state == "starting":
        return f"The hub is starting: {part}."
    # by REST, where it answers
    return f"The live feed from the exchange is down; {'asked for one by one, ' if trusted else ''}{part}."
