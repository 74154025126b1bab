"""What a field means, wherever it appears; see ``schema`` for the words of a note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.model import Cause, Source, Trust


def one_of(words: Any, description: str) -> dict[str, Any]:
    """Return the note of a text that is one of these."""
    return {"enum": [str(word) for word in words], "description": description}


def or_null(kind: str, description: str, **more: Any) -> dict[str, Any]:
    """Return the note of a field that may be null."""
    return {"type": kind, "null": True, "description": description, **more}


GLOSSARY: Mapping[str, str | Mapping[str, Any]] = {
    # of every answer
    "simulated": "Whether prices come from the simulator: never trade on them.",
    "error": "What is wrong, in words.",
    "success": "Whether it was done, or begun.",
    "message": "What was done, in words.",
    "count": "How many entries follow.",
    "time": "When.",
    "epoch": "Tells processes of the hub apart.",
    # a price
    "crypto": "The product.",
    "symbol": "The product.",
    "product": or_null("string", "The product; null where it concerns none, or several."),
    "price": "The last trade's price, with the exchange's own digits.",
    "bid": "Best bid; moves without a trade (`quote_age_ms`).",
    "ask": "Best ask; moves without a trade (`quote_age_ms`).",
    "volume_24h": "Volume of 24 hours, in the base currency.",
    "price_24h": "Price 24 hours ago; 0 if unknown.",
    "low_24h": "Lowest price of 24 hours; 0 if unknown.",
    "high_24h": "Highest price of 24 hours; 0 if unknown.",
    "price_change_24h": "`price` − `price_24h`; 0 where that is unknown.",
    "price_change_percent_24h": "The same in percent.",
    "last_size": "Size of the last trade.",
    "timestamp": "HH:MM:SS of `time`, UTC.",
    "sequence": "The exchange's number of the message; 0 if unknown.",
    "trade_id": "The exchange's id of the trade; 0 where REST told a price without one.",
    "sent_at": "When it left the hub: milliseconds since 1970.",
    "source": one_of(Source, "How the price came."),
    "connection_id": or_null("string", "The slot that brought it, or that it is about; null for none."),
    "trust": one_of(Trust, "How far the price can be trusted."),
    "previous": one_of(Trust, "Its trust before."),
    "age_ms": "Milliseconds since the last trade reached the hub.",
    "verified_ms": "Milliseconds since the last proof that it is the latest trade.",
    "quote_age_ms": "Milliseconds since bid and ask came.",
    "stale_after_ms": "Milliseconds without a proof after which a price is `stale`.",
    "last_updated": "When the price reached the hub.",
    "reason": "Why, in words.",
    "product_id": "The product.",
    "product_ids": "The products.",
    # alerts
    "spike_type": "`pump` or `dump`.",
    "event_type": "`spike_start` or `momentum_end`.",
    "pct_change": "By how much, in percent.",
    "old_price": "The price before.",
    "new_price": "The price after.",
    "current_vol": "Volume of the running window.",
    "avg_vol": "Mean volume of the windows before.",
    "threshold": "The ratio from which on it fires.",
    # connections
    "total_connections": "Slots; their sockets come and go.",
    "connected_connections": "Slots whose socket is up.",
    "connected": "Slots whose socket is up.",
    "products_count": "Products that it has to deliver.",
    "total_messages": "Frames since the start.",
    "error_count": "Refused frames, error frames and losses since the start.",
    "uptime_seconds": "Seconds since the start, or since the socket was opened.",
    "last_heartbeat": or_null("string", "The exchange's last heartbeat; null before the first.", format="date-time"),
    "last_message": or_null("string", "The last frame; null before the first.", format="date-time"),
    "messages_per_second": "Frames a second.",
    "ticks_per_second": "New trades a second.",
    "reconnects": "Sockets that were lost.",
    "last_cause": or_null("string", "Why the last socket was lost."),
    "generation": "Counts the slot's sockets: those lost, and those replaced in time.",
    "path": "The feed: `exchange` or `advanced_trade`.",
    "beats": "A letter a second, of the last 60: d data, h heartbeats only, s silent, c connecting, x failed.",
    "last_frame_age_ms": or_null("integer", "Milliseconds since the last frame; null before the first."),
    "age_seconds": "Age of the socket; 0 where none is open.",
    "rotate_in_seconds": or_null("number", "Until it is replaced without a break; null: never."),
    "gaps": "Entries of the ledger that name this slot, since the start.",
    "set_aside": or_null("string", "Why the exchange does not give it, in its own words."),
    "frame": "As it came, the first 2,000 bytes.",
    "why": "In words.",
    # the plan, and what the exchange counts
    "priority_products": "Of them, priority pairs.",
    "from": "The slot that has it.",
    "to": "The slot that would get it.",
    "in_exchange_for": or_null("string", "The product that goes the other way."),
    "connects": "Connects within the window.",
    "connects_left": "Connects that are left in it.",
    "next_connect_seconds": "How long a connect would have to wait now.",
    "messages": "Messages within the window.",
    "messages_left": "Messages that are left in it.",
    "covered_products": "Of them, those that are covered.",
    # gaps
    "cause": one_of(Cause, "Why something could have been missed."),
    "first_id": or_null("integer", "First trade id that did not come."),
    "last_id": or_null("integer", "Last trade id that did not come."),
    "missing": "Trades that have not come yet, by any way.",
    "missing_ranges": "Their ids: first and last of each range.",
    "opened_at": "When it began.",
    "closed_at": or_null("string", "When it was over; null while it is open.", format="date-time"),
    "duration_ms": or_null("integer", "How long it was open."),
    "healed": or_null("string", "How it ended; null while it is open."),
    "open": "Whether it is open; of a list, how many are.",
    "open_gaps": "Gaps that are not closed.",
    # latency
    "window_seconds": "The time that it looks back.",
    "p50_ms": or_null("number", "Median in milliseconds; null where nothing was measured."),
    "p95_ms": or_null("number", "95th percentile in milliseconds."),
    "p99_ms": or_null("number", "99th percentile in milliseconds."),
    "exchange_to_hub": "From the exchange's time of a trade to the reading of its frame: two clocks.",
    "hub_to_written": "From the publishing of an event until every client that keeps up was written to.",
    "round_trip": "From `sent_at` of a tick to the answer of clients that sample.",
    "loop_lag_ms": "By how much the sampler came late.",
    "stages": "Each part of a tick's way.",
    # history and journal
    "range": "The range that was asked for.",
    "id": "Rises with time, over restarts as well.",
    "text": "What happened, in words.",
    "step_seconds": "Seconds from one point to the next.",
    # clients
    "behind": "It gets the latest of each product only; of a list, how many do.",
    "pending_bytes": "Bytes that wait in the hub.",
    "bytes_per_second": "Bytes taken, over about two seconds.",
    "max_hz": or_null("number", "Most writes a second; null: no limit."),
    "batch": "Whether ticks come as `ticker_batch`.",
    "clients": "Socket.IO clients that get events.",
    "clients_joining": "Socket.IO sessions that have not joined a namespace yet.",
    "total": "How many there are.",
    "max_clients": "The most that are let in.",
    "draining": "Whether the hub is about to stop.",
}
