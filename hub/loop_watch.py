"""A native thread that watches the event loop: it says who holds a loop that stands still, and may end the process.

Every thread of the hub but this one is green and needs the loop, so none of them could tell. It takes no lock that
green threads take, logging's included: it writes to standard error itself, and only what the descriptor takes at once.
What holds Python's own lock (a long call of C code) holds it up too: then it tells afterwards.
"""

from __future__ import annotations

import os
import sys
import time
from types import FrameType

from hub import green
from hub.worker import Worker

BEAT_SECONDS = 0.2
LOOK_SECONDS = 0.2
LATE_LOOK_SECONDS = 0.5  # the most that one look counts where the whole process stood still, watch and all
WARN_SECONDS = 2.0
EXIT_STATUS = 70  # EX_SOFTWARE of sysexits.h
MAX_FRAMES = 40
MAX_BYTES = 4_096  # a pipe with any room takes so much at once
STANDARD_ERROR = 2


class Silence:
    """For how long the loop has been silent. Pure."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._beats = -1

    def look(self, beats: int, passed_seconds: float, cpu_seconds: float) -> float:
        """Take the loop's beats so far, and the wall-clock and CPU seconds since the last look; return the silence.

        A look that comes late while the process used no CPU comes late since everything was stopped or starved.
        """
        if beats != self._beats:
            self._beats, self.seconds = beats, 0.0
        elif cpu_seconds >= passed_seconds / 2:
            self.seconds += passed_seconds
        else:
            self.seconds += min(passed_seconds, LATE_LOOK_SECONDS)
        return self.seconds


class LoopWatch:
    """Watches the loop of the thread that ``start`` is called on; does nothing where threads are native.

    A loop that is silent for ``exit_seconds`` ends the process with ``EXIT_STATUS``; 0: never.
    """

    def __init__(self, exit_seconds: float) -> None:
        self._exit_seconds = exit_seconds
        self._beats = 0
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
            self._worker.start()
            threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Watch no more. Idempotent."""
        self._over = True
        self._worker.stop(timeout_seconds)

    def _beat(self) -> float:
        self._beats += 1
        return BEAT_SECONDS

    # -- on the native thread -------------------------------------------------------------------------

    def _watch(self) -> None:
        sleep, silence = green.native("time").sleep, Silence()
        looked_at, cpu_at, told = time.monotonic(), time.process_time(), False
        while not self._over:
            sleep(LOOK_SECONDS)
            now, cpu = time.monotonic(), time.process_time()
            seconds = silence.look(self._beats, now - looked_at, cpu - cpu_at)
            looked_at, cpu_at = now, cpu
            if seconds < WARN_SECONDS:
                told = False
                continue
            self.worst_stall_seconds = max(self.worst_stall_seconds, seconds)
            ends = 0 < self._exit_seconds <= seconds
            if ends or not told:
                self.stalls_total += not told
                told = True
                what = f"has stood still for {seconds:.1f} s" + (", which ends the process" if ends else "")
                frame = sys._current_frames().get(self._loop_thread)
                _write(f"the loop {what}; it is in\n{_stack(frame)}")
            if ends:
                os._exit(EXIT_STATUS)


def _stack(frame: FrameType | None) -> str:
    """Return where a thread is, the innermost call first; no source is read, which could block."""
    lines: list[str] = []
    while frame is not None and len(lines) < MAX_FRAMES:
        lines.append(f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}\n")
        frame = frame.f_back
    return "".join(lines)


def _write(text: str) -> None:
    poll = green.native("select").poll()
    poll.register(STANDARD_ERROR, green.native("select").POLLOUT)
    try:
        if poll.poll(0):  # else it is full: to wait could be for ever
            line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} CRITICAL {__name__} {text}"
            green.native("os").write(STANDARD_ERROR, line.encode(errors="replace")[:MAX_BYTES])
    except OSError:
        return  # nobody reads it: there is no other place to say so
