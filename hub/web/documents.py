"""``/openapi.json`` and ``/asyncapi.json``, for machines, and ``/docs``, the same for people, as one page."""

from __future__ import annotations

import functools
import re
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request

from hub import __version__
from hub.hub import PriceHub
from hub.web.interface import asyncapi, openapi
from hub.web.interface.page import events, routes

HERE = "http://hub.invalid"  # stands in the page for the hub's own address
HOST = re.compile(r"[A-Za-z0-9.:-]{1,255}|\[[0-9a-fA-F:]{2,45}\](:[0-9]{1,5})?")


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
        return page(hub.simulated).replace(HERE, _base_url())

    @functools.cache  # it takes 20 ms, in which nobody else has a turn
    def page(simulated: bool) -> str:
        return render_template(
            "docs.html", version=__version__, simulated=simulated, introduction=openapi.DESCRIPTION,
            events_introduction=asyncapi.DESCRIPTION, events=events(),
            groups=routes(HERE, bool(hub.settings.api_tokens)),
        )  # fmt: skip


def _base_url() -> str:
    """Return where the reader finds the hub, as far as that can be believed."""
    secure = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    host = request.host if HOST.fullmatch(request.host) else "localhost"
    return f"http{'s' if secure else ''}://{host}"


@functools.cache
def _bytes(document: Any) -> bytes:
    return orjson.dumps(document())


def _json(document: Any) -> Response:
    return Response(_bytes(document), mimetype="application/json")
