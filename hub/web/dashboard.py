"""The dashboard page: the verdict of the moment; all else is asked for by the page, of the public interface."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, render_template

from hub import __version__
from hub.hub import PriceHub

MODULES = sorted(path.name for path in (Path(__file__).parents[2] / "static" / "js").glob("*.js"))


def add_dashboard(routes: Blueprint, hub: PriceHub) -> None:
    """Add ``GET /dashboard`` to the routes."""

    @routes.get("/dashboard")
    def dashboard() -> str:
        return render_template("dashboard.html", health=hub.get_health_summary(), version=__version__, modules=MODULES)
