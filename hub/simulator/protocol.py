"""The Exchange's WebSocket protocol, the server's side of it: requests in, answers out. Pure.

The exchange's own reasons are quoted where they are known; the others are in its manner.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import orjson

CHANNELS = frozenset({"ticker", "heartbeat", "matches", "status"})  # matches and status: acknowledged, never fed
LOGIN_CHANNELS = frozenset({"level2", "level3", "full"})
WITHOUT_PRODUCTS = frozenset({"status"})


class Request(NamedTuple):
    """A subscribe or unsubscribe; of a channel that is left as a whole, ``channels`` names no product."""

    subscribe: bool
    channels: dict[str, tuple[str, ...]]


class RequestRefused(ValueError):
    """A request that the exchange answers with an error frame."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(f"{message}: {reason}")
        self.frame = error_frame(message, reason)


def error_frame(message: str, reason: str) -> bytes:
    """Return an ``error`` frame's JSON text."""
    return orjson.dumps({"type": "error", "message": message, "reason": reason})


def parse_request(message: str | bytes, product_ids: Set[str]) -> Request:
    """Read a client's message; one unknown product refuses all of it (``RequestRefused``)."""
    try:
        body = orjson.loads(message)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise RequestRefused("Failed to subscribe", "Malformed JSON")
    kind = body.get("type")
    if kind not in ("subscribe", "unsubscribe"):
        raise RequestRefused("Failed to subscribe", "Type has to be either subscribe or unsubscribe")
    failure = f"Failed to {kind}"
    entries = body.get("channels")
    if not isinstance(entries, list) or not entries:
        raise RequestRefused(failure, "No channels provided")
    subscribe = kind == "subscribe"
    channels: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, ids = _channel(entry, body.get("product_ids"), failure)
        if name in LOGIN_CHANNELS:
            raise RequestRefused(failure, "level2, level3, and full channels now require authentication")
        if name not in CHANNELS:
            raise RequestRefused(failure, f"{name} is not a valid channel")
        if subscribe and not ids and name not in WITHOUT_PRODUCTS:
            raise RequestRefused(failure, f"You need to specify at least one product ID for channel {name}")
        for product_id in ids:
            if subscribe and product_id not in product_ids:
                raise RequestRefused(failure, f"{product_id} is not a valid product")
        channels[name] = channels.get(name, ()) + ids
    return Request(subscribe, channels)


def _channel(entry: Any, common_ids: Any, failure: str) -> tuple[str, tuple[str, ...]]:
    """Return a channel entry's name and products, in either form; its own products replace the common ones."""
    ids = common_ids
    if isinstance(entry, dict):
        ids = entry.get("product_ids", common_ids)
        entry = entry.get("name")
    if not isinstance(entry, str):
        raise RequestRefused(failure, "Channel has no name")
    if ids is None:
        ids = []
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise RequestRefused(failure, "product_ids has to be a list of texts")
    return entry, tuple(dict.fromkeys(ids))


def ack_frame(channels: Mapping[str, Set[str]], rng: random.Random) -> bytes:
    """Return the ``subscriptions`` frame: the connection's whole set, its products in no order."""
    rows = []
    for name, product_ids in channels.items():
        ids = sorted(product_ids)
        rng.shuffle(ids)
        rows.append({"name": name, "product_ids": ids, "account_ids": None})
    return orjson.dumps({"type": "subscriptions", "channels": rows})
