"""Recorded ticker frames, played again in wire order with their gaps divided by the speed.

States: *waiting* until each product of the files has a ticker subscriber (and, when held, the command to start), then
*playing*, then *done*. Each frame keeps its bytes but for the mark that goes in front. The exchange's clock is the
recorded one: across products ``time`` is not ordered, so its running maximum paces.
"""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from hub.simulator.history import KEPT_TRADES, IdRanges
from hub.simulator.market import Audience, Tick, heartbeat_frame, maker_side
from hub.simulator.products import Product, listing_row

MARK = b'{"simulated":true,'
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT_FIELDS = ("product_id", "price", "time", "last_size", "side", "best_bid", "best_ask", "open_24h", "high_24h",
               "low_24h", "volume_24h", "volume_30d")  # fmt: skip


class ReplayState(StrEnum):
    """Where a replay is."""

    WAITING = "waiting"
    PLAYING = "playing"
    DONE = "done"


class Pacer:
    """When each frame is due, in wall seconds after the first one. Pure.

    ``speed`` 20 plays twenty times as fast as it was recorded, None as fast as possible; no hole between two frames
    takes longer than ``max_gap`` wall seconds.
    """

    def __init__(self, speed: float | None, max_gap: float | None = None) -> None:
        self._speed = speed
        self._max_gap = max_gap
        self._latest: float | None = None

    def gap(self, time_seconds: float) -> float:
        """Return how many wall seconds after the frame before it this one is due."""
        before = self._latest
        if before is not None and time_seconds <= before:
            return 0.0
        self._latest = time_seconds
        if before is None or self._speed is None:
            return 0.0
        gap = (time_seconds - before) / self._speed
        return gap if self._max_gap is None else min(gap, self._max_gap)


