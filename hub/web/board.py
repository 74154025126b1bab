"""The routes for those who watch the hub: every product in columns, connections, clients (``docs/protocol.md``)."""

from __future__ import annotations

from flask import Blueprint, Response, request

from hub import slots
from hub.audience import body as clients_body
from hub.hub import PriceHub
from hub.parse import PRODUCT_ID
from hub.web.guard import error_response, json_response
from hub.web.shared_body import SharedBodies

MAX_SPARKLINES = 100


def add_board(routes: Blueprint, hub: PriceHub, bodies: SharedBodies) -> None:
    """Add them to the routes."""

    @routes.get("/connections")
    @bodies.shared()
    def connections() -> Response:
        return json_response(slots.body(hub))

    @routes.get("/connections/<connection_id>")
    def connection(connection_id: str) -> Response:
        try:
            return json_response(slots.detail(hub, connection_id.lower()))
        except KeyError:
            return error_response(f"Connection {connection_id[:64]} not found", 404)

    @routes.get("/clients")
    @bodies.shared()
    def clients() -> Response:
        return json_response(clients_body(hub))

    @routes.get("/board")
    def board() -> Response:
        return Response(hub.board.body(), mimetype="application/json")

    @routes.get("/sparklines")
    def sparklines() -> Response:
        product_ids = [item.strip().upper() for item in request.args.get("products", "").split(",")]
        if len(product_ids) > MAX_SPARKLINES or not all(map(PRODUCT_ID.fullmatch, product_ids)):
            return error_response(f"products must be 1 to {MAX_SPARKLINES} ids, such as BTC-USD,ETH-USD", 400)
        return json_response(hub.board.sparklines(product_ids))
