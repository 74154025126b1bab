"""``/_control/...``: faults on command, and the truth about what was sent, for drills and tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from hub.simulator import faults
from hub.simulator.advanced_trade import AdvancedTrade
from hub.simulator.endpoint import Endpoint
from hub.simulator.exchange import Exchange
from hub.simulator.history import KEPT_TRADES
from hub.simulator.http import Response, json_response, query, read_body
from hub.simulator.market import GeneratedMarket
from hub.simulator.replay import RecordedMarket
from hub.simulator.rest import Rest

Body = dict[str, Any]


class Control:
    """The routes; each takes the request's JSON object and returns the answer's.

    What is told of connections and frames is told of one endpoint, ``?endpoint=``; without it, of the Exchange's.
    """

    def __init__(self, exchange: Exchange, advanced: AdvancedTrade, rest: Rest) -> None:
        self._exchange = exchange
        self._rest = rest
        self._advanced = advanced
        self._endpoints: dict[str, Endpoint] = {one.name: one for one in (exchange, advanced)}
        self._routes: dict[tuple[str, str], Callable[[Body], Body]] = {
            ("POST", "fault"): self._fault,
            ("POST", "clear"): self._clear,
            ("POST", "pause"): self._pause,
            ("POST", "resume"): self._resume,
            ("POST", "start"): self._start,
            ("GET", "sent"): self._sent,
            ("GET", "evidence"): self._evidence,
            ("GET", "trades"): self._trades,
            ("GET", "connections"): self._connections,
            ("GET", "replay"): self._replay,
            ("GET", "rest"): self._answers,
        }

    def handle(self, environ: dict[str, Any]) -> Response:
        """Answer a request."""
        name = environ["PATH_INFO"].removeprefix("/_control/")
        route = self._routes.get((environ["REQUEST_METHOD"], name))
        if route is None:
            known = ", ".join(f"{method} {path}" for method, path in self._routes)
            return json_response({"error": f"no such command; there are {known}"}, 404)
        try:
            body = query(environ) if environ["REQUEST_METHOD"] == "GET" else orjson.loads(read_body(environ) or b"{}")
            if not isinstance(body, dict):
                raise ValueError("the body has to be a JSON object")
            return json_response(route(body))
        except ValueError as error:
            return json_response({"error": str(error)}, 400)

    def _fault(self, body: Body) -> Body:
        return {"hit": faults.cause(body, self._endpoints, time.monotonic())}

    def _clear(self, body: Body) -> Body:  # noqa: ARG002 - every route has the same form
        exchange = self._exchange
        if isinstance(exchange.market, GeneratedMarket):
            exchange.market.rate_factor.clear()
            exchange.market.quiet.clear()
        return {"unmuted": sum(endpoint.release() for endpoint in self._endpoints.values())}

    def _endpoint(self, body: Body) -> Endpoint:
        endpoints = faults.chosen(body, self._endpoints)
        if len(endpoints) > 1:
            raise ValueError("endpoint has to be one of them here")
        return endpoints[0]

    def _pause(self, body: Body) -> Body:  # noqa: ARG002
        self._exchange.pause()
        return {"paused": True}

    def _resume(self, body: Body) -> Body:  # noqa: ARG002
        self._exchange.resume(time.monotonic())
        return {"paused": False}

    def _recording(self) -> RecordedMarket:
        market = self._exchange.market
        if not isinstance(market, RecordedMarket):
            raise ValueError("this simulator replays nothing; start it with --replay")
        return market

    def _start(self, body: Body) -> Body:  # noqa: ARG002
        self._recording().start()
        return self._recording().progress()

    def _replay(self, body: Body) -> Body:  # noqa: ARG002
        return self._recording().progress()

    def _sent(self, body: Body) -> Body:
        """Which trades happened, and whose frames were lost on command; of Advanced Trade also which ones left."""
        endpoint = self._endpoint(body)
        products = {}
        for product_id in endpoint.market.product_ids:
            ranges = endpoint.market.happened(product_id)
            products[product_id] = {
                "first_id": ranges[0][0] if ranges else None,
                "last_id": ranges[-1][1] if ranges else None,
                "ranges": ranges,
                "dropped": endpoint.dropped.get(product_id, []),
            }
            if endpoint is self._advanced:
                sent = self._advanced.sent.get(product_id)
                products[product_id]["sent"] = sent.pairs() if sent else []
        return {
            "products": products,
            "ticks_total": endpoint.ticks_total,
            "heartbeats_total": endpoint.heartbeats_total,
        }

    def _wanted(self, body: Body) -> tuple[str, ...]:
        product_ids = self._exchange.market.product_ids
        product_id = body.get("product")
        if product_id is None:
            return product_ids
        if product_id not in product_ids:
            raise ValueError(f"product has to be one of the market's, not {product_id!r}")
        return (product_id,)

    def _evidence(self, body: Body) -> Body:
        return self._endpoint(body).evidence.report(self._wanted(body), time.monotonic())

    def _trades(self, body: Body) -> Body:
        """When a product's last trades happened: ``[[id, RFC 3339 time], ...]``, newest first."""
        if "product" not in body:
            raise ValueError("product is missing")
        (product_id,) = self._wanted(body)
        rows = self._exchange.market.trades(product_id, KEPT_TRADES, None, None)
        return {"trades": [[row["trade_id"], row["time"]] for row in rows]}

    def _answers(self, body: Body) -> Body:  # noqa: ARG002
        """How many requests to the Exchange's REST were answered, by status."""
        return {"answers": {str(status): count for status, count in self._rest.answers.items()}}

    def _connections(self, body: Body) -> Body:
        """Times are monotonic seconds, the same clock for every process of the machine."""
        endpoint = self._endpoint(body)
        return {
            "open": [
                {
                    "index": session.index,
                    "products": sorted(session.product_ids()),
                    "channels": sorted(session.channels),
                    "opened_at": session.opened_at,
                    "muted": session.muted,
                    "sent_frames": session.sent_frames,
                    "lost_frames": session.lost_frames,
                    "pending_bytes": session.pending_bytes,
                }
                for session in endpoint.sessions()
            ],
            "connects": list(endpoint.connects),
            "accepted_total": endpoint.accepted_total,
            "refused_total": endpoint.refused_total,
            "violations": endpoint.violations,
        }
