"""``/openapi.json`` and ``/asyncapi.json``, for machines, and ``/docs``, the same for people, as one page."""

from __future__ import annotations

import functools
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request

from hub import __version__
from hub.hub import PriceHub
from hub.web.interface import asyncapi, openapi
from hub.web.interface.page import events, routes


def add_documents(blueprint: Blueprint, hub: PriceHub) -> None:
    """Add the three routes."""

    @blueprint.get("/openapi.json")
    def openapi_json() -> Response:
        return _json(openapi.document)

    @blueprint.get("/asyncapi.json")
    def asyncapi_json() -> Response:
        return _json(asyncapi.document)

    @blueprint.get("/docs")
    def docs() -> str:
        secure = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        return render_template(
            "docs.html", version=__version__, simulated=hub.simulated, introduction=openapi.DESCRIPTION,
            events_introduction=asyncapi.DESCRIPTION, events=events(),
            groups=routes(f"http{'s' if secure else ''}://{request.host}", bool(hub.settings.api_tokens)),
        )  # fmt: skip


@functools.cache
def _bytes(document: Any) -> bytes:
    return orjson.dumps(document())


def _json(document: Any) -> Response:
    return Response(_bytes(document), mimetype="application/json")
