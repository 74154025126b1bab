"""Logging for the whole hub: one line an event, and at most one line a second for each reason.

What stands as ``name=%s`` in a message is a field of its own in JSON: ``log.warning("lost connection=%s", name)``.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from hub.log_writer import LineWriter

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
COOLDOWN_SECONDS = 1.0
MAX_KEYS = 1_000  # reasons come from bounded sets; this guards against one that does not
MAX_TEXT = 4_000  # characters of a message, of a field, of a traceback's end
FLUSH_SECONDS = 1.0  # at the exit
LIBRARIES = ("urllib3", "engineio", "socketio", "websocket")
FLOODED = (*LIBRARIES, "hub.http", "hub.green", "gunicorn.error")  # by those who don't ask how often they may
_CONVERSION = re.compile(r"(?:([a-z_]+)=)?%(?:%|[-#0 +]*[0-9]*(?:\.[0-9]+)?[a-zA-Z])")


class OneLine(logging.Formatter):
    """Text, each record on one line, its traceback too: no text from outside can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line with control characters escaped."""
        record.message = _cut(record.getMessage())
        record.asctime = self.formatTime(record)
        line = self.formatMessage(record)
        if traceback := _traceback(self, record):
            line += " | " + " | ".join(part for part in traceback.splitlines() if part)
        return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class JsonLine(logging.Formatter):
    """One JSON object a line, ASCII: what is known of every record, and the fields of this one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; a field never replaces what every record has."""
        time_of_it = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        body = {
            "time": time_of_it.replace("+00:00", "Z"), "level": record.levelname, "logger": record.name,
            "message": _cut(record.getMessage()),
        }  # fmt: skip
        if traceback := _traceback(self, record):
            body["traceback"] = traceback
        fields = {name: value for name, value in _fields(record) if name not in body}
        return json.dumps(body | fields, allow_nan=False)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info)[-MAX_TEXT:] if record.exc_info else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


@functools.lru_cache(MAX_KEYS)
def _names(message: str) -> tuple[str | None, ...]:
    """Return the name before each conversion of a message, None where there is none."""
    return tuple(found[1] for found in _CONVERSION.finditer(message) if not found[0].endswith("%"))


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """Return the arguments that have a name: from the message as it was written, never from what it became."""
    if not isinstance(record.msg, str) or not isinstance(record.args, tuple):
        return
    for name, value in zip(_names(record.msg), record.args, strict=False):
        if name is not None:
            plain = math.isfinite(value) if isinstance(value, int | float) else value is None
            yield name, value if plain else _cut(str(value))


class _ToWriter(logging.Handler):
    """Hands formatted records to the writer. Without a lock: there is nothing to guard, and native threads log, too."""

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Do what the base class does, which from Python 3.13 on takes its lock unasked."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a message and its arguments that don't fit must not end who logs them
            self.handleError(record)
        else:
            _stderr.put(line.encode() + b"\n")

    def flush(self) -> None:
        """At the exit, which waits for it: everybody else's lines go out by themselves."""
        end = time.monotonic() + FLUSH_SECONDS
        for writer in (_stderr, _stdout):
            writer.flush(max(0.0, end - time.monotonic()))


class _Stray(io.TextIOBase):
    """What libraries write to standard error past the log: lines of it like any other."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        self._begun = self._begun[-MAX_TEXT:]
        for line in lines:
            if line.strip():
                logging.getLogger("stderr").error("%s", line)
        return len(text)


def _tell_dropped(count: int) -> bytes:
    record = logging.LogRecord(
        __name__, logging.WARNING, __file__, 0, "dropped lines=%d of the log: it was not taken", (count,), None
    )
    return _handler.format(record).encode() + b"\n"


_handler = _ToWriter()
_handler.setFormatter(OneLine(FORMAT))
_stderr = LineWriter(2, _tell_dropped)
_stdout = LineWriter(1, lambda count: b"%d lines were dropped\n" % count)


def configure(level: str, line_format: str = "text") -> None:
    """Log to standard error at ``level``, once for the process, and never wait for it."""
    logging.logThreads = False  # to name the thread takes a lock that is green: a native thread would hang in it
    _handler.setFormatter(JsonLine() if line_format == "json" else OneLine(FORMAT))
    logging.basicConfig(level=level, handlers=[_handler], force=True)
    sys.stderr = _Stray()
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in FLOODED:
        logger = logging.getLogger(name)
        if not any(isinstance(item, OncePerSecond) for item in logger.filters):
            logger.addFilter(OncePerSecond())


def say(text: str) -> None:
    """Print a line on standard output, without waiting for whoever reads it."""
    _stdout.put(text.encode(errors="backslashreplace") + b"\n")


def counters() -> dict[str, int]:
    """Return what the log could not write: lines that were dropped, and writes that failed (a full disk, no reader)."""
    return {
        "log_lines_dropped": _stderr.dropped_total + _stdout.dropped_total,
        "log_write_failures": _stderr.failures_total + _stdout.failures_total,
    }


class OncePerSecond(logging.Filter):
    """Pass a message of a library's logger once a second, whatever it is about."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is logged; the same text with other arguments is the same message.

        A text without arguments was made up whole: there the line that logs it tells what it is about.
        """
        now = self._clock()
        key = (record.pathname, record.lineno, record.args and record.msg) if len(self._last) < MAX_KEYS else "other"
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
