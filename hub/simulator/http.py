"""The few words of HTTP that the simulator's WSGI applications share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

MAX_BODY_BYTES = 1024 * 1024
HTML = b"<!DOCTYPE html><html><body>maintenance</body></html>"

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Response(NamedTuple):
    """A finished answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a WSGI request with it."""
        headers = [("Content-Type", self.content_type), ("X-Simulated", "true"), *self.headers]
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        start_response(f"{self.status} {phrase}", headers)
        return [self.body]


def json_response(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an answer with a JSON body."""
    return Response(status, orjson.dumps(value), headers=headers)


def query(environ: dict[str, Any]) -> dict[str, str]:
    """Return the query's parameters, the last of each name."""
    return {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}


def read_body(environ: dict[str, Any]) -> bytes:
    """Return the request's body; ``ValueError`` if it is too large."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY_BYTES:
        raise ValueError(f"a body of {length} bytes is more than {MAX_BODY_BYTES}")
    body: bytes = environ["wsgi.input"].read(length)
    return body
