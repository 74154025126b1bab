"""What every request passes before and after its route: origin, token, security headers, JSON errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import orjson
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from hub.logs import Cooldown
from hub.web.admission import Admission
from hub.web.rates import Rates, TooMany

View = TypeVar("View", bound=Callable[..., Any])
MAX_BODY_BYTES = 65_536
# whoever watches the hub must not be told that it is busy
UNLIMITED = {prefix + path for prefix in ("", "/api") for path in ("/health", "/health/live", "/health/ready")}
# what GET /status is made of
PUBLIC_FILES = ("status.css", "icons/ok.svg", "icons/warn.svg", "icons/bad.svg", "icons/busy.svg")
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_warn = Cooldown(logging.getLogger(__name__))


def json_response(body: Any, status: int = 200) -> Response:
    """Return strict JSON, UTF-8. Raises ``TypeError`` for what JSON can't hold."""
    return Response(orjson.dumps(body), status, mimetype="application/json")


def error_response(message: str, status: int, **more: Any) -> Response:
    """Return the JSON that every error is: an object with ``error``, a text."""
    return json_response({"error": message, **more}, status)


def harden(response: Response) -> Response:
    """Add the headers that every answer has; nobody keeps one, but for the files of ``static``."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.add("Origin")
    return response


def without_api_token(view: View) -> View:
    """Let a route answer without one of ``API_TOKENS``: it is public, or asks for a token of its own."""
    view.needs_no_api_token = True  # type: ignore[attr-defined]
    return view


def at_once(view: View) -> View:
    """Let a route answer at once, also after a pause of the hub."""
    view.answers_at_once = True  # type: ignore[attr-defined]
    return view


def _needs_api_token() -> bool:
    if request.endpoint == "static":
        return (request.view_args or {}).get("filename") not in PUBLIC_FILES
    return not _view_is("needs_no_api_token")


def _view_is(mark: str) -> bool:
    return getattr(current_app.view_functions.get(request.endpoint or ""), mark, False)


def bearer_token() -> str | None:
    """Return the token of ``Authorization: Bearer …``, whatever signs it has: werkzeug reads ``a=b`` as parameters."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def presented_token() -> str | None:
    """Return the token of the current request: ``Authorization: Bearer …``, or Basic's password (browsers)."""
    if (token := bearer_token()) is not None:
        return token
    return request.authorization.password if request.authorization is not None else None


def install(
    app: Flask, admission: Admission, tokens: Collection[str], rates: Rates, settle: Callable[[], None]
) -> None:  # fmt: skip
    """Guard every route of the application; ``settle`` waits, after a pause of the hub, until it has caught up."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    def check() -> Response | None:
        g.origin_known = admission.admits(request.headers.get("Origin"), request.environ)
        limited = request.path not in UNLIMITED
        if limited:
            rates.count_request(request.environ)
        if not g.origin_known:
            return error_response("Origin not allowed", 403)
        if not _view_is("answers_at_once"):
            settle()
        g.begun = time.thread_time() if limited else None
        if request.method == "OPTIONS" or not tokens or not _needs_api_token():
            return None
        if rates.token_valid(request.environ, presented_token(), tokens):
            return None
        response = error_response("A token is needed", 401)
        response.headers["WWW-Authenticate"] = 'Basic realm="Price Hub", charset="UTF-8"'
        return response

    @app.after_request
    def add_headers(response: Response) -> Response:
        harden(response)
        if (begun := g.get("begun")) is not None:
            seconds = g.get("work_seconds", time.thread_time() - begun)  # without what was waited for
            rates.count_work(request.environ, seconds, response.content_length or 0)
        origin = request.headers.get("Origin")
        if origin and g.origin_known:
            response.headers["Access-Control-Allow-Origin"] = origin
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, DELETE, OPTIONS"
                response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        return response

    @app.errorhandler(TooMany)
    def too_many(error: TooMany) -> Response:
        response = error_response(str(error), 429)
        response.headers["Retry-After"] = str(error.seconds)
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if error.response is not None or status < 400:
            return error.get_response()  # type: ignore[return-value]
        response = error_response(error.name, status)
        if valid_methods := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(valid_methods))
        return response

    @app.errorhandler(Exception)
    def bug(_: Exception) -> Response:
        # one reason a route: a client that asks for it without an end must not fill the log
        _warn.exception(request.endpoint or "", "bug in method=%s path=%s", request.method, request.path)
        return error_response("Internal Server Error", 500)
