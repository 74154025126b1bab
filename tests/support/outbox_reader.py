"""The client of an outbox: takes bytes or packets out, and keeps what they mean."""

import json
from collections import defaultdict

from engineio import packet

from hub.fanout.batch import TICK, Message
from hub.fanout.outbox import Outbox

PRODUCTS = ("A-USD", "B-USD", "C-USD", "D-USD")
PONG = b"\x8a\x00"


def tick(product: str, number: int, event: str = TICK) -> Message:
    return Message(event, f'{{"crypto":"{product}","n":{number}}}', product)


def message_packet(number: int) -> packet.Packet:
    return packet.Packet(packet.MESSAGE, f'3{number}[{{"success":true}}]')


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the whole frames, as (opcode, data), and the rest."""
    found = []
    while len(data) >= 2:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + length:
            break
        found.append((data[0] & 15, data[start : start + length]))
        data = data[start + length :]
    return found, data


class Reader:
    """The client of an outbox: takes bytes or packets out, and keeps what they mean."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.websocket = False
        self.ticks: defaultdict[str, list[int]] = defaultdict(list)
        self.loose: list[int] = []
        self.answers: list[int] = []
        self.lags: list[dict[str, int]] = []
        self.events: list[str] = []
        self.flow_count = 0  # ticks that are no part of a snapshot
        self._rest = b""

    def read(self, count: int, now: float = 0.0) -> None:
        """Take so many bytes as they come."""
        while count and (head := self.outbox.head(now)) is not None:
            taken = head[:count]
            self._rest += bytes(taken)
            count -= len(taken)
            self.outbox.wrote(len(taken))
        frames, self._rest = split_frames(self._rest)
        for opcode, data in frames:
            assert opcode == 1 or (opcode, data) == (10, b"")
            if opcode == 1:
                self._take(data.decode())

    def poll(self, limit: int, now: float = 0.0) -> None:
        """Take one polling answer."""
        packets = self.outbox.packets(limit, now)
        assert len(packets) <= limit
        for pkt in packets:
            self._take(pkt.encode())

    def take_all(self) -> None:
        if self.websocket:
            self.read(1 << 30)
            assert self._rest == b""
        else:
            while self.outbox.pending_bytes or self.outbox.lagging or self.outbox._packets:
                self.poll(16)

    def _take(self, text: str) -> None:
        if text.startswith("43"):
            self.answers.append(int(text[2 : text.index("[")]))
            return
        event, body = json.loads(text[2:])
        self.events.append(event)
        if event == "lag":
            self.lags.append(body)
        elif event in (TICK, "ticker_batch"):
            for item in body if event == "ticker_batch" else [body]:
                self.ticks[item["crypto"]].append(item["n"])
                self.flow_count += "fresh" not in item
        elif event == "trade_backfill":
            self.loose.append(body["n"])

    def conflated(self) -> int:
        return sum(lag["conflated"] for lag in self.lags)
