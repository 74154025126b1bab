"""What an operator may do by hand: reconnect, rotate, move, resubscribe, play a drill. Each needs ``ADMIN_TOKEN``.

What was done, and what came of it, is in the log and in the journal; whose address it was, in the log.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from hub.alerts.desk import TestIsRunning
from hub.fanout.limits import client_address
from hub.hub import PriceHub
from hub.logs import Cooldown
from hub.web.arguments import json_body
from hub.web.drills import DrillError, Drills
from hub.web.guard import bearer_token, error_response, json_response, without_api_token
from hub.web.rates import Rates

MAX_PER_SECOND = 5
REFUSED_NOTE_SECONDS = 60.0  # the journal has room for what happened, not for every guess at the token
SHOWN = 64  # characters of a name that somebody made up

View = Callable[..., Response]
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Actions:
    """The routes, under every prefix the same; owner of their pace, and of the refusals that are not noted yet."""

    def __init__(self, hub: PriceHub, rates: Rates, drills: Drills | None) -> None:
        self._hub = hub
        self._rates = rates
        self._drills = drills
        self._token = hub.settings.admin_token
        self._times: deque[float] = deque([float("-inf")] * MAX_PER_SECOND, maxlen=MAX_PER_SECOND)
        self._refused = 0
        self._refused_noted_at = float("-inf")

    def add_to(self, routes: Blueprint) -> None:
        """Add ``GET /actions`` and the actions to the routes."""
        hub = self._hub

        @routes.get("/actions")
        def actions() -> Response:
            drills = self._drills.body() if self._drills is not None else []
            return json_response({"enabled": bool(self._token), "drills": drills, "simulated": hub.simulated})

        @routes.post("/connections/<connection_id>/reconnect")
        @self._guarded
        def reconnect(connection_id: str) -> Response:
            known = hub.paths.reconnect(connection_id)
            return self._of_connection("reconnect", connection_id, known, "gives up its socket and opens another")

        @routes.post("/connections/<connection_id>/rotate")
        @self._guarded
        def rotate(connection_id: str) -> Response:
            known = hub.rotate(connection_id)
            return self._of_connection("rotate", connection_id, known, "is replaced without a break")

        @routes.post("/price/<product_id>/move")
        @self._guarded
        def move(product_id: str) -> Response:
            # what may be delivered now must not go to a connection that is down
            do = functools.partial(hub.pool.move, only_open=True)
            return self._of_product("move", product_id, do, "goes to another connection")

        @routes.post("/price/<product_id>/resubscribe")
        @self._guarded
        def resubscribe(product_id: str) -> Response:
            def do(product: str) -> bool:
                hub.pool.resubscribe(product)
                return hub.pool.slot_of(product) is not None

            return self._of_product("resubscribe", product_id, do, "is subscribed to anew")

        @routes.post("/alerts/test")
        @self._guarded
        def test_alerts() -> Response:
            return self._test_alerts()

        @routes.post("/drills")
        @without_api_token
        def drill() -> Response:
            if self._drills is None:
                return error_response("drills are for a hub with --simulate", 404)
            return play()

        @self._guarded
        def play() -> Response:
            return self._play()

    def _guarded(self, view: View) -> View:
        """Let through whoever has the token, at a pace that neither hub nor exchange minds."""

        @functools.wraps(view)
        def guarded(**arguments: Any) -> Response:
            if not self._token:
                return error_response("actions are off: ADMIN_TOKEN is not set", 403)
            # from the header alone, and never Basic's: that one a browser sends along by itself
            if not self._rates.token_valid(request.environ, bearer_token(), [self._token]):
                return self._refuse()
            now = time.monotonic()
            if now - self._times[0] < 1:
                _warn.warning("too_many_actions", "refused an action address=%s: over %d a second", _who(self._hub),
                              MAX_PER_SECOND)  # fmt: skip
                response = error_response(f"at most {MAX_PER_SECOND} actions a second", 429)
                response.headers["Retry-After"] = "1"
                return response
            self._times.append(now)
            return view(**arguments)

        return without_api_token(guarded)

    def _refuse(self) -> Response:
        who, now = _who(self._hub), time.monotonic()
        self._hub.counters["actions_without_token"] += 1
        _warn.warning("actions_without_token", "refused an action address=%s: no admin token, or a wrong one", who)
        self._refused += 1
        if now - self._refused_noted_at >= REFUSED_NOTE_SECONDS:
            count, self._refused, self._refused_noted_at = self._refused, 0, now
            text = f"refused {count} {'action' if count == 1 else 'actions'} without the admin token"
            _note(self._hub, text, tone="warn", what="token", outcome="refused")
        response = error_response("The admin token is needed", 401)
        response.headers["WWW-Authenticate"] = 'Bearer realm="Price Hub actions"'
        return response

    def _of_connection(self, what: str, connection_id: str, known: bool, outcome: str) -> Response:
        if not known:
            name = connection_id[:SHOWN]
            audit(self._hub, f"{what} {name}", "there is no such connection", tone="warn")
            return error_response(f"Connection {name} not found", 404)
        audit(self._hub, f"{what} {connection_id}", outcome, connection_id=connection_id)
        return _accepted(f"{connection_id} {outcome}")

    def _of_product(self, what: str, product_id: str, do: Callable[[str], bool], outcome: str) -> Response:
        try:
            product = self._hub.check_product_id(product_id)
        except (ValueError, KeyError):
            name = product_id[:SHOWN]
            audit(self._hub, f"{what} {name}", "there is no such product", tone="warn")
            return error_response(f"Symbol {name} not found", 404)
        if not do(product):
            why = "there is no connection that could take it"
            audit(self._hub, f"{what} {product}", why, tone="warn", product=product)
            return error_response(f"{product}: {why}", 409)
        audit(self._hub, f"{what} {product}", outcome, product=product)
        return _accepted(f"{product} {outcome}")

    def _test_alerts(self) -> Response:
        try:
            outcomes = self._hub.alerts.test()
        except TestIsRunning:
            response = error_response("another test is not done yet", 409)
            response.headers["Retry-After"] = "9"
            return response
        well = all(outcome == "sent" for outcome in outcomes.values())
        told = ", ".join(f"{channel}: {outcome}" for channel, outcome in outcomes.items())
        audit(self._hub, "test of the alerts", told, tone="info" if well else "warn")
        return json_response({"success": well, "message": told, "channels": outcomes})

    def _play(self) -> Response:
        assert self._drills is not None
        hub = self._hub
        body = json_body()
        name = body.get("drill") if isinstance(body, dict) else None
        if not isinstance(name, str):
            return error_response('an object is required: {"drill": name}', 400)
        drill = self._drills.known.get(name)
        if drill is None:
            audit(hub, f"drill {name[:SHOWN]}", "there is no such drill", tone="warn")
            return error_response(f"no such drill; there are {', '.join(self._drills.known)}", 404)
        what, who = f"drill {drill.name}", _who(hub)

        def failed(why: str) -> None:
            audit(hub, what, f"failed: {why}", tone="bad", who=who)

        try:
            connection_id, product = self._drills.play(drill, failed)
        except DrillError as error:
            audit(hub, what, str(error), tone="warn")
            response = error_response(str(error), 409)
            response.headers["Retry-After"] = str(error.retry_after_seconds)
            return response
        outcome = f"on {connection_id or product or 'the exchange'}"
        audit(hub, what, outcome, connection_id=connection_id, product=product)
        return _accepted(f"{drill.title}: begins {outcome}")


def audit(
    hub: PriceHub, what: str, outcome: str, *, tone: str = "info", who: str | None = None,
    connection_id: str | None = None, product: str | None = None,
) -> None:  # fmt: skip
    """Write down what was done, and what came of it; in the log, which few read, ``who``, too: an address.

    That of the request, if it is not given.
    """
    log.info("action who=%s what=%r outcome=%r", who or _who(hub), what, outcome)
    _note(hub, f"{what}: {outcome}", tone=tone, connection_id=connection_id, product=product, what=what,
          outcome=outcome)  # fmt: skip


def _note(hub: PriceHub, text: str, **fields: Any) -> None:
    hub.journal.note("action", text, **fields)


def _who(hub: PriceHub) -> str:
    return client_address(request.environ, hub.settings.trusted_proxies)


def _accepted(message: str) -> Response:
    return json_response({"success": True, "message": message}, 202)
