"""What the journal says of each thing that happens: plain words for whoever is woken at night."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

import orjson

from hub.catalogue_keeper import Change
from hub.fanout.priority import Changes
from hub.journal import MAX_NAMED, Journal
from hub.model import HealthStatus, Transferred
from hub.parse import PRODUCT_ID

NAMED = 3  # products that a text names; it counts the others
ONE_BY_ONE = 3  # changes of the product list that get an entry each
MAX_WORD = 40
MAX_REASONS = 5
CAUSES = {
    "bug": "a bug of the hub itself; the log has the traceback",
    "closed_1000": "the exchange closed it in order (1000)",
    "closed_1001": "the exchange went away (1001)",
    "closed_1012": "the exchange restarts (1012)",
    "closed_1013": "the exchange has no room now (1013)",
    "connect_timeout": "no answer to the attempt to connect",
    "eof": "the exchange ended it without a word",
    "frame_too_big": "it brought a frame that is too big",
    "idle_frames": "it brought frames without data, and no end of them",
    "no_data": "heartbeats came, but no trades",
    "protocol": "what it brought was no WebSocket",
    "reset": "the network reset it",
    "slow_consumer": "the exchange says that we read too slowly",
    "socket": "the network failed",
    "tls": "TLS failed",
    "too_much": "what it said had no end",
}
TONES = {
    HealthStatus.HEALTHY: "ok", HealthStatus.STARTING: "info", HealthStatus.WARNING: "warn",
    HealthStatus.CRITICAL: "bad",
}  # fmt: skip
HUB_ALERT = "hub_alert"  # an operational alert: it says of itself what there is to say
TONE_OF_STATE = {"resolved": "ok"}
TONE_OF_SEVERITY = {"critical": "bad", "warning": "warn", "info": "info"}
LISTINGS = {
    "product_listed": ("listed", "joined", "ok"),
    "product_delisted": ("delisted", "delisted", "warn"),
    "product_left": ("left", "left", "info"),
}


class Notes:
    """Writes the journal; owner of what a text needs to know of before: since when a connection is lost, the status."""

    def __init__(self, journal: Journal, silence_seconds: float) -> None:
        """``silence_seconds``: after which the watchdog gives a connection up."""
        self._journal = journal
        self._silence_seconds = silence_seconds
        self._lost_at: dict[str, float | None] = {}  # connection → monotonic; None while it is up
        self._status: HealthStatus | None = None
        self._gone: frozenset[str] = frozenset()  # paths

    # -- connections ----------------------------------------------------------------------------------

    def lost(self, connection_id: str, products: int, cause: str, beside: bool = False) -> None:
        """Note that a connection that was open is gone; ``beside``: another path brings the same."""
        self._lost_at[connection_id] = time.monotonic()
        words = f"silent for {self._silence_seconds:.1f} s" if cause == "silent" else CAUSES.get(cause)
        text = f"{connection_id} lost: {words or _label(cause)}; {_count(products, 'product')}"
        tone, text = ("warn", f"{text}, the other path carries on") if beside else ("bad", text)
        self._journal.note("lost", text, tone=tone, connection_id=connection_id, cause=cause)

    def delivering(self, connection_id: str) -> None:
        """Note that a connection brings data, where it was lost or is new: a successor is none."""
        known = connection_id in self._lost_at
        lost_at, self._lost_at[connection_id] = self._lost_at.get(connection_id), None
        if lost_at is not None:
            seconds = time.monotonic() - lost_at
            text = f"{connection_id} is back after {seconds:.1f} s"
            self._journal.note("connected", text, tone="ok", connection_id=connection_id, seconds=round(seconds, 3))
        elif not known:
            self._journal.note("connected", f"{connection_id} is up", tone="ok", connection_id=connection_id)

    def transferred(self, ended: Transferred) -> None:
        """Note how a rotation or a move of products ended."""
        seconds, why = f"{ended.seconds:.1f} s", ended.why
        data: dict[str, Any] = {"why": why, "how": ended.how, "seconds": round(ended.seconds, 3)}
        well, slot = ended.how in ("rotated", "moved"), ended.connection_id
        if slot is not None:
            text = (
                f"{slot} has a new socket, without a break, after {seconds}: {why}" if well
                else f"{slot} keeps its old socket: no new one took over in {seconds} ({_label(ended.how)}); {why}"
            )  # fmt: skip
            kind, tone = ("rotated", "ok") if well else ("rotation_failed", "warn")
            self._journal.note(kind, text, tone=tone, connection_id=slot, **data)
            return
        between, names = " and ".join(ended.connections), _names(ended.products)
        text = (
            f"{names} went over without a break, between {between}, in {seconds}: {why}" if well
            else f"{names}: not all went over, between {between}, in {seconds} ({_label(ended.how)}); {why}"
        )  # fmt: skip
        kind, tone = ("moved", "ok") if well else ("move_failed", "warn")
        product = ended.products[0] if len(ended.products) == 1 else None
        more: dict[str, Any] = {"products": list(ended.products[:MAX_NAMED]), "connections": list(ended.connections)}
        self._journal.note(kind, text, tone=tone, product=product, **data, **more)

    def resubscribed(self, product_id: str, connection_id: str, owed_seconds: float) -> None:
        """Note that a product is subscribed anew, since trades of it are owed."""
        text = f"{product_id} owes trades for {owed_seconds:.1f} s: subscribed anew on {connection_id}"
        self._journal.note("resubscribed", text, tone="warn", connection_id=connection_id, product=product_id)

    def moved(self, product_id: str, source: str, target: str, owed_seconds: float) -> None:
        """Note that a product was given to another connection, since trades of it are owed."""
        text = f"{product_id} owes trades for {owed_seconds:.1f} s: moved from {source} to {target}"
        more: dict[str, Any] = {"connections": [source, target], "why": "it owes trades"}
        self._journal.note("moved", text, tone="warn", connection_id=target, product=product_id, **more)

    def paused(self, seconds: float) -> None:
        """Note that the hub itself stood still."""
        text = f"the hub itself stood still for {seconds:.1f} s; no connection is judged by it"
        self._journal.note("pause", text, tone="warn", seconds=round(seconds, 3))

    # -- products, health -----------------------------------------------------------------------------

    def listings(self, changes: Collection[Change]) -> None:
        """Note what changed in the product list: one by one, or many in one entry."""
        for event, (kind, verb, tone) in LISTINGS.items():
            found = [change for change in changes if change.event == event]
            if len(found) <= ONE_BY_ONE:
                for _, product_id, reason in found:
                    text = f"{product_id} {verb}: {reason}"
                    self._journal.note(kind, text, tone=tone, product=product_id, reason=reason)
            else:
                ids = [change.product_id for change in found]
                self._journal.note(kind, f"{_names(ids)} {verb}", tone=tone, products=ids[:MAX_NAMED])

    def health(self, status: HealthStatus, reasons: Sequence[str], paths: Mapping[str, tuple[int, int]]) -> None:
        """Note what changed of the hub's verdict on itself, and of its paths: name → (connections up, all)."""
        before, self._status = self._status, status
        if status is not before:
            said = "; ".join(reasons[:MAX_REASONS]) or "all is well"
            text = f"the hub started: {status}" if before is None else f"health is {status}, was {before}: {said}"
            more: dict[str, Any] = {"status": status, "previous": before, "reasons": list(reasons[:MAX_REASONS])}
            self._journal.note("status", text, tone=TONES[status], **more)
        # none is up at the start: only one that was up can be gone
        gone = frozenset(
            name for name, (up, total) in paths.items()
            if total and not up and (name in self._gone or before not in (None, HealthStatus.STARTING))
        )  # fmt: skip
        for name in sorted(gone - self._gone):
            text = f"{name} is gone: none of its {_count(paths[name][1], 'connection')} is up"
            self._journal.note("path", text, tone="bad", path=name, up=False)
        for name in sorted(self._gone - gone):
            up, total = paths.get(name, (0, 0))
            text = f"{name} is back: {up} of {_count(total, 'connection')} up"
            self._journal.note("path", text, tone="ok", path=name, up=True)
        self._gone = gone

    def priority(self, changes: Changes) -> None:
        """Note how the priority pairs changed since it was noted last."""
        parts = [
            f"{_names(ids)} {verb}" for ids, verb in ((changes.added, "added"), (changes.removed, "removed")) if ids
        ]  # fmt: skip
        what = f"{', '.join(parts) or 'they are what they were'}; {_count(changes.total, 'pair')} now"
        often = f", changed {changes.steps} times since the last entry" if changes.steps > 1 else ""
        ids = [*changes.added, *changes.removed]
        self._journal.note("priority", f"priority pairs: {what}{often}", products=ids[:MAX_NAMED])

    # -- alerts ---------------------------------------------------------------------------------------

    def alert(self, event: str, payload: str) -> None:
        """Note an alert that was sent: ``payload`` is its JSON text, of the hub's own or of a client."""
        body = orjson.loads(payload)
        body = body if isinstance(body, dict) else {}
        named = body.get("crypto", body.get("symbol"))
        symbol = named.upper() if isinstance(named, str) and PRODUCT_ID.fullmatch(named.upper()) else None
        if event == HUB_ALERT:
            text, tone = body["message"], TONE_OF_STATE.get(body["state"], TONE_OF_SEVERITY[body["severity"]])
        else:
            text, tone = f"{symbol or 'an alert'}: {_alert_text(event, body)}", "warn"
        self._journal.note("alert", text, tone=tone, product=symbol, payload=payload, event=event)


def _alert_text(event: str, body: dict[str, Any]) -> str:
    if event in ("spike_alert", "price_alert"):
        kind, step, change = (body.get(name) for name in ("spike_type", "event_type", "pct_change"))
        words = [_word(kind) or "spike", *([f"{change:+.2f} %"] if _is_number(change) else [])]
        return " ".join(words) + (f" ({_word(step)})" if _word(step) else "")
    now, usual, ratio = (body.get(name) for name in ("current_vol", "avg_vol", "ratio"))
    if _is_number(ratio):
        return f"volume is {ratio:.1f} times the usual"
    if _is_number(now) and _is_number(usual) and usual > 0:
        return f"volume is {now / usual:.1f} times the usual ({event})"
    return f"a {event}"


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def _word(value: object) -> str:
    """Return a client's word as far as it can be shown; empty for none."""
    return value[:MAX_WORD] if isinstance(value, str) and value.isprintable() else ""


def _label(word: str) -> str:
    return word.replace("_", " ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _names(product_ids: Sequence[str]) -> str:
    more = f" and {len(product_ids) - NAMED} more" if len(product_ids) > NAMED else ""
    return ", ".join(product_ids[:NAMED]) + more
