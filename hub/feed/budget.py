"""What the exchange counts per address: connects and messages. Both are paced."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

WINDOW_SECONDS = 1.0
KEPT = 200
MARGIN_SECONDS = 0.1  # messages that left a window apart may arrive closer to each other


class Budget:
    """Connects: at most one an interval over all connections; messages: so many a window. Thread-safe."""

    def __init__(
        self, interval_seconds: float, clock: Callable[[], float] = time.monotonic, messages_per_window: int = 100
    ) -> None:
        self.interval_seconds = interval_seconds
        self._per_window = messages_per_window
        self._sending = threading.Lock()  # held while waiting, as the other
        self._clock = clock
        self._next = 0.0
        self._turn = threading.Lock()  # held while waiting: the others stand in line behind it
        self._connects: deque[float] = deque(maxlen=KEPT)
        self._messages: deque[float] = deque(maxlen=KEPT)

    def wait(self, stop: threading.Event) -> bool:
        """Wait for the next free moment to connect and take it; False if ``stop`` was set meanwhile."""
        with self._turn:
            while (remaining := self._next - self._clock()) > 0:
                if stop.wait(remaining):
                    return False
            now = self._clock()
            self._next = now + self.interval_seconds
            if stop.is_set():
                return False
            self._connects.append(now)
            return True

    def send(self, stop: threading.Event) -> bool:
        """Wait until a message to the exchange may leave, and note it; False if ``stop`` was set meanwhile."""
        with self._sending:
            while len(self._messages) >= self._per_window:
                left = self._messages[-self._per_window] + WINDOW_SECONDS + MARGIN_SECONDS - self._clock()
                if left <= 0:
                    break
                if stop.wait(left):
                    return False
            self._messages.append(self._clock())
            return True

    def next_connect_seconds(self) -> float:
        """Return how long a connect would have to wait now, if nobody else does."""
        return max(0.0, self._next - self._clock())

    def body(self) -> dict[str, Any]:
        """Return what was used within the last window, and what is left."""
        since = self._clock() - WINDOW_SECONDS
        connects = sum(at > since for at in list(self._connects))
        messages = sum(at > since for at in list(self._messages))
        per_window = int(WINDOW_SECONDS / self.interval_seconds) or 1
        return {
            "window_seconds": WINDOW_SECONDS,
            "connects": connects,
            "connects_left": max(0, per_window - connects),
            "next_connect_seconds": round(self.next_connect_seconds(), 3),
            "messages": messages,
            "messages_left": max(0, self._per_window - messages),
        }
