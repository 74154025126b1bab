"""The web application on a hub: Flask for REST and the dashboard, Socket.IO for the stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from flask_socketio import SocketIO

from hub.hub import PriceHub
from hub.metrics import make_registry
from hub.web import guard
from hub.web.access import Access
from hub.web.actions import Actions
from hub.web.admission import WHY_NOT, Admission
from hub.web.board import add_board
from hub.web.dashboard import add_dashboard
from hub.web.documents import add_documents
from hub.web.drills import Control, Drills
from hub.web.events import make_socketio
from hub.web.history import add_history
from hub.web.metrics import add_metrics
from hub.web.operators import add_operators
from hub.web.probes import Probes
from hub.web.rates import Rates
from hub.web.rest import make_blueprint
from hub.web.shared_body import SharedBodies
from hub.web.status import Status

ROOT = Path(__file__).resolve().parents[2]


def create_app(
    hub: PriceHub, simulator: Control | None = None, sources: Mapping[str, str] | None = None
) -> tuple[Flask, SocketIO]:  # fmt: skip
    """Return the Flask application (its ``wsgi_app`` carries Socket.IO too) and its Socket.IO server.

    ``simulator`` breaks something on command: that of a hub which has one of its own, for drills.
    ``sources``: setting → where it came from.
    """
    app = Flask("hub", root_path=str(ROOT), template_folder="templates", static_folder="static")
    app.url_map.strict_slashes = False
    rates, admission = Rates(hub.settings, hub.counters), Admission(hub.settings, hub.counters)
    access = Access(hub.settings, rates)
    guard.install(app, admission, access.readers, rates, hub.watch.settle)
    access.install(app)
    actions = Actions(hub, rates, Drills(hub, simulator) if simulator is not None else None)
    status, probes, registry = Status(hub), Probes(hub), make_registry(hub)
    bodies = SharedBodies()
    for name, prefix in (("root", None), ("api", "/api")):
        routes = make_blueprint(hub, name, bodies, rates.count_relay)
        add_dashboard(routes, hub, bodies)
        add_board(routes, hub, bodies)
        add_history(routes, hub, bodies)
        add_operators(routes, hub, bodies, sources or {})
        add_documents(routes, hub)
        actions.add_to(routes)
        status.add_to(routes)
        add_metrics(routes, registry, bodies)
        probes.add_to(routes)
        app.register_blueprint(routes, url_prefix=prefix)
    socketio = make_socketio(app, hub, rates, admission, access)
    with_socketio = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
        if not admission.knows_name(environ):
            return guard.harden(guard.error_response(WHY_NOT, 421))(environ, start_response)
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            environ["wsgi.input_terminated"] = True  # the server ends such a body by itself; Flask wants to be told
        return with_socketio(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
    return app, socketio
