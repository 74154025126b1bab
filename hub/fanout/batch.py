"""Events made ready for the wire once, for all clients that want the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from engineio import packet

from hub.wire import binary_frame, content, text_frame

TICK = "ticker_update"
MAX_BATCH_BYTES = 65_536  # what a client that lags may have waiting beyond its limit
STAMPED = frozenset({TICK, "priority_ticker_update", "trade_backfill"})  # they carry the same fields
CONFLATED = frozenset({TICK, "priority_ticker_update", "trust_update"})  # of these the latest a product is enough


class Message:
    """One Socket.IO event of the default namespace; ``payload`` is JSON text.

    ``at`` is the monotonic second of its making. ``product`` is None for what concerns no product alone. ``offset``
    numbers what is sent; 0: it was not sent to all.
    """

    __slots__ = ("_frame", "at", "event", "offset", "payload", "product")

    def __init__(self, event: str, payload: str, product: str | None = None, at: float = 0.0) -> None:
        self.event = event
        self.payload = payload
        self.product = product
        self.at = at
        self.offset = 0
        self._frame: bytes | None = None

    def stamp(self, mark: str) -> None:
        """Add a last field to a ticker: ``mark`` is its JSON text, with the comma before it."""
        if self.event in STAMPED:
            self.payload = f"{self.payload[:-1]}{mark}}}"

    @property
    def text(self) -> str:
        """The Socket.IO packet."""
        return f'2["{self.event}",{self.payload}]'

    @property
    def frame(self) -> bytes:
        """The WebSocket frame."""
        if self._frame is None:
            self._frame = text_frame(b"4" + self.text.encode())
        return self._frame


class Batch:
    """Messages that leave together, in order; shared by every client that wants these.

    ``batched``: ticks that follow one another leave as one ``ticker_batch`` event, a list.
    """

    __slots__ = ("_batched", "_packets", "frames", "messages")
    is_answer = False

    def __init__(self, messages: Iterable[Message], batched: bool = False) -> None:
        self.messages = tuple(messages)
        self._batched = batched
        self._packets: list[packet.Packet] | None = None
        self.frames = b"".join([message.frame for message in self._ready()])  # all of it, for one write

    def _ready(self) -> Iterator[Message]:
        if not self._batched:
            yield from self.messages
            return
        for is_tick, run in groupby(self.messages, lambda message: message.event == TICK):
            if is_tick:
                yield Message("ticker_batch", f"[{','.join(message.payload for message in run)}]")
            else:
                yield from run

    def packets(self) -> list[packet.Packet]:
        """Return the same as Engine.IO packets, for clients that poll: all of them share these."""
        if self._packets is None:
            self._packets = [packet.Packet(packet.MESSAGE, message.text) for message in self._ready()]
        return self._packets


def parts(messages: Iterable[Message], max_bytes: int = MAX_BATCH_BYTES) -> Iterator[list[Message]]:
    """Cut messages into parts of at most so many bytes, or one message."""
    part: list[Message] = []
    part_bytes = 0
    for message in messages:
        part_bytes += len(message.payload)
        if part and part_bytes > max_bytes:
            yield part
            part, part_bytes = [], len(message.payload)
        part.append(message)
    if part:
        yield part


class Control:
    """A packet of Engine.IO's own, or of Socket.IO's answers: it waits in line with the rest, and is never dropped."""

    __slots__ = ("frames",)  # nothing else: who asks and does not read has many of these
    is_answer = True

    def __init__(self, pkt: packet.Packet) -> None:
        encoded = pkt.encode()
        self.frames = text_frame(encoded.encode()) if isinstance(encoded, str) else binary_frame(encoded)

    def packets(self) -> list[packet.Packet]:
        """Return it for a client that polls."""
        is_text, data = content(self.frames)
        return [packet.Packet(int(data[:1]), data[1:].decode()) if is_text else packet.Packet(packet.MESSAGE, data)]


class Frames:
    """Finished frames: a pong, a close frame of the WebSocket library's; or of what was something else before."""

    __slots__ = ("frames", "is_answer")

    def __init__(self, frames: bytes, is_answer: bool = True) -> None:
        self.frames = frames
        self.is_answer = is_answer

    @staticmethod
    def packets() -> list[packet.Packet]:
        """Return nothing: they are for a WebSocket alone."""
        return []
