"""The simulator's one port: WebSocket upgrades, REST, control; Advanced Trade's under paths of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from hub.simulator.advanced_rest import PREFIX, AdvancedRest
from hub.simulator.advanced_trade import AdvancedTrade
from hub.simulator.control import Control
from hub.simulator.exchange import Exchange
from hub.simulator.http import StartResponse, json_response
from hub.simulator.rest import Rest

ADVANCED_TRADE_PATH = "/advanced-trade"

log = logging.getLogger(__name__)


class _Nowhere:
    """Takes the server's own notes about clients that went away: in drills that is nothing to report."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return


class Server:
    """The WSGI application."""

    def __init__(self, exchange: Exchange, advanced: AdvancedTrade) -> None:
        self._exchange, self._advanced = exchange, advanced
        self._rest = Rest(exchange.market, exchange.faults)
        self._advanced_rest = AdvancedRest(advanced.market, advanced.faults)
        self._control = Control(exchange, advanced, self._rest)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; a bug in it is logged, which the WSGI server would not do."""
        environ["wsgi.errors"] = _Nowhere()
        try:
            if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
                second = environ["PATH_INFO"].rstrip("/") == ADVANCED_TRADE_PATH
                endpoint = self._advanced if second else self._exchange
                upgraded: Iterable[bytes] = endpoint.accept(environ, start_response)
                return upgraded
            if environ["PATH_INFO"].startswith("/_control/"):
                return self._control.handle(environ).send(start_response)
            if environ["PATH_INFO"].startswith(PREFIX):
                return self._advanced_rest.application(environ, start_response)
            return self._rest.application(environ, start_response)
        except Exception:
            log.exception("request failed path=%r", environ["PATH_INFO"])
            return json_response({"message": "Internal server error"}, 500).send(start_response)
