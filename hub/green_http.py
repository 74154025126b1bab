"""HTTP as eventlet's server speaks it, made strict. Beside ``hub.green``, the one other module that names eventlet."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

KEEPALIVE_SECONDS = 75.0  # longer than a proxy keeps its connections
HEADER_TIMEOUT_SECONDS = 30.0  # a request that does not arrive within it is cut off
BODY_TIMEOUT_SECONDS = 30.0
MAX_BODY_LINE_BYTES = 4_096  # the size of a chunk, a trailer
MAX_BODY_LINES = 10_000  # in a chunked body: chunks of a byte are no use
DISCARD_SECONDS = 5.0  # for what is left of a refused body, so that its client comes to read why
DISCARD_BYTES, DISCARD_STEP_BYTES = 1_048_576, 16_384


def refusal(status: int) -> bytes:
    """Return the whole answer to what is no request: one word of JSON, and the end of the connection."""
    phrase = HTTPStatus(status).phrase
    body = f'{{"error":"{phrase}"}}'
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class _BodyLines:
    """What a chunked body is read from: the lines between its chunks are short and few, or it is given up."""

    def __init__(self, file: Any) -> None:
        self.read = file.read
        self._file = file
        self._lines = 0

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(MAX_BODY_LINE_BYTES if size is None or size < 0 else size)
        self._lines += 1
        if len(line) >= MAX_BODY_LINE_BYTES or self._lines > MAX_BODY_LINES:
            raise OSError("this is no chunked body")
        return line


class _HeadLines:
    """What the head of a request is read from: tells of a CR that ends no line, which some take for an end."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bare = False

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self.bare |= b"\r" in line.removesuffix(b"\r\n")
        return line


def strict_protocol() -> type:
    """Return eventlet's HTTP with what it lacks: deadlines over whole parts, one meaning a request, errors in JSON.

    What two servers could read in two ways is refused, or one client's body becomes another one's request.
    """
    import eventlet
    from eventlet import wsgi

    def within(seconds: float) -> Any:
        return eventlet.Timeout(seconds, TimeoutError("a client was too slow"))  # the server ends it without a word

    class Strict(wsgi.HttpProtocol):
        def _read_request_line(self) -> Any:
            with within(KEEPALIVE_SECONDS):
                return super()._read_request_line()

        def parse_request(self) -> bool:
            file: Any = self.rfile  # type: ignore[has-type]
            self.rfile = lines = _HeadLines(file)
            try:
                with within(HEADER_TIMEOUT_SECONDS):
                    if not super().parse_request():
                        return False
            finally:
                self.rfile = file
            lengths = self.headers.get_all("content-length", [])
            encodings = self.headers.get_all("transfer-encoding", [])
            if (
                lines.bare
                or self.headers.defects  # a line that is no header: the rest would be taken for something else
                or len(lengths) + len(encodings) > 1
                or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths)
                or not all(encoding.lower() == "chunked" for encoding in encodings)
                or any("\n" in value or "\0" in value for value in self.headers.values())
            ):
                self.send_error(400)
                return False
            return True

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
            self.close_connection = True
            self.wfile.write(refusal(code))

        def get_environ(self) -> Any:
            environ = super().get_environ()
            body = environ["eventlet.input"]
            read = body.read
            body.rfile = _BodyLines(body.rfile)

            def read_in_time(length: int | None = None) -> Any:
                with within(BODY_TIMEOUT_SECONDS):
                    return read(length)

            def discard() -> None:
                with within(DISCARD_SECONDS):
                    for _ in range(DISCARD_BYTES // DISCARD_STEP_BYTES):
                        if not read(DISCARD_STEP_BYTES):
                            return
                        eventlet.sleep(0)
                raise OSError("the rest of a body is too long")

            body.read, body.discard = read_in_time, discard
            return environ

    return Strict
