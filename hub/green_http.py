"""HTTP as eventlet's server speaks it, made strict. What the two servers share of it is here, too."""

from __future__ import annotations

import re
from http import HTTPStatus
from io import BytesIO
from typing import Any

FIRST_BYTE_SECONDS = 10.0  # for the first byte of the first request
KEEPALIVE_SECONDS = 75.0  # for that of each other one: longer than a proxy keeps its connections
HEADER_TIMEOUT_SECONDS = 10.0  # a request's head that does not arrive within it is cut off
BODY_TIMEOUT_SECONDS = 30.0
ANSWER_SECONDS = 60.0  # in which an answer is to be read
STALL_SECONDS = 10.0  # without a byte of it being read
MAX_HEAD_BYTES = 131_072
MAX_BODY_BYTES = 65_536  # as much as any route takes
MAX_CHUNKS = 10_000  # in a body: chunks of a byte are no use
MAX_CHUNK_LINE_BYTES = 256
READ_BYTES = 8_192
WRITE_TOGETHER_BYTES = 16_384
DISCARD_SECONDS = 5.0  # for what is left of a refused request, so that its client comes to read why
DISCARD_BYTES, DISCARD_STEP_BYTES = 1_048_576, 16_384

REQUEST_LINE = re.compile(rb"[A-Z]{1,20} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r\n")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?\r\n")


class Refused(Exception):
    """A request that is none; ``status`` is what its sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def refusal(status: int) -> bytes:
    """Return the whole answer to what is no request: one word of JSON, and the end of the connection."""
    phrase = HTTPStatus(status).phrase
    body = f'{{"error":"{phrase}"}}'
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Reader:
    """What comes on a connection, as a file. It holds what was read too far, which is the next request."""

    closed = False

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._held = b""

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    def readline(self, size: int = -1) -> bytes:
        """Return a line with its end, or ``size`` bytes of a longer one, or what came before the end."""
        most = MAX_HEAD_BYTES if size < 0 else size
        searched = 0
        while (end := self._held.find(b"\n", searched, most)) < 0 and len(self._held) < most:
            searched = len(self._held)
            if not (data := self._receive(READ_BYTES)):
                break
            self._held += data
        return self._take(end + 1 if end >= 0 else most)

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or what came before the end."""
        parts, missing = [self._take(size)], 0
        missing = size - len(parts[0])
        while missing > 0 and (data := self._receive(min(missing, MAX_BODY_BYTES))):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Do nothing: who accepted the connection closes it."""

    def _take(self, size: int) -> bytes:
        data, self._held = self._held[:size], self._held[size:]
        return data


class _Writer:
    """What leaves on a connection, as a file: the head of an answer together with a body that is no large one."""

    closed = False

    def __init__(self, send: Any) -> None:
        self.write = send

    def writelines(self, parts: list[bytes]) -> None:
        *head, body = parts
        if len(body) <= WRITE_TOGETHER_BYTES:
            self.write(b"".join(parts))
        else:
            self.write(b"".join(head))
            self.write(body)

    def flush(self) -> None:
        """Do nothing: nothing is held."""

    def close(self) -> None:
        """Do nothing: who accepted the connection closes it."""


class _HeadLines:
    """What the head of a request is read from: tells of a line that does not end as it must, and of a bare CR."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bare = False

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self.bare |= not line.endswith(b"\r\n") or b"\r" in line[:-2]
        return line


def read_chunked(file: Any) -> bytes:
    """Return a body that comes in chunks; raises ``Refused`` for what two servers could read in two ways."""
    parts: list[bytes] = []
    size = 0
    for _ in range(MAX_CHUNKS):
        found = CHUNK_LINE.fullmatch(file.readline(MAX_CHUNK_LINE_BYTES))
        if found is None:
            raise Refused(400)
        length = int(found[1], 16)
        if not length:
            if file.readline(MAX_CHUNK_LINE_BYTES) != b"\r\n":  # trailers: nobody needs any
                raise Refused(400)
            return b"".join(parts)
        size += length
        if size > MAX_BODY_BYTES:
            raise Refused(413)
        chunk = file.read(length + 2)
        if len(chunk) != length + 2 or not chunk.endswith(b"\r\n"):
            raise Refused(400)
        parts.append(chunk[:-2])
    raise Refused(400)


def strict_protocol(max_body_bytes: int = MAX_BODY_BYTES) -> type:
    """Return eventlet's HTTP with one meaning a request, bodies that are whole, and errors in JSON.

    What two servers could read in two ways is refused, or one client's body becomes another one's request. The
    application gets a body that has come: it waits for nobody, and one that was cut off is none.
    """
    from eventlet import wsgi

    class Strict(wsgi.HttpProtocol):
        def setup(self) -> None:
            self.connection = self.request
            self.rfile = self.connection.kept or Reader(self.connection.recv)
            self.wfile = _Writer(self.connection.sendall)

        def handle(self) -> None:
            self.close_connection = True
            try:
                while True:
                    self.connection.expect(HEADER_TIMEOUT_SECONDS)
                    self.handle_one_request()
                    if self.close_connection or self.rfile.empty:
                        break
                    self.connection.take_turn()
            except Refused as refused:
                self.send_error(refused.status)

        def finish(self) -> None:
            self.connection.kept = None if self.close_connection else self.rfile

        def _read_request_line(self) -> bytes:
            line: bytes = self.rfile.readline(self.server.url_length_limit)
            if len(line) >= self.server.url_length_limit:
                raise Refused(414)
            if line and not REQUEST_LINE.fullmatch(line):
                raise Refused(400)
            return line

        def parse_request(self) -> bool:
            file: Any = self.rfile
            self.rfile = lines = _HeadLines(file)
            try:
                if not super().parse_request():
                    return False
            except (wsgi.HeaderLineTooLong, wsgi.HeadersTooLarge):
                raise Refused(400) from None
            finally:
                self.rfile = file
            lengths = self.headers.get_all("content-length", [])
            encodings = self.headers.get_all("transfer-encoding", [])
            hosts = self.headers.get_all("host", [])
            if (
                lines.bare
                or self.headers.defects  # a line that is no header: the rest would be taken for something else
                or len(hosts) > 1
                or (not hosts and self.request_version == "HTTP/1.1")
                or len(lengths) + len(encodings) > 1
                or (encodings and self.request_version != "HTTP/1.1")
                or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths)
                or not all(encoding.lower() == "chunked" for encoding in encodings)
                or any("\n" in value or "\0" in value for value in self.headers.values())
            ):
                raise Refused(400)
            return True

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
            self.close_connection = True
            self.connection.unread = True
            self.wfile.write(refusal(code))

        def get_environ(self) -> Any:
            environ = super().get_environ()
            body = self._body()
            environ["wsgi.input"] = environ["eventlet.input"] = wsgi.Input(BytesIO(body), len(body), self.connection)
            return environ

        def _body(self) -> bytes:
            """Return the request's body; nothing of one that is longer than any route takes: its length is refused."""
            length = int(self.headers.get("content-length", 0))
            chunked = "transfer-encoding" in self.headers
            if length > max_body_bytes:
                self.close_connection = True
                self.connection.unread = True
                return b""
            if not length and not chunked:
                return b""
            self.connection.expect(BODY_TIMEOUT_SECONDS)
            if self.headers.get("expect", "").lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if chunked:
                return read_chunked(self.rfile)
            body: bytes = self.rfile.read(length)
            if len(body) < length:
                raise Refused(400)
            return body

    return Strict
