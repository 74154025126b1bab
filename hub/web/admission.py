"""Who is let in before anything else is looked at: by the name that was asked for, by the origin of the page."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hub.fanout.limits import client_address
from hub.settings import Settings
from hub.web.origins import name_allowed, origin_allowed

WHY_NOT = "This hub is not known by that name: see ALLOWED_HOSTS"
AGAIN_SECONDS = 600.0  # after which the same stranger is named again
LINES_A_MINUTE = 20
MAX_NAMED = 1_000  # strangers that are remembered; past it, the ones named longest ago are forgotten
MAX_CHARACTERS = 200
_TOLD = {
    "host": "refused a request host=%r address=%s: if it is yours, set ALLOWED_HOSTS%s",
    "origin": "refused a request origin=%r address=%s: if it is yours, set FRONTEND_URL%s",
}
log = logging.getLogger(__name__)


class Admission:
    """Owner of what is allowed, and of who was named in the log: each stranger once in a while, so many a minute."""

    def __init__(
        self, settings: Settings, counters: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._origins = settings.frontend_url
        self._names = {settings.host.lower(), *settings.allowed_hosts}
        self._names |= {urlsplit(origin).hostname or "" for origin in settings.frontend_url}
        self._trusted = settings.trusted_proxies
        self._counters = counters
        self._clock = clock
        self._named: dict[tuple[str, str], float] = {}  # the first was named longest ago
        self._minute_at = float("-inf")
        self._lines = self._held = 0

    def knows_name(self, environ: Mapping[str, Any]) -> bool:
        """Tell whether a request may be answered that asks for this ``Host``; who may not is counted, and named."""
        if name_allowed(environ, self._names):
            return True
        self._counters["refused_hosts"] += 1
        self._tell("host", str(environ.get("HTTP_HOST")), environ)
        return False

    def admits(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Do as ``knows_origin``, and count a refusal; for whoever asks once a request."""
        known = self.knows_origin(origin, environ)
        self._counters["refused_origins"] += not known
        return known

    def knows_origin(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Tell whether a request of a page of this origin may be answered; one that may not is named."""
        if origin_allowed(origin, environ, self._origins):
            return True
        self._tell("origin", str(origin), environ)
        return False

    def _tell(self, what: str, name: str, environ: Mapping[str, Any]) -> None:
        key, now = (what, name[:MAX_CHARACTERS]), self._clock()
        if now - self._named.get(key, float("-inf")) < AGAIN_SECONDS:
            return
        if now - self._minute_at >= 60.0:
            self._minute_at, self._lines = now, 0
        if self._lines >= LINES_A_MINUTE:
            self._held += 1
            return
        self._lines += 1
        self._named.pop(key, None)
        while len(self._named) >= MAX_NAMED:
            del self._named[next(iter(self._named))]
        self._named[key] = now
        held, self._held = self._held, 0
        more = f" (and {held} more like it)" if held else ""
        log.warning(_TOLD[what], key[1], client_address(environ, self._trusted), more)
