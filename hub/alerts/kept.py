"""An alert that fires as a row of the state file: its end is told after a restart, too. Pure.

A row is checked as what comes from outside: it may be of another version, or broken.
"""

from __future__ import annotations

import orjson

from hub.detect.rules import CRITICAL, FIRING, INFO, KINDS, WARNING, Alert

MAX_KEY = 64
MAX_TEXT = 1_000
MAX_AT = 1e11  # seconds; of a later time there is no ISO 8601


def row(alert: Alert) -> str:
    """Return an alert as text."""
    return orjson.dumps(list(alert)).decode()


def parse(body: str) -> Alert:
    """Return the alert of a row. Raises ``ValueError`` or ``TypeError``, which say what is wrong."""
    alert = Alert(*orjson.loads(body))
    if not isinstance(alert.key, str) or not 0 < len(alert.key) <= MAX_KEY or not alert.key.isprintable():
        raise ValueError("its key is none")
    if alert.kind not in KINDS or alert.severity not in (CRITICAL, WARNING, INFO) or alert.state != FIRING:
        raise ValueError("its kind, severity or state is not known")
    if not isinstance(alert.text, str) or len(alert.text) > MAX_TEXT:
        raise ValueError("it has no text")
    if type(alert.since) not in (int, float) or not 0 <= alert.since < MAX_AT:
        raise ValueError("its time is none")
    if alert.symbol is not None and not (isinstance(alert.symbol, str) and len(alert.symbol) <= MAX_KEY):
        raise ValueError("its product is none")
    return alert
