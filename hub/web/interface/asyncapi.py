"""The AsyncAPI 3.0 document, made of the table of events and the examples of ``docs/protocol.md``."""

from __future__ import annotations

import functools
from typing import Any

from hub import __version__
from hub.web.interface.events import EVENTS, NO_CHOICE, TICK, TO_CLIENT, TO_HUB, Event, ticker
from hub.web.interface.schema import infer

DESCRIPTION = """\
The events of Price Hub: Socket.IO, protocol 5 (Engine.IO 4), path `/socket.io/`, default namespace, polling or
WebSocket. On connecting, a client is sent the current ticker of every product; then every tick, in order for each
product. The routes are in `/openapi.json`. Fields and events may be added at any time; none is taken away.

The `auth` of the connect may hold `token` (one of `API_TOKENS`, where set) and `subscribe`, a request like the event.\
"""


@functools.cache
def document() -> dict[str, Any]:
    """Return the document."""
    messages: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for event in EVENTS:
        messages[event.title] = _message(event)
        for way in event.way:
            operations[_operation_name(event, way)] = _operation(event, way)
        if event.answer is not None:
            messages[f"{event.title}_ack"] = _acknowledgement(event)
    channel = {
        "address": "/", "title": "The default namespace",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Price Hub", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"hub": {
            "host": "{host}", "pathname": "/socket.io/", "protocol": "ws",
            "variables": {"host": {"default": "localhost:5000", "description": "Where the hub is."}},
            "security": [{"$ref": "#/components/securitySchemes/apiToken"}],
        }},
        "channels": {"default": channel},
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {"Ticker": infer(ticker(), TICK)},
            "securitySchemes": {"apiToken": {
                "type": "http", "scheme": "bearer",
                "description": "One of `API_TOKENS`, where set: as `auth: {token}` of the connect, or as a header.",
            }},
        },
    }  # fmt: skip


def _message(event: Event) -> dict[str, Any]:
    payload: dict[str, Any] = {"$ref": "#/components/schemas/Ticker"}
    if not event.is_ticker:
        payload = infer(event.example, event.notes)
    elif event.is_list:
        payload = {"type": "array", "items": payload}
    return {
        "name": event.title, "title": event.title, "summary": event.summary, "payload": payload,
        "examples": [{"payload": event.example}],
    }  # fmt: skip


def _acknowledgement(event: Event) -> dict[str, Any]:
    done = infer(event.acknowledgement, event.answer or {})
    return {
        "name": f"{event.title}_ack", "title": f"{event.title}, acknowledged",
        "summary": "The acknowledgement, where the client asks for one.",
        "payload": {"anyOf": [done, NO_CHOICE]}, "examples": [{"payload": event.acknowledgement}],
    }  # fmt: skip


def _operation_name(event: Event, way: str) -> str:
    return f"{'send' if way == TO_CLIENT else 'receive'}_{event.title}"


def _operation(event: Event, way: str) -> dict[str, Any]:
    """Return what the hub does: it sends what goes to clients, and receives what they send."""
    operation: dict[str, Any] = {
        "action": "send" if way == TO_CLIENT else "receive", "channel": {"$ref": "#/channels/default"},
        "summary": event.summary, "messages": [{"$ref": f"#/channels/default/messages/{event.title}"}],
    }  # fmt: skip
    if way == TO_HUB and event.answer is not None:
        operation["reply"] = {
            "channel": {"$ref": "#/channels/default"},
            "messages": [{"$ref": f"#/channels/default/messages/{event.title}_ack"}],
        }
    return operation
