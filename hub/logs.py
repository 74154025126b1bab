"""Logging for the whole hub: one line an event, and at most one line a second for each reason."""

import logging
import time
from collections.abc import Callable
from typing import Any

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
COOLDOWN_SECONDS = 1.0
MAX_KEYS = 1_000  # reasons come from bounded sets; this guards against one that does not


class OneLine(logging.Formatter):
    """Keep each record on one line, an indented traceback aside: no text from outside can forge a line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Return the record's line with control characters escaped."""
        line = super().formatMessage(record)
        return _printable(line)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the standard library's name
        """Return the traceback, each line of it indented, so that none looks like a record."""
        lines = super().formatException(ei).splitlines()
        return "\n".join("    " + _printable(line) for line in lines)


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def configure(level: str) -> None:
    """Log to standard error at ``level``, once for the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("urllib3", "engineio", "socketio", "websocket"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class OncePerSecond(logging.Filter):
    """Pass a message of a library's logger once a second, whatever it is about."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is logged; the same text with other arguments is the same message."""
        now = self._clock()
        key = record.msg if len(self._last) < MAX_KEYS else "other"
        if now - self._last.get(key, float("-inf")) < COOLDOWN_SECONDS:
            return False
        self._last[key] = now
        return True


class Cooldown:
    """A logger's gate: the first of a reason passes at once, then one a second, which says how many it stands for."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def warning(self, reason: str, message: str, *args: object) -> None:
        """Log a warning unless the same ``reason`` was logged within the last second."""
        self._pass(reason, self._log.warning, message, *args)

    def exception(self, reason: str, message: str, *args: object) -> None:
        """Log an error with the traceback of what is being handled, unless ``reason`` was within the last second."""
        self._pass(reason, self._log.exception, message, *args)

    def _pass(self, reason: str, write: Callable[..., None], message: str, *args: object) -> None:
        now = self._clock()
        if reason not in self._last and len(self._last) >= MAX_KEYS:
            reason = "other"
        if now - self._last.get(reason, float("-inf")) < COOLDOWN_SECONDS:
            self._held[reason] = self._held.get(reason, 0) + 1
            return
        self._last[reason] = now
        held = self._held.pop(reason, 0)
        write(message + (" (and %d more like it)" if held else ""), *args, *((held,) if held else ()))
