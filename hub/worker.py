"""A thread with an owner: named, supervised, stopped with a deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LATELY_SECONDS = 600.0
RESTART_SECONDS = 1.0  # after a bug: soon enough to matter, too slow to flood the log
log = logging.getLogger(__name__)


class Worker:
    """Calls ``step`` again and again until stopped.

    ``step()`` returns the seconds until it wants to be called again, or None to wait for ``wake()``; ``wake()`` ends
    any wait. A step that raises is logged with its traceback and called again a second later; ``failures`` counts it.
    """

    def __init__(self, name: str, step: Callable[[], float | None]) -> None:
        self._step = step
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.name = name
        self.failures = 0
        self._failed_at = float("-inf")

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next step now. Cheap where it is awake already."""
        if not self._wake.is_set():
            self._wake.set()

    def failed_lately(self, now: float) -> bool:
        """Tell whether a step raised within the last ten minutes."""
        return now - self._failed_at < LATELY_SECONDS

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: a long step should end."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait within a step, through any ``wake``; return whether the worker is to stop."""
        return self._stop.wait(seconds)

    def stop(self, timeout_seconds: float) -> bool:
        """End the thread; return whether it did end in time. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                seconds = self._step()
            except (Exception, SystemExit):  # which ends a thread as well
                self.failures += 1
                self._failed_at = time.monotonic()
                log.exception("bug in worker=%s", self.name)
                seconds = RESTART_SECONDS
                self._stop.wait(seconds)
                continue
            self._wake.wait(seconds)
            self._wake.clear()
