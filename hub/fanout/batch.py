"""Events made ready for the wire once, for all clients."""

from __future__ import annotations

from collections.abc import Iterable

from engineio import packet

from hub.wire import text_frame


class Frames(bytes):
    """Finished WebSocket frames: to be written as they are."""


class Message:
    """One Socket.IO event of the default namespace: ``text`` is its packet, ``frame`` the WebSocket frame of it."""

    __slots__ = ("frame", "text")

    def __init__(self, event: str, payload: str) -> None:
        self.text = f'2["{event}",{payload}]'
        self.frame = text_frame(b"4" + self.text.encode())


class Batch:
    """Messages that leave together, in order; shared by every client's queue."""

    __slots__ = ("_messages", "frames")

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = tuple(messages)
        self.frames = Frames(b"".join(message.frame for message in self._messages))

    def encode(self) -> Frames:
        """Return what a WebSocket client is sent: all frames, for one write."""
        return self.frames

    def packets(self) -> list[packet.Packet]:
        """Return the same as Engine.IO packets, for a client that polls."""
        return [packet.Packet(packet.MESSAGE, message.text) for message in self._messages]
