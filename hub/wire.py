"""WebSocket frames from server to client (RFC 6455), as bytes.

They carry no mask, so a frame made once serves every client.
"""

import struct

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


def text_frame(text: bytes) -> bytes:
    """Return the unmasked WebSocket text frame (RFC 6455) that holds ``text``."""
    return _header(TEXT, len(text)) + text


def binary_frame(data: bytes) -> bytes:
    """Return the unmasked WebSocket binary frame that holds ``data``."""
    return _header(BINARY, len(data)) + data


def close_frame(code: int, reason: str = "") -> bytes:
    """Return an unmasked WebSocket close frame with a status code and a reason of at most 123 bytes."""
    text = reason.encode()[:123]
    return _header(CLOSE, 2 + len(text)) + struct.pack("!H", code) + text


def content(frame: bytes) -> tuple[bool, bytes]:
    """Return whether one of the frames above is text, and what it holds."""
    return frame[0] == TEXT, frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
