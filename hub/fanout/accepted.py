"""An accepted WebSocket as engineio sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hub import green

CLOSE_NORMAL = 1000
log = logging.getLogger(__name__)


class EngineSocket:
    """The accepted WebSocket as engineio sees it: all but its end is left as it is."""

    socket = None  # or the base class sets a timeout that a pause of the hub's uses up

    def __init__(self, ws: Any, ended: Callable[[], None]) -> None:
        self._ws = ws
        self._ended = ended

    def wait(self) -> Any:
        data = None
        try:
            data = self._ws.wait()
        finally:
            if data is None:
                self._ended()
        return data

    def close(self) -> None:
        green.close_websocket(self._ws, CLOSE_NORMAL)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ws, name)


class ToDebugLog:
    """Where eventlet's WebSocket writes what it has to say, in pieces and without line ends."""

    @staticmethod
    def write(text: str) -> None:
        log.debug("%s", text)
