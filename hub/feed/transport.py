"""One WebSocket to the exchange: opening it within a deadline, and reading frames under a cap.

``websocket-client`` does the protocol. Around it: we open TCP and TLS ourselves, so that there is a socket to shut
while a handshake stalls; reads are buffered, because the library asks for two bytes at a time; a frame's announced
length is checked before anything of it is kept; and frames without data are bounded in number.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

import websocket
from websocket._abnf import continuous_frame, frame_buffer

from hub import green
from hub.feed.bounded_socket import BoundedSocket
from hub.feed.dial import HANDSHAKE, Dial, TransportError, explain
from hub.wire import TEXT

READ_BYTES = 65_536
# Headers are read byte by byte, so they come in small parts. With them the first data may come.
HANDSHAKE_BYTES, HANDSHAKE_READ_BYTES = 262_144, 2_048  # the page of a refusal among them
MAX_FRAGMENTS = 1_000  # of a message
IDLE_FRAMES, IDLE_FRAMES_PER_SECOND = 200, 50  # in one go, and in the long run: pings, pongs, frames without data
IDLE_OPCODES = (websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG)
MAX_RETRY_AFTER_SECONDS = 300.0  # a wish beyond it would leave prices stale for longer than anybody meant


class _BufferedSocket:
    """A socket that reads ahead."""

    def __init__(self, sock: BoundedSocket) -> None:
        self._sock = sock
        self._data = b""
        self._at = 0
        self.read_bytes = READ_BYTES

    def _fill(self) -> None:
        self._data = self._sock.recv(self.read_bytes)
        self._at = 0

    def text_frame(self, limit: int) -> bytes | None:
        """Return the payload of the next frame if it is the usual: a whole text message that has been read already.

        None leaves it, whatever it is, to the library.
        """
        if self._at >= len(self._data):
            self._fill()
        data, at = self._data, self._at
        if len(data) < at + 4 or data[at] != TEXT:
            return None
        length, start = data[at + 1], at + 2  # a mask's bit makes it over 127
        if length == 126:
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
        elif length > 126:
            return None
        end = start + length
        if end > len(data) or length > limit:
            return None
        self._at = end
        return data[start:end]

    def recv(self, size: int) -> bytes:
        if self._at >= len(self._data):
            self._fill()
        start = self._at
        self._at = start + size
        return self._data[start : start + size]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _CappedFrame(frame_buffer):
    def __init__(self, receive: Callable[[int], bytes], limit: int, take_turn: Callable[[], None]) -> None:
        super().__init__(receive, skip_utf8_validation=True)
        self._limit = limit
        self._take_turn = take_turn
        self._idle_frames = float(IDLE_FRAMES)
        self._since = time.monotonic()

    def recv_frame(self) -> Any:
        """Return the next frame; pings, pongs and empty ones are no data, and there are bounds to them."""
        self._take_turn()
        frame = super().recv_frame()
        if frame.opcode in IDLE_OPCODES or not frame.data:
            now = time.monotonic()
            self._idle_frames = min(IDLE_FRAMES, self._idle_frames + (now - self._since) * IDLE_FRAMES_PER_SECOND) - 1
            self._since = now
            if self._idle_frames < 0:
                raise TransportError("idle_frames", f"over {IDLE_FRAMES_PER_SECOND} frames without data a second")
        return frame

    def recv_length(self) -> None:
        super().recv_length()
        if self.length > self._limit:
            raise TransportError("frame_too_big", f"{self.length} bytes announced, {self._limit} allowed")


class _CappedMessage(continuous_frame):
    def __init__(self, limit: int) -> None:
        super().__init__(fire_cont_frame=False, skip_utf8_validation=True)
        self._limit = limit
        self._fragments = 0

    def add(self, frame: Any) -> None:
        self._fragments = self._fragments + 1 if self.cont_data else 1
        if self._fragments > MAX_FRAGMENTS:
            raise TransportError("frame_too_big", f"over {MAX_FRAGMENTS} fragments of one message")
        held = len(self.cont_data[1]) if self.cont_data else 0
        if held + len(frame.data) > self._limit:
            raise TransportError("frame_too_big", f"fragments add up to over {self._limit} bytes")
        super().add(frame)


class Transport:
    """An open WebSocket, driven by one thread. ``shut`` alone may be called by another (the watchdog).

    ``dial`` tells of the way to it, once it is opened.
    """

    def __init__(self) -> None:
        self.dial: Dial | None = None
        self._sock: BoundedSocket | None = None
        self._buffered: _BufferedSocket | None = None
        self._ws: Any = None
        self._max_frame_bytes = 0

    def open(
        self, url: str, max_frame_bytes: int, timeout_seconds: float, tls: ssl.SSLContext | None,
        before_connect: Callable[[], bool],
    ) -> bool:  # fmt: skip
        """Connect, with one deadline over DNS, TCP, a proxy's tunnel, TLS and handshake.

        ``before_connect`` waits for the pool's permission (outside of the deadline) and returns False to give up;
        then this returns False. Raises ``TransportError``.
        """
        dial = self.dial = Dial(url)
        begun = time.monotonic()
        try:
            with green.deadline(timeout_seconds):
                dial.look_up()
            left = max(0.1, timeout_seconds - (time.monotonic() - begun))
            if not before_connect():
                return False
            with green.deadline(left):
                sock = dial.connect(left, tls, before_connect)
                dial.begin(HANDSHAKE)
                sock.bound(HANDSHAKE_BYTES, left)
                self._handshake(url, sock, max_frame_bytes)
            sock.bound()
            sock.settimeout(None)  # from here on the watchdog bounds every wait
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise (_of_the_protocol(error) or dial.explain(error)) from error
            raise
        return True

    def _handshake(self, url: str, sock: BoundedSocket, max_frame_bytes: int) -> None:
        self._sock, self._buffered = sock, _BufferedSocket(sock)
        self._max_frame_bytes = max_frame_bytes
        ws = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        ws.frame_buffer = _CappedFrame(ws._recv, max_frame_bytes, sock.take_turn)
        ws.cont_frame = _CappedMessage(max_frame_bytes)
        self._ws = ws
        self._buffered.read_bytes = HANDSHAKE_READ_BYTES
        try:
            ws.connect(url, socket=self._buffered, redirect_limit=0, suppress_origin=True)
            self._buffered.read_bytes = READ_BYTES
        finally:
            answer = ws.handshake_response
            if answer is not None and answer.status != 101:  # a redirect, which is not followed
                raise TransportError(f"http_{answer.status}")

    @property
    def waited_until(self) -> float:
        """Monotonic seconds when a read last had to wait for the network."""
        return self._sock.waited_until if self._sock else 0.0

    def send(self, frame: bytes) -> None:
        """Send one text frame; raises ``TransportError``."""
        try:
            self._ws.send(frame, websocket.ABNF.OPCODE_TEXT)
        except (OSError, ValueError, websocket.WebSocketException) as error:
            raise (_of_the_protocol(error) or explain(error)) from error

    def receive(self) -> bytes:
        """Wait for the next data frame and return its payload; answers pings. Raises ``TransportError``."""
        assert self._buffered is not None
        try:
            if (text := self._buffered.text_frame(self._max_frame_bytes)) is not None:
                return text
            opcode, frame = self._ws.recv_data_frame()
        except (OSError, ValueError, websocket.WebSocketException) as error:
            raise (_of_the_protocol(error) or explain(error)) from error
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else 1005
            raise TransportError(f"closed_{code}" if 1000 <= code < 5000 else "closed_other")
        return frame.data

    def shut(self) -> None:
        """Shut the raw socket both ways, which wakes a blocked reader. Idempotent."""
        if self.dial is not None:
            self.dial.shut()

    def close(self) -> None:
        """Give the descriptor back. Idempotent; for the owning thread."""
        if self.dial is not None:
            self.dial.close()


def _of_the_protocol(error: Exception) -> TransportError | None:
    match error:
        case websocket.WebSocketBadStatusException():
            status = error.status_code
            wait = str((error.resp_headers or {}).get("retry-after", ""))
            seconds = min(float(wait), MAX_RETRY_AFTER_SECONDS) if wait.isascii() and wait.isdigit() else 0.0
            cause = f"http_{status}" if 100 <= status < 600 else "http_other"
            return TransportError(cause, retry_after_seconds=seconds)
        case websocket.WebSocketTimeoutException():
            return TransportError("connect_timeout", str(error)[:200])
        case websocket.WebSocketConnectionClosedException():
            return TransportError("eof", str(error)[:200])
        case websocket.WebSocketException():
            return TransportError("protocol", str(error)[:200])
    return error if isinstance(error, TransportError) else None
