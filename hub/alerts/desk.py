"""The desk: decides of each alert whether it is told, and hands it to the channels. Nothing here waits.

- An alert is told when it fires and when it is resolved; the latter only where the former was told.
- The same key is told again after ``ALERT_COOLDOWN_SECONDS`` at the earliest. One that fires again sooner is told when
  that time is over, if it still fires then; a signal is old news by then, and is not.
- Operational alerts go to every Socket.IO client (``hub_alert``), into the journal, and to the channels that ``ALERTS``
  lets them go to. Signals reached clients and journal as events of their own; here they go to the channels alone.
- What was told to fire is kept in the state file: the end of it is told after a restart, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import orjson

from hub.alerts import kept
from hub.alerts.channel import OUTCOMES, Channel, Notice
from hub.alerts.post import Poster
from hub.alerts.targets import target_of
from hub.alerts.words import event_body, telegram_body, webhook_body
from hub.detect.rules import FIRING, INFO, ONCE, OPERATIONAL, RESOLVED, SIGNALS, Alert, Rules, Seen
from hub.logs import Cooldown
from hub.payload import iso_time
from hub.settings import Settings

EVENT = "hub_alert"
SOCKETIO = "socketio"  # it has no queue and no worker of its own: to publish is to append to the fan-out's
MAX_KEYS = 5_000
TEST_SECONDS = 8.5  # a delivery's deadline, and a little
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class TestIsRunning(Exception):
    """Another test has not ended yet."""

    __test__ = False


class Desk:
    """Owner of what fires, of what was told and when. Thread-safe."""

    def __init__(
        self, settings: Settings, publish: Callable[[str, str], None], note: Callable[[str, str], None],
        simulated: Callable[[], bool],
    ) -> None:  # fmt: skip
        """``publish`` and ``note`` take an event and its JSON text; ``simulated``: whether any price may be."""
        self._publish = publish
        self._note = note
        self._simulated = simulated
        self._kinds = frozenset(settings.alerts)
        self._cooldown_seconds = settings.alert_cooldown_seconds
        self._rules = Rules()
        self._lock = threading.Lock()  # what was told
        self._told_at: dict[str, float] = {}  # key → monotonic, the oldest first
        self._told: dict[str, Alert] = {}  # by key, those that were told to fire, and not to be resolved
        self._restored: list[Alert] | None = None  # what another process told, until it is looked at
        self._held_back: dict[str, Alert] = {}  # they fire, and wait for the end of their cooldown
        self._clients: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._testing = threading.Lock()
        self.channels = _channels(settings, simulated)

    def look(self, seen: Seen) -> None:
        """Judge what is known now; to be called each second."""
        self._take_restored(seen.now)
        found = [alert for alert in self._rules.step(seen) if self._is_told(alert, seen.now, late=True)]
        with self._lock:
            due = [alert for key, alert in self._held_back.items() if not self._cools(key, seen.now)]
            for alert in due:
                del self._held_back[alert.key]
                self._mark(alert, seen.now)
        for alert in (*found, *due):
            payload = self._tell_clients(alert)
            self._note(EVENT, payload)
            self._offer(alert, seen.now)

    def signal(self, alert: Alert) -> None:
        """Take a signal that clients got as an event of its own."""
        now = time.monotonic()
        if self._is_told(alert, now, late=False):
            self._offer(alert, now)

    def _is_told(self, alert: Alert, now: float, late: bool) -> bool:
        with self._lock:
            if alert.state == RESOLVED:
                self._held_back.pop(alert.key, None)
                return self._told.pop(alert.key, None) is not None
            if not self._cools(alert.key, now):
                self._mark(alert, now)
                return True
            if late:
                self._held_back[alert.key] = alert
        for counts in self._receivers(alert):
            counts["suppressed"] += 1
        return False

    def _cools(self, key: str, now: float) -> bool:
        return now - self._told_at.get(key, float("-inf")) < self._cooldown_seconds

    def _mark(self, alert: Alert, now: float) -> None:
        self._told_at.pop(alert.key, None)
        self._told_at[alert.key] = now
        if alert.state == FIRING:
            self._told[alert.key] = alert
        for known in (self._told_at, self._told):
            if len(known) > MAX_KEYS:
                del known[next(iter(known))]

    def _receivers(self, alert: Alert) -> list[Counter[str]]:
        clients = [self._clients] if alert.kind in OPERATIONAL else []
        return clients + ([channel.counts for channel in self.channels] if alert.kind in self._kinds else [])

    def _offer(self, alert: Alert, now: float) -> None:
        if alert.kind in self._kinds:
            notice = Notice(alert, time.time())
            for channel in self.channels:
                channel.offer(notice, now)

    def _tell_clients(self, alert: Alert) -> str:
        payload = orjson.dumps(event_body(alert, time.time(), self._simulated())).decode()
        self._publish(EVENT, payload)
        self._clients["sent"] += 1
        return payload

    # -- over a restart -------------------------------------------------------------------------------

    def firing_rows(self) -> list[str]:
        """Return what was told to fire, as the state file keeps it."""
        with self._lock:
            return [kept.row(alert) for alert in self._told.values()]

    def restore(self, rows: list[str]) -> None:
        """Take in what the process before this one told to fire. Later calls are of what this one has written."""
        if self._restored is not None:
            return
        found = []
        for row in rows:
            try:
                found.append(kept.parse(row))
            except (ValueError, TypeError) as error:
                _warn.warning("alert", "an alert that fired can't be read: %s", error)
        with self._lock:
            self._restored = [alert for alert in found if alert.key not in self._told][-MAX_KEYS:]
            self._told = {**{alert.key: alert for alert in self._restored}, **self._told}

    def _take_restored(self, now: float) -> None:
        with self._lock:
            found, self._restored = self._restored, [] if self._restored is not None else None
        if not found:
            return
        for alert in found:
            for channel in self.channels:
                channel.owe(alert.key)
        self._rules.restore([alert for alert in found if alert.kind in OPERATIONAL], now)
        for alert in found:
            if alert.kind in SIGNALS:  # what was known of it is gone with its process
                text = f"nobody has watched since a restart of the hub: {alert.text}"
                self.signal(alert._replace(state=RESOLVED, text=text))

    # -- life -----------------------------------------------------------------------------------------

    def stop(self, timeout_seconds: float) -> None:
        """Let what waits leave, for as long; then end every delivery. Idempotent."""
        give_up_at = time.monotonic() + timeout_seconds
        for channel in self.channels:
            channel.flush(max(0.0, give_up_at - time.monotonic()))
        for channel in self.channels:
            channel.stop(max(0.1, give_up_at - time.monotonic()))

    # -- reading --------------------------------------------------------------------------------------

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (channel, outcome) → how many notices; ``retried`` counts attempts."""
        named = {SOCKETIO: self._clients, **{channel.name: channel.counts for channel in self.channels}}
        return {(name, outcome): counts[outcome] for name, counts in named.items() for outcome in OUTCOMES}

    def firing_count(self) -> int:
        """Return how many alerts fire now."""
        return len(self._rules.firing())

    def body(self) -> dict[str, Any]:
        """Return the body of ``GET /alerts``."""
        now, simulated = time.time(), self._simulated()
        firing = [{**event_body(alert, now, simulated), "told": alert.key in self._told}
                  for alert in self._rules.firing()]  # fmt: skip
        return {
            "time": iso_time(now),
            "count": len(firing),
            "firing": firing,
            "kinds": sorted(self._kinds),
            "cooldown_seconds": self._cooldown_seconds,
            "clients": dict(self._clients),
            "channels": [channel.body() for channel in self.channels],
            "simulated": simulated,
        }

    def test(self, timeout_seconds: float = TEST_SECONDS) -> dict[str, str]:
        """Send a notice through every channel, once and now; return channel → ``sent``, or what went wrong.

        Raises ``TestIsRunning``.
        """
        if not self._testing.acquire(blocking=False):
            raise TestIsRunning
        try:
            at = time.time()
            alert = Alert("test", "test", INFO, ONCE, "this is a test of Price Hub's alerts: nothing is wrong", at)
            self._tell_clients(alert)
            outcomes = {SOCKETIO: "sent", **{channel.name: "no answer yet" for channel in self.channels}}

            def attempt(channel: Channel) -> None:
                problem = channel.attempt(Notice(alert, at))
                outcomes[channel.name] = "sent" if problem is None else problem.reason

            threads = [
                threading.Thread(target=attempt, args=(channel,), name=f"alerts-test-{channel.name}", daemon=True)
                for channel in self.channels
            ]
            give_up_at = time.monotonic() + timeout_seconds
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(0.0, give_up_at - time.monotonic()))
            return dict(outcomes)
        finally:
            self._testing.release()


def _channels(settings: Settings, simulated: Callable[[], bool]) -> list[Channel]:
    """Return the channels that are set. Raises ``TargetError`` for settings that were not checked."""
    rng, hosts = Random(), settings.webhook_allowed_hosts
    several = len(settings.webhook_url) > 1
    channels = [
        Channel(f"webhook_{number}" if several else "webhook", Poster(target_of(url, hosts)),
                lambda notice: webhook_body(*notice, simulated()), rng)
        for number, url in enumerate(settings.webhook_url, 1)
    ]  # fmt: skip
    if settings.telegram_bot_token:
        url = f"{settings.telegram_api_url}/bot{settings.telegram_bot_token}/sendMessage"
        chat_id = settings.telegram_chat_id
        channels.append(
            Channel("telegram", Poster(target_of(url, hosts)),
                    lambda notice: telegram_body(notice.alert, chat_id, simulated()), rng)
        )  # fmt: skip
    return channels