def read_frames(paths: Sequence[Path]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield ``(line, its fields)`` of the recordings in order; ``ValueError`` names the line that is no ticker."""
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                frame = line.rstrip(b"\r\n")
                if frame:
                    yield frame, _checked(frame, f"{path}:{number}")


def _checked(frame: bytes, where: str) -> dict[str, Any]:
    try:
        fields = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not frame.startswith(b"{") or fields.get("type") != "ticker":
        raise ValueError(f"{where}: not a ticker frame")
    for name in TEXT_FIELDS:
        if not isinstance(fields.get(name), str):
            raise ValueError(f"{where}: {name} is missing or no text")
    for name in ("trade_id", "sequence"):
        if not isinstance(fields.get(name), int):
            raise ValueError(f"{where}: {name} is missing or no integer")
    return fields


def marked(frame: bytes) -> bytes:
    """Return a recorded frame with the mark in front and every other byte as it was."""
    return MARK + frame[1:]


def _seconds(time_field: str) -> float:
    return (datetime.fromisoformat(time_field) - EPOCH).total_seconds()


class _Played:
    """What is known of one product so far; ``fields`` are the last frame's, at first those of the first to come."""

    def __init__(self, first: dict[str, Any]) -> None:
        base, _, quote = first["product_id"].partition("-")
        decimals = len(first["price"].partition(".")[2])
        self.product = Product(first["product_id"], base, quote, float(first["price"]), decimals)
        self.fields = first
        self.frame: bytes | None = None
        self.highest_id = 0
        self.sequence = 0
        self.happened = IdRanges()
        self.trades: dict[int, dict[str, Any]] = {}
        self._kept: deque[int] = deque()

    def add(self, frame: bytes, fields: dict[str, Any]) -> None:
        trade_id = fields["trade_id"]
        self.happened.add(trade_id)
        if trade_id not in self.trades:
            self.trades[trade_id] = {
                "time": fields["time"],
                "trade_id": trade_id,
                "price": fields["price"],
                "size": fields["last_size"],
                "side": maker_side(fields["side"]),
            }
            self._kept.append(trade_id)
            if len(self._kept) > KEPT_TRADES:
                del self.trades[self._kept.popleft()]
        if trade_id >= self.highest_id:
            self.highest_id, self.sequence = trade_id, fields["sequence"]
            self.frame, self.fields = frame, fields


class RecordedMarket:
    """The market of recorded files; ``total`` frames, of which ``sent`` have been played."""

    def __init__(
        self, paths: Sequence[Path], speed: float | None = 20.0, max_gap: float | None = None, hold: bool = False
    ) -> None:
        self.state = ReplayState.WAITING
        self.sent = self.total = 0
        self._products: dict[str, _Played] = {}
        self._clock = ""
        for _, fields in read_frames(paths):  # once through: all of it is checked before any of it is played
            self.total += 1
            self._clock = self._clock or fields["time"]
            if fields["product_id"] not in self._products:
                self._products[fields["product_id"]] = _Played(fields)
        if not self._products:
            raise ValueError("the recordings hold no frame")
        self.product_ids = tuple(self._products)
        self._frames = read_frames(paths)
        self._next: tuple[bytes, dict[str, Any]] | None = None
        self._pacer = Pacer(speed, max_gap)
        self._due_at = 0.0
        self._held = hold

    def start(self) -> None:
        """Release a held replay; it still waits for its subscribers."""
        self._held = False

    def due(self, now: float, wall: float, audience: Audience) -> Iterator[Tick]:  # noqa: ARG002 - recorded time
        """Yield the frames whose time has come, as long as their subscribers have room."""
        if self.state is ReplayState.WAITING:
            if self._held or not audience.covers(self.product_ids):
                return
            self.state = ReplayState.PLAYING
            self._due_at = now
        while self.state is ReplayState.PLAYING:
            if self._next is None:
                self._next = next(self._frames, None)
                if self._next is None:
                    self.state = ReplayState.DONE
                    return
                self._due_at += self._pacer.gap(_seconds(self._next[1]["time"]))
            frame, fields = self._next
            product_id = fields["product_id"]
            if self._due_at > now or not audience.has_room(product_id):
                return
            self._next = None
            self.sent += 1
            self._clock = max(self._clock, fields["time"])
            text = marked(frame)
            self._products[product_id].add(text, fields)
            yield Tick(product_id, fields["trade_id"], text)

    def restart_clock(self, now: float) -> None:
        """Play on from ``now``."""
        self._due_at = max(self._due_at, now)

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of ``GET /products``: those of the files."""
        return [listing_row(played.product) for played in self._products.values()]

    def snapshot(self, product_id: str) -> bytes | None:
        """Return the frame of the highest trade id that was played, None before the first."""
        return self._products[product_id].frame

    def heartbeat(self, product_id: str, wall: float) -> bytes:  # noqa: ARG002 - recorded time
        """Return the product's heartbeat frame; its last trade id is 0 before the first frame."""
        played = self._products[product_id]
        return heartbeat_frame(product_id, played.highest_id, played.sequence, self._clock)

    def stats(self, product_id: str) -> dict[str, str]:
        """Return the 24 h statistics of the last frame, before it of the first one."""
        fields = self._products[product_id].fields
        return {
            "open": fields["open_24h"],
            "high": fields["high_24h"],
            "low": fields["low_24h"],
            "last": fields["price"],
            "volume": fields["volume_24h"],
            "volume_30day": fields["volume_30d"],
        }

    def ticker(self, product_id: str) -> dict[str, Any]:
        """Return the last trade and quote; before the first frame its trade id is 0."""
        played = self._products[product_id]
        fields = played.fields
        return {
            "ask": fields["best_ask"],
            "bid": fields["best_bid"],
            "volume": fields["volume_24h"],
            "trade_id": played.highest_id,
            "price": fields["price"],
            "size": fields["last_size"],
            "time": fields["time"],
        }

    def trades(self, product_id: str, limit: int, above: int | None, below: int | None) -> list[dict[str, Any]]:
        """Return a page of the trades that were played."""
        trades = self._products[product_id].trades
        ids = sorted(trades, reverse=True)
        wanted = (one for one in ids if (above is None or one > above) and (below is None or one < below))
        return [trades[trade_id] for trade_id, _ in zip(wanted, range(limit), strict=False)]

    def happened(self, product_id: str) -> list[list[int]]:
        """Return the ranges of trade ids that were played."""
        return self._products[product_id].happened.pairs()

    def progress(self) -> dict[str, Any]:
        """Return ``{"state", "sent", "total"}``."""
        return {"state": self.state.value, "sent": self.sent, "total": self.total}

    def shift_clock(self, seconds: float) -> None:
        """Do nothing: times are the recorded ones."""
