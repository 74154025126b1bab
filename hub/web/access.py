"""Which tokens let whom read, and write: send alerts to every client, change the priority pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Flask, Response, current_app, request

from hub.settings import Settings
from hub.web.guard import error_response, presented_token
from hub.web.rates import Rates, matches

View = TypeVar("View", bound=Callable[..., Any])
NO_WRITER = "A token that may write is needed"


def writes(view: View) -> View:
    """Have a route need one of ``WRITE_TOKENS``, where set."""
    view.writes = True  # type: ignore[attr-defined]
    return view


class Access:
    """``API_TOKENS`` and ``WRITE_TOKENS``, of REST and of Socket.IO. A token that may write may read as well."""

    def __init__(self, settings: Settings, rates: Rates) -> None:
        self._rates = rates
        self._writers = settings.write_tokens
        self._known = (*settings.api_tokens, *settings.write_tokens)
        self.readers = self._known if settings.api_tokens else ()  # empty: everybody

    def may_read(self, environ: Mapping[str, Any], presented: str | None) -> bool:
        """Tell whether a request may read; raises ``TooMany``."""
        return not self.readers or self._rates.token_valid(environ, presented, self.readers)

    def may_write(self, environ: Mapping[str, Any], presented: str | None) -> bool:
        """Tell whether a request may write, if it may read; raises ``TooMany``."""
        if not self._writers:
            return True
        return self._rates.token_valid(environ, presented, self._known) and matches(presented, self._writers)

    def install(self, app: Flask) -> None:
        """Guard the routes that write."""

        @app.before_request
        def check() -> Response | None:
            view = current_app.view_functions.get(request.endpoint or "")
            if request.method == "OPTIONS" or not getattr(view, "writes", False):
                return None
            presented = presented_token()
            if self.may_write(request.environ, presented):
                return None
            self._rates.count_refused("writers_without_token")
            if presented and matches(presented, self._known):
                return error_response(NO_WRITER, 403)
            response = error_response(NO_WRITER, 401)
            response.headers["WWW-Authenticate"] = 'Basic realm="Price Hub", charset="UTF-8"'
            return response
