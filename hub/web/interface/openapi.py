"""The OpenAPI 3.1 document, made of the table of routes and the examples of ``docs/protocol.md``."""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import Any

from hub import __version__
from hub.web.interface.protocol import examples
from hub.web.interface.route import JSON, Body, Route
from hub.web.interface.routes import ANY_PRODUCT, ROUTES
from hub.web.interface.schema import infer

DESCRIPTION = """\
Live Coinbase prices, each with the proof that it can be trusted. Every route also answers under `/api`. The events of
Socket.IO are in `/asyncapi.json`. Fields may be added at any time; none is taken away.

`HEAD` answers where `GET` does, `OPTIONS` everywhere; any other method is a 405 whose `Allow` says what there is.
A request from a browser whose `Origin` is neither configured nor the site's own is a 403, and one for a `Host` that
is neither an address, `localhost`, a name without a dot, nor in `FRONTEND_URL` or `ALLOWED_HOSTS` a 421.\
"""
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "product_id": {"schema": {"type": "string", "minLength": 1}, "example": "BTC-USD",
                   "description": "A product, in any letter case."},
    "connection_id": {"schema": {"type": "string", "minLength": 1}, "example": "conn_000",
                      "description": "A slot, as `GET /connections` lists it."},
}  # fmt: skip
ERROR = {
    "type": "object", "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, in words."}},
}  # fmt: skip
PROBLEM = {
    "type": "object", "required": ["type", "title", "status", "detail", "error", "symbol", "reason", "trust"],
    "description": "A problem of RFC 9457: the price is older than was asked for.",
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"const": 503},
        "detail": {"type": "string"}, "error": {"type": "string"}, "symbol": ANY_PRODUCT, "reason": {"type": "string"},
        "trust": {"type": "string"}, "age_ms": {"type": "integer"}, "verified_ms": {"type": "integer"},
        "quote_age_ms": {"type": "integer"},
    },
}  # fmt: skip
NO_TOKEN = "`API_TOKENS` is set, and none of them was presented"
NO_ADMIN = "the admin token is missing or wrong"
NO_ORIGIN = "the browser's origin is not allowed"
ADMIN_OFF = "`ADMIN_TOKEN` is not set, so the actions are off; or the browser's origin is not allowed"
WRONG_METHOD = "another method: `Allow` says which there are"
TOO_MANY = "too many requests: `Retry-After` says when"
RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds."}}


@functools.cache
def document() -> dict[str, Any]:
    """Return the document."""
    schemas: dict[str, Any] = {"Error": ERROR, "Problem": PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if route.answer:
            found = {"title": route.answer} | infer(examples()[route.title][0], route.notes)
            schemas.setdefault(route.answer, found)
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Price Hub", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}, {"url": "/api"}],
        "security": [{}, {"apiToken": []}, {"apiTokenAsPassword": []}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in ROUTES)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "apiToken": {"type": "http", "scheme": "bearer", "description": "One of `API_TOKENS`, where set."},
                "apiTokenAsPassword": {"type": "http", "scheme": "basic",
                                       "description": "The same as the password of any user, for browsers."},
                "adminToken": {"type": "http", "scheme": "bearer", "description": "`ADMIN_TOKEN`."},
            },
        },
    }  # fmt: skip


def _operation(route: Route) -> dict[str, Any]:
    names = [name for name in PATH_PARAMETERS if f"{{{name}}}" in route.path]
    in_path = [{"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]} for name in names]
    in_query = [
        {"name": query.name, "in": "query", "required": query.required, "description": query.description,
         "schema": query.schema}
        for query in route.queries
    ]  # fmt: skip
    words = route.path.replace("{", "").replace("}", "").replace("-", "_").replace(".", "_").split("/")
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method, *filter(None, words)]),
        "summary": route.summary, "description": route.text or route.summary, "tags": [route.tag],
        "responses": _responses(route),
    }  # fmt: skip
    if in_path or in_query:
        operation["parameters"] = [*in_path, *in_query]
    if route.body is not None:
        operation["requestBody"] = _body(route.body)
    if route.admin:
        operation["security"] = [{"adminToken": []}]
    elif route.public:
        operation["security"] = []
    return operation


def _body(body: Body) -> dict[str, Any]:
    content = {JSON: {"schema": body.schema, "example": body.example}}
    return {"required": True, "description": f"At most {body.most_bytes // 1024} KiB.", "content": content}


def _responses(route: Route) -> dict[str, Any]:
    answer = _answer(route)
    found: dict[int, dict[str, Any]] = {route.status: {"description": route.summary, **answer}}
    if route.body is not None:
        found |= {400: _error(route.body.refused), 413: _error("the body is too large")}
    for status, when in route.also.items():
        if status in route.same:
            found[status] = {"description": when, **answer}
        elif status < 400:
            found[status] = {"description": when}
        else:
            found[status] = _error(when, problem=status == HTTPStatus.SERVICE_UNAVAILABLE)
    if not route.public:
        found[401] = _error(NO_ADMIN if route.admin else NO_TOKEN)
    found |= {403: _error(ADMIN_OFF if route.admin else NO_ORIGIN), 405: _error(WRONG_METHOD)}
    if route.limited:
        found[429] = {**_error(TOO_MANY), "headers": RETRY_AFTER}
    return {str(status): found[status] for status in sorted(found)}


def _answer(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media in route.media:
        if media != JSON:
            content[media] = {"schema": {"type": "string"}}
        elif route.answer:
            schema = {"$ref": f"#/components/schemas/{route.answer}"}
            content[media] = {"schema": schema, "example": examples()[route.title][0]}
        else:
            content[media] = {"schema": {"type": "object"}}
    return {"content": content}


def _error(when: str, problem: bool = False) -> dict[str, Any]:
    media, name = ("application/problem+json", "Problem") if problem else (JSON, "Error")
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": when[0].upper() + when[1:] + ".", "content": {media: {"schema": schema}}}
