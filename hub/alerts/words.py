"""An alert as JSON: the event of the hub's own clients, and what webhooks and Telegram take. Pure.

One webhook body serves everybody: fields for programs, ``text`` for Slack, ``content`` for Discord. What those two
would read as a command in it (a mention of everybody, a link) is made harmless: names and words come from outside.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from hub.detect.rules import CRITICAL, ONCE, RESOLVED, Alert
from hub.payload import iso_time

MAX_TEXT = 800  # characters; Discord takes 2,000, and escaping may double them
ZERO_WIDTH_SPACE = "\u200b"
DISCORD_MARKS = re.compile(r"([\\*_~`|>\[\]()#<])")


def event_body(alert: Alert, at: float, simulated: bool) -> dict[str, Any]:
    """Return an alert as clients get it: the payload of ``hub_alert``."""
    return {
        "key": alert.key,
        "kind": alert.kind,
        "severity": alert.severity,
        "state": alert.state,
        "message": alert.text,
        "symbol": alert.symbol,
        "since": iso_time(alert.since),
        "time": iso_time(at),
        "simulated": simulated,
    }


def webhook_body(alert: Alert, at: float, simulated: bool) -> bytes:
    """Return what a webhook is sent."""
    line = line_of(alert, simulated)
    return orjson.dumps({
        "event": "hub_alert",
        **event_body(alert, at, simulated),
        "text": for_slack(line),
        "mrkdwn": False,
        "content": for_discord(line),
        "allowed_mentions": {"parse": []},
    })  # fmt: skip


def telegram_body(alert: Alert, chat_id: str, simulated: bool) -> bytes:
    """Return what Telegram's ``sendMessage`` is sent: plain text, in which nothing is a command."""
    text = line_of(alert, simulated)
    return orjson.dumps({"chat_id": chat_id, "text": text, "link_preview_options": {"is_disabled": True}})


def line_of(alert: Alert, simulated: bool) -> str:
    """Return an alert as one line for people."""
    word = "RESOLVED" if alert.state == RESOLVED else "CRITICAL" if alert.severity == CRITICAL else alert.kind.upper()
    since = f" (since {iso_time(alert.since)[:19]}Z)" if alert.state != ONCE else ""
    text = "".join(sign if sign.isprintable() else " " for sign in alert.text)[:MAX_TEXT]
    return f"[{word}] {text}{since}{' [simulated prices]' if simulated else ''}"


def for_slack(line: str) -> str:
    """Return a line in which Slack reads neither mentions nor links."""
    escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", "@" + ZERO_WIDTH_SPACE)


def for_discord(line: str) -> str:
    """Return a line in which Discord reads neither mentions nor marks."""
    return DISCORD_MARKS.sub(r"\\\1", line).replace("@", "@" + ZERO_WIDTH_SPACE)
