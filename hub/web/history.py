"""What was: how the hub fared, what happened, which alerts were sent."""

from __future__ import annotations

import re

import orjson
from flask import Blueprint, Response, request

from hub.hub import PriceHub
from hub.journal import ALERT_EVENTS, KINDS
from hub.payload import iso_time
from hub.rings import RANGES
from hub.web.arguments import limit, product_id, since
from hub.web.guard import error_response, json_response
from hub.web.shared_body import SharedBodies
from hub.web.signals import fitting

JOURNAL_LIMITS = (200, 1_000)  # what is given unasked, and at most
SIGNALS_LIMITS = (50, 200)  # with up to 4 KB each


def add_history(routes: Blueprint, hub: PriceHub, bodies: SharedBodies) -> None:
    """Add ``GET /history``, ``/journal``, ``/signals`` and ``/alerts``."""

    @routes.get("/history")
    @bodies.shared(lambda: (_range(), since()))
    def history() -> Response:
        try:
            name, after = _range(), since()
        except ValueError as error:
            return error_response(str(error), 400)
        return json_response(hub.history.body(name, after))

    @routes.get("/journal")
    @bodies.shared(lambda: (_journal_query(), since()))
    def journal() -> Response:
        try:
            (after, kinds, connection, product, at_most), begin = _journal_query(), since()
        except ValueError as error:
            return error_response(str(error), 400)
        last_id = hub.journal.last_id  # before the entries: whoever asks for those after it misses none
        entries = hub.journal.query(after, begin, kinds, connection, product, at_most)
        body = {"count": len(entries), "last_id": last_id, "events": [entry.body() for entry in entries]}
        return json_response({**body, "simulated": hub.simulated})

    @routes.get("/alerts")
    def alerts() -> Response:
        return json_response(hub.alerts.body())

    @routes.get("/signals")
    @bodies.shared(lambda: (product_id("symbol"), _event(), limit(*SIGNALS_LIMITS)))
    def signals() -> Response:
        try:
            symbol, event, at_most = product_id("symbol"), _event(), limit(*SIGNALS_LIMITS)
        except ValueError as error:
            return error_response(str(error), 400)
        # an entry that stands for several of one product has the payload of one
        found = [
            {
                "id": entry.id,
                "time": iso_time(entry.at),
                "event": entry.data.get("event"),
                "symbol": entry.product,
                "text": entry.text,
                "payload": orjson.Fragment(entry.payload) if entry.payload is not None else None,
            }
            for entry in hub.journal.alerts(product=symbol, event=event, limit=at_most)
        ]  # fmt: skip
        return json_response({"count": len(found), "signals": fitting(found), "simulated": hub.simulated})


def _range() -> str:
    name = request.args.get("range", "5m")
    if name not in RANGES:
        raise ValueError(f"range must be one of {', '.join(RANGES)}")
    return name


def _journal_query() -> tuple[int | None, tuple[str, ...] | None, str | None, str | None, int]:
    """Return (after, kinds, connection, product, limit)."""
    return _after(), _kinds(), request.args.get("connection"), product_id("product"), limit(*JOURNAL_LIMITS)


def _after() -> int | None:
    text = request.args.get("after")
    if text is not None and not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise ValueError("after must be the id of an entry")
    return int(text) if text is not None else None


def _event() -> str | None:
    event = request.args.get("event")
    if event is not None and event not in ALERT_EVENTS:
        raise ValueError(f"event must be one of {', '.join(ALERT_EVENTS)}")
    return event


def _kinds() -> tuple[str, ...] | None:
    text = request.args.get("kind")
    if text is None:
        return None
    kinds = tuple(word.strip() for word in text.split(","))
    if any(word not in KINDS for word in kinds):
        raise ValueError(f"kind must be one or several of {', '.join(KINDS)}")
    return kinds
