"""The dashboard page: the verdict of the moment; all else is asked for by the page, of the public interface."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, render_template

from hub import __version__
from hub.hub import PriceHub
from hub.web.shared_body import SharedBodies

MODULES = sorted(path.name for path in (Path(__file__).parents[2] / "static" / "js").glob("*.js"))


def add_dashboard(routes: Blueprint, hub: PriceHub, bodies: SharedBodies) -> None:
    """Add ``GET /dashboard`` to the routes."""

    @routes.get("/dashboard")
    @bodies.shared()
    def dashboard() -> str:
        return render_template("dashboard.html", health=hub.get_health_summary(), version=__version__, modules=MODULES)
