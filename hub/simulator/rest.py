"""The Exchange's REST interface, of what the hub asks for. ``handle`` answers; ``application`` adds the faults."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from hub.simulator.broken import Faults, RestFault
from hub.simulator.history import KEPT_TRADES
from hub.simulator.http import Response, StartResponse, json_response, query
from hub.simulator.limits import MAX_TRADES_PAGE, REST_BURST, REST_PER_SECOND, RateLimit
from hub.simulator.market import Market, time_text

MAX_CURSOR = 10**15
MAX_MADE_UP = 50_000  # products of a list that is too long


class Rest:
    """``GET /products`` and below; one limit an address."""

    def __init__(self, market: Market, faults: Faults) -> None:
        self._market = market
        self._faults = faults
        self._limit = RateLimit(REST_PER_SECOND, REST_BURST)
        self.answers: Counter[int] = Counter()  # by status

    def application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as a WSGI application, well or badly."""
        fault = self._faults.rest.at(time.monotonic())
        if fault is not None and fault.delay_seconds:
            time.sleep(fault.delay_seconds)
        response = self.handle(environ, time.monotonic())
        if fault is not None and fault.status is not None:
            response = response._replace(status=fault.status)
        self.answers[response.status] += 1
        if fault is None:
            return response.send(start_response)
        if fault.body is not None:
            response = response._replace(body=fault.body, content_type=fault.content_type)
        if fault.truncate:
            return _cut_off(response, environ, start_response)
        return response.send(start_response)

    def handle(self, environ: dict[str, Any], now: float) -> Response:
        """Answer a request at monotonic ``now``."""
        if not self._limit.allow(environ["REMOTE_ADDR"], now):
            return json_response({"message": "Public rate limit exceeded"}, 429)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return json_response({"message": "MethodNotAllowed"}, 405)
        match environ["PATH_INFO"].strip("/").split("/"):
            case ["products"]:
                return json_response(self._listing(self._faults.rest.at(now), now))
            case ["products", "stats"]:
                return json_response({one: self._all_stats(one) for one in self._market.product_ids})
            case ["products", product_id, what] if product_id in self._market.product_ids:
                return self._product(product_id, what, query(environ))
            case ["products", product_id]:
                rows = [row for row in self._rows(now) if row["id"] == product_id]
                return json_response(rows[0]) if rows else not_found()
        return not_found()

    def _product(self, product_id: str, what: str, parameters: dict[str, str]) -> Response:
        if what == "ticker":
            return json_response(self._market.ticker(product_id))
        if what == "stats":
            return json_response(self._market.stats(product_id))
        if what == "trades":
            return self._trades(product_id, parameters)
        return not_found()

    def _trades(self, product_id: str, parameters: dict[str, str]) -> Response:
        """Answer a page; ``before`` asks for the newest page above an id, ``after`` for the one below it."""
        try:
            limit = integer(parameters, "limit", MAX_TRADES_PAGE) or MAX_TRADES_PAGE
            above = integer(parameters, "before", MAX_CURSOR)
            below = integer(parameters, "after", MAX_CURSOR)
        except ValueError as error:
            return json_response({"message": str(error)}, 400)
        page = self._page(product_id, limit, above, below)
        if not page:
            return json_response(page)
        cursors = (("cb-before", str(page[0]["trade_id"])), ("cb-after", str(page[-1]["trade_id"])))
        return json_response(page, headers=cursors)

    def _page(self, product_id: str, limit: int, above: int | None, below: int | None) -> list[dict[str, Any]]:
        """Return a page of trades, without those that are too young for a server that lags."""
        now = time.monotonic()
        lag = self._faults.rest_lag_seconds.at(now)
        if lag is None:
            return self._market.trades(product_id, limit, above, below)
        wall = time.time() + (self._faults.clock_offset_seconds.at(now) or 0.0)
        youngest = time_text(int((wall - lag) * 1e6))
        rows = self._market.trades(product_id, KEPT_TRADES, above, below)
        return [row for row in rows if row["time"] <= youngest][:limit]

    def _rows(self, now: float) -> list[dict[str, Any]]:
        """Return the rows of the list, as the ``status`` faults change them."""
        changed = self._faults.listed.at(now)
        return [
            {**row, **fields} for row in self._market.listing() if (fields := changed.get(row["id"], {})) is not None
        ]

    def _listing(self, fault: RestFault | None, now: float) -> list[dict[str, Any]]:
        rows = self._rows(now)
        if fault is None or fault.list_factor == 1:
            return rows
        made_up = ({**rows[0], "id": f"FAKE{number:05}-USD"} for number in range(MAX_MADE_UP))
        return [*rows, *made_up][: int(len(rows) * fault.list_factor)]

    def _all_stats(self, product_id: str) -> dict[str, dict[str, str]]:
        day = self._market.stats(product_id)
        month = {"volume": day.pop("volume_30day")}
        return {"stats_24hour": day, "stats_30day": month}


def integer(parameters: dict[str, str], name: str, most: int) -> int | None:
    """Return a parameter that is a whole number, at most ``most``; None if it is not there, else ``ValueError``."""
    text = parameters.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        raise ValueError(f"{name} is not valid")
    return min(int(text), most)


def not_found() -> Response:
    """Return the answer about what there is not."""
    return json_response({"message": "NotFound"}, 404)


def _cut_off(response: Response, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Announce a whole body, send half of it and break off."""
    environ["eventlet.minimum_write_chunk_size"] = 0  # or the server would wait for more before it writes
    length = ("Content-Length", str(len(response.body)))
    response._replace(headers=(*response.headers, length)).send(start_response)

    def half() -> Iterator[bytes]:
        yield response.body[: len(response.body) // 2]
        raise ConnectionAbortedError("cut off on command")

    return half()
