"""What happened on an exchange and what a reader was told of it: taken down raw, read afterwards, held together."""

from __future__ import annotations

import json
import re
import selectors
import socket
import threading
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import websocket

from benchmarks.clients import Counting

TRADE = re.compile(
    rb'"type":"ticker",[^{}]*?"product_id":"([^"]+)","price":"([^"]+)"[^{}]*?"time":"([^"]+)","trade_id":(\d+)'
)
EVENT = re.compile(
    rb'42\["(ticker_update|trade_backfill)",\{"crypto":"([^"]+)","price":([^,]+),[^{}]*?"trade_id":(\d+)'
)


class Trade(NamedTuple):
    """A trade that happened; ``time`` is the exchange's, in seconds of the epoch."""

    trade_id: int
    time: float
    price: float


class Shown(NamedTuple):
    """What a reader was told at ``at`` (seconds of the epoch). Trade id 0: a price alone; price None: as before."""

    at: float
    trade_id: int
    price: float | None


def delays(
    trades: Iterable[Trade], shown: Iterable[Shown], begin: float, end: float
) -> tuple[list[float], list[float]]:
    """Return one product's delays (s) of the moves in [begin, end), and the times of those that never came.

    A move is a trade at another price than the one before it. It has come with word of that trade or of a later one,
    by trade id; a price without one stands for the newest trade at that price.
    """
    found: list[float] = []
    waiting: deque[Trade] = deque()
    newest: dict[float | None, int] = {}  # price → the last trade at it
    told, last, price = deque(shown), None, None

    def hear(before: float) -> None:
        nonlocal price
        while told and told[0].at < before:
            at, trade_id, said = told.popleft()
            price = price if said is None else said
            while waiting and waiting[0].trade_id <= (trade_id or newest.get(price, -1)):
                found.append(max(0.0, at - waiting.popleft().time))

    for trade in trades:
        hear(trade.time)
        if trade.price != last and begin <= trade.time < end:
            waiting.append(trade)
        last = trade.price
        newest[last] = trade.trade_id
    hear(float("inf"))
    return found, [trade.time for trade in waiting]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which that share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Tape(Counting):
    """A client of the hub that keeps all it is sent, and when."""

    def __init__(self, port: int) -> None:
        self.parts: list[tuple[bytes, float]] = []
        super().__init__(port)

    def take(self, data: memoryview, at: float) -> None:
        """Keep it, and answer pings."""
        super().take(data, at)
        self.parts.append((bytes(data), at))

    def shown(self) -> tuple[dict[str, list[Shown]], set[tuple[str, int]]]:
        """Return product → what was told of its price, and every trade that was told, late ones too.

        A price without a trade id is of a poll of all products: of those that it does not name, the price is the same.
        """
        whole, ends, size = b"".join(part for part, _ in self.parts), [], 0
        for part, _ in self.parts:
            ends.append(size := size + len(part))
        found: defaultdict[str, list[Shown]] = defaultdict(list)
        trades = set()
        polls = set()
        events = 0
        for match in EVENT.finditer(whole):
            events += 1
            product_id, trade_id = match[2].decode(), int(match[4])
            trades.add((product_id, trade_id))
            if match[1] == b"ticker_update":
                at = self.parts[bisect_left(ends, match.end())][1]
                found[product_id].append(Shown(at, trade_id, float(match[3])))
                if not trade_id:
                    polls.add(at)
        if events != whole.count(b'42["ticker_update"') + whole.count(b'42["trade_backfill"'):
            raise RuntimeError("ticks came that could not be read")
        for rows in found.values():
            rows += [Shown(at, 0, None) for at in polls]
            rows.sort(key=lambda row: row.at)
        return found, trades


class Witness:
    """A socket on the exchange itself, on which every trade is taken down."""

    def __init__(self, ws_url: str, product_ids: Sequence[str]) -> None:
        self._ws = websocket.create_connection(ws_url, timeout=10, http_no_proxy=["*"])
        request = {"type": "subscribe", "product_ids": product_ids, "channels": ["ticker"]}
        self._ws.send(json.dumps(request))
        self.sock: socket.socket = self._ws.sock
        self._parts: list[bytes] = []

    def read(self) -> None:
        """Take what has arrived, frames and all: what is in them is looked up later."""
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the exchange hung up")
        self._parts.append(data)

    def close(self) -> None:
        """Hang up."""
        self._ws.shutdown()

    def trades(self, last_ids: dict[str, int]) -> dict[str, list[Trade]]:
        """Return product → its trades in order; ``RuntimeError`` if any is missing up to the last ids."""
        found: defaultdict[str, list[Trade]] = defaultdict(list)
        for match in TRADE.finditer(b"".join(self._parts)):
            at = datetime.fromisoformat(match[3].decode()).timestamp()
            found[match[1].decode()].append(Trade(int(match[4]), at, float(match[2])))
        for product_id, last_id in last_ids.items():
            ids = [trade.trade_id for trade in found[product_id]]
            if not ids or ids != list(range(ids[0], last_id + 1)):
                raise RuntimeError(f"the witness missed trades of {product_id}")
        return found


class Recorder(threading.Thread):
    """Reads from all that record, until it is stopped."""

    def __init__(self, *sources: Tape | Witness) -> None:
        super().__init__(daemon=True)
        self._selector = selectors.DefaultSelector()
        for source in sources:
            self._selector.register(source.sock, selectors.EVENT_READ, source)
        self._ended = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Read."""
        try:
            while not self._ended.is_set():
                for key, _ in self._selector.select(0.1):
                    key.data.read()
        except Exception as error:  # noqa: BLE001 - told by ``stop``
            self.error = error

    def stop(self) -> None:
        """End; raises what went wrong."""
        self._ended.set()
        self.join()
        if self.error is not None:
            raise self.error
