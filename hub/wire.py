"""WebSocket frames from server to client (RFC 6455), as bytes.

They carry no mask, so a frame made once serves every client.
"""

import struct


def text_frame(text: bytes) -> bytes:
    """Return the unmasked WebSocket text frame (RFC 6455) that holds ``text``."""
    length = len(text)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + text
    if length < 65_536:
        return struct.pack("!BBH", 0x81, 126, length) + text
    return struct.pack("!BBQ", 0x81, 127, length) + text


def close_frame(code: int) -> bytes:
    """Return an unmasked WebSocket close frame with a status code."""
    return struct.pack("!BBH", 0x88, 2, code)
