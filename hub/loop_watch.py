"""A native thread that watches the event loop: it says who holds a loop that stands still, and may end the process.

Every green thread needs the loop, so none of them could tell. This one takes no lock that they take: the log's handler
has none, and is given the record directly, since a logger's own look at its level takes one. What holds Python's own
lock (a long call of C code) holds this thread up, too: then it tells afterwards.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from types import FrameType

from hub import green
from hub.worker import Worker

BEAT_SECONDS = 0.2
LOOK_SECONDS = 0.2
LATE_LOOK_SECONDS = 0.5  # what a look counts at most beyond the CPU that was used: all stood still, watch and all
WARN_SECONDS = 2.0
EXIT_STATUS = 70  # EX_SOFTWARE of sysexits.h
MAX_FRAMES = 25
log = logging.getLogger(__name__)


class Silence:
    """For how long the loop has been silent. Pure; times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._looked_at = self._beat_at = now
        self._excused_seconds = 0.0  # since the last beat

    def look(self, now: float, beat_at: float, cpu_seconds: float) -> float:
        """Take when the loop beat last, and the CPU seconds that the process used since the last look.

        A look that comes late comes late since the process was stopped or starved, which excuses the loop as well, or
        since its lock was held: that used CPU.
        """
        passed, self._looked_at = now - self._looked_at, now
        if beat_at != self._beat_at:
            self._beat_at, self._excused_seconds = beat_at, 0.0
        self._excused_seconds += max(0.0, passed - max(LATE_LOOK_SECONDS, cpu_seconds))
        return max(0.0, now - beat_at - self._excused_seconds)


class LoopWatch:
    """Watches the loop of the thread that ``start`` is called on; does nothing where threads are native.

    A loop that is silent for ``exit_seconds`` ends the process with ``EXIT_STATUS``; 0: never.
    """

    def __init__(self, exit_seconds: float) -> None:
        self._exit_seconds = exit_seconds
        self._beat_at = 0.0
        self._loop_thread = 0
        self._over = False
        self._worker = Worker("loop-beat", self._beat)
        self.stalls_total = 0  # of at least WARN_SECONDS
        self.worst_stall_seconds = 0.0

    def start(self) -> None:
        """Begin to watch. Call once."""
        if green.is_patched():
            threading = green.native("threading")
            self._loop_thread = threading.get_ident()
            self._beat_at = time.monotonic()
            self._worker.start()
            threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Watch no more. Idempotent."""
        self._over = True
        self._worker.stop(timeout_seconds)

    def _beat(self) -> float:
        self._beat_at = time.monotonic()
        return BEAT_SECONDS

    # -- on the native thread -------------------------------------------------------------------------

    def _watch(self) -> None:
        sleep, silence = green.native("time").sleep, Silence(time.monotonic())
        cpu, told = time.process_time(), False
        while not self._over:
            sleep(LOOK_SECONDS)
            cpu_before, cpu = cpu, time.process_time()
            seconds = silence.look(time.monotonic(), self._beat_at, cpu - cpu_before)
            if seconds < WARN_SECONDS:
                told = False
                continue
            self.worst_stall_seconds = max(self.worst_stall_seconds, seconds)
            if not told:
                told = True
                self.stalls_total += 1
                self._tell("the event loop stands still", seconds)
            if 0 < self._exit_seconds <= seconds:
                self._tell("the event loop does not come back, the process ends", seconds)
                for handler in logging.root.handlers:
                    handler.flush()
                os._exit(EXIT_STATUS)

    def _tell(self, what: str, seconds: float) -> None:
        stack = _stack(sys._current_frames().get(self._loop_thread))
        record = log.makeRecord(
            log.name, logging.CRITICAL, __file__, 0, f"{what} seconds=%.1f in=%s", (seconds, stack), None
        )
        log.handle(record)


def _stack(frame: FrameType | None) -> str:
    """Return where a thread is, the innermost call first; no source is read, which could block."""
    calls: list[str] = []
    while frame is not None and len(calls) < MAX_FRAMES:
        calls.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(calls)
