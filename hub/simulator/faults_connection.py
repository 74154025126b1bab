"""Kinds of fault that hit whole connections."""

from __future__ import annotations

import base64
import binascii
import struct

from hub import wire
from hub.simulator.endpoint import Endpoint
from hub.simulator.kinds import FaultError, Wanted, kind

MAX_GIANT_BYTES = 256 * 1024 * 1024
GIANT_HEAD, GIANT_TAIL = b'{"simulated":true,"type":"status","filler":"', b'"}'


@kind("kill", "endpoint", "connections")
def _kill(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001 - every kind has the same form
    """TCP reset."""
    sessions = wanted.connections(exchange)
    for session in sessions:
        session.reset()
    return len(sessions)


@kind("mute", "endpoint", "connections", "seconds")
def _mute(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """The socket stays open; nothing is read or written any more."""
    sessions, until = wanted.connections(exchange), wanted.until(now)
    for session in sessions:
        session.mute(until)
    return len(sessions)


@kind("no_heartbeats", "endpoint", "connections", "product", "seconds")
def _no_heartbeats(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Heartbeats stop on connections, or of one product; tickers go on."""
    until = wanted.until(now)
    if wanted.has("product") == wanted.has("connections"):
        raise FaultError("no_heartbeats wants either connections or product")
    if wanted.has("product"):
        if "heartbeat" not in exchange.channels:
            raise FaultError(f"{exchange.name} has no heartbeats of a product")
        exchange.faults.delivery.no_heartbeats.add([wanted.product(exchange)], until)
        return 1
    sessions = wanted.connections(exchange)
    for session in sessions:
        session.no_heartbeats_until = until
    return len(sessions)


@kind("no_data", "endpoint", "connections", "seconds")
def _no_data(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """No ticker is sent any more; trades go on, and heartbeats name them."""
    sessions, until = wanted.connections(exchange), wanted.until(now)
    for session in sessions:
        session.no_data_until = until
    return len(sessions)


@kind("drip", "endpoint", "connections", "seconds")
def _drip(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """A frame begins and comes in at one byte a second; all else is lost."""
    sessions, until = wanted.connections(exchange), wanted.until(now)
    for session in sessions:
        session.drip(until, now)
    return len(sessions)


@kind("giant", "endpoint", "connections", "bytes", "announce")
def _giant(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """A frame of that many bytes; with ``announce`` only the head that promises them."""
    sessions = wanted.connections(exchange)
    if wanted.flag("announce"):
        size = wanted.whole("bytes", 1, 2**63 - 1)
        framed = struct.pack("!BBQ", 0x81, 127, size)
    else:
        size = wanted.whole("bytes", 100, MAX_GIANT_BYTES)
        filler = b"x" * (size - len(GIANT_HEAD) - len(GIANT_TAIL))
        framed = wire.text_frame(GIANT_HEAD + filler + GIANT_TAIL)
    for session in sessions:
        session.write_giant(framed)
    return len(sessions)


@kind("close", "endpoint", "connections", "code")
def _close(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """The exchange closes: with a code, with null in a frame without one, without ``code`` by ending TCP."""
    sessions = wanted.connections(exchange)
    if not wanted.has("code"):
        for session in sessions:
            session.cut()
        return len(sessions)
    code = None if wanted.is_null("code") else wanted.whole("code", 1000, 4999)
    for session in sessions:
        session.close(code)
    return len(sessions)


@kind("garbage", "endpoint", "connections", "text", "base64", "raw")
def _garbage(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """A text frame of anything; ``raw`` writes the bytes without a frame around them."""
    sessions = wanted.connections(exchange)
    text, encoded = wanted.text("text"), wanted.text("base64")
    if (text is None) == (encoded is None):
        raise FaultError("garbage wants either text or base64")
    try:
        data = text.encode() if text is not None else base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise FaultError(f"garbage that can not be encoded: {error}") from error
    framed = data if wanted.flag("raw") else wire.text_frame(data)
    for session in sessions:
        session.write_now(framed)
    return len(sessions)
