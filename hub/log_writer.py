"""Lines to a descriptor that may be blocked, full or gone: whoever has one to write never waits.

A native thread writes: under eventlet's patch all others are green, and one that waits for a pipe would stop the feed.
It touches nothing that is green, and ``put`` takes no lock that it does, so native threads may log, too.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from hub import green

MAX_PENDING_BYTES = 1_048_576  # what waits while nothing is taken: minutes of lines; more would be memory
WAIT_MS = 1_000


class LineWriter:
    """Writes lines to ``descriptor`` in their order; what finds no room is dropped, counted, and told in one line.

    ``told(count)`` makes that line. A process that was forked has a thread and a queue of its own.
    """

    def __init__(self, descriptor: int, told: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        self._told = told
        self._process = 0  # whose thread and queue these are
        self._queue: Any = None
        self._os: Any = None
        self._poll: Any = None
        self._cut_short = False  # whether the next line would continue one that was written in part
        # without a lock: what two threads add at once may be off by a line, which nobody notices in a megabyte
        self._bytes_in = self._refused = 0
        self._bytes_out = self._lost = 0
        self.failures_total = 0

    @property
    def dropped_total(self) -> int:
        """Lines that were not written, or not whole."""
        return self._refused + self._lost

    def put(self, line: bytes) -> None:
        """Have one line written, which ends with its newline."""
        if self._process != os.getpid():
            self._start()
        if self._bytes_in - self._bytes_out + len(line) > MAX_PENDING_BYTES:
            self._refused += 1
            return
        self._bytes_in += len(line)
        self._queue.put(line)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait, natively, until everything was written; False if it was not in time."""
        if self._process != os.getpid():
            return True
        native = green.native("queue")
        done = native.SimpleQueue()
        self._queue.put(done)
        try:
            done.get(timeout=timeout_seconds)
        except native.Empty:
            return False
        return True

    def _start(self) -> None:
        self._process = os.getpid()
        self._bytes_in = self._bytes_out = 0
        self._queue = green.native("queue").SimpleQueue()
        self._os, self._poll = green.native("os"), green.native("select").poll()
        green.native("_thread").start_new_thread(self._run, (self._queue, self.dropped_total))

    # -- on the native thread -------------------------------------------------------------------------

    def _run(self, queue: Any, told: int) -> None:
        while True:
            line = queue.get()
            if not isinstance(line, bytes):
                line.put(None)  # a flush
                continue
            done = self._write(line)
            self._lost += not done
            self._bytes_out += len(line)
            missing = self.dropped_total - told
            if done and missing and self._bytes_in - self._bytes_out < MAX_PENDING_BYTES // 2:
                told += missing
                self._write(self._told(missing))

    def _write(self, line: bytes) -> bool:
        data = memoryview(b"\n" + line if self._cut_short else line)
        while data:
            try:
                data = data[self._os.write(self._descriptor, data) :]
            except BlockingIOError:  # a pipe that another program has made so
                self._poll.register(self._descriptor, select.POLLOUT)
                self._poll.poll(WAIT_MS)
                continue
            except OSError:
                self.failures_total += 1
                return False
            self._cut_short = data.nbytes > 0
        return True
