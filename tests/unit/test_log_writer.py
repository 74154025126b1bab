"""The writer of the log: nobody waits for it, it keeps the order, counts what is lost, and says so."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from hub import log_writer
from hub.log_writer import LineWriter


class Pipe:
    """A pipe of 4 KiB with a writer to it; ``full`` from the start where nobody is to read it."""

    def __init__(self) -> None:
        read, self.descriptor = os.pipe()
        fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, 4_096)
        self.reader: BinaryIO = os.fdopen(read, "rb")
        self.writer = LineWriter(self.descriptor, lambda count: b"dropped %d\n" % count)

    def fill(self) -> None:
        os.write(self.descriptor, b"." * 4_095 + b"\n")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.reader.close()  # what is blocked in a write ends with it
    assert made.writer.flush(5)
    with contextlib.suppress(OSError):
        os.close(made.descriptor)


def test_lines_arrive_in_their_order(pipe: Pipe) -> None:
    for number in range(100):
        pipe.writer.put(b"%d\n" % number)
    assert [int(pipe.reader.readline()) for _ in range(100)] == list(range(100))
    assert pipe.writer.dropped_total == pipe.writer.failures_total == 0


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "MAX_PENDING_BYTES", 5_000)
    pipe.fill()
    begun = time.monotonic()
    for _ in range(1_000):
        pipe.writer.put(b"x" * 99 + b"\n")
    assert time.monotonic() - begun < 0.5
    assert pipe.writer.dropped_total == 950
    assert not pipe.writer.flush(0.05)
    assert pipe.reader.readline() == b"." * 4_095 + b"\n"
    lines = [pipe.reader.readline() for _ in range(51)]
    assert lines.count(b"x" * 99 + b"\n") == 50
    assert lines.count(b"dropped 950\n") == 1, "told once"
    pipe.writer.put(b"after\n")
    assert pipe.reader.readline() == b"after\n"


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.descriptor, False)
    pipe.fill()
    pipe.writer.put(b"y" * 6_000 + b"\n")  # more than it holds: written in parts
    time.sleep(0.05)
    assert pipe.reader.readline() == b"." * 4_095 + b"\n"
    assert pipe.reader.readline() == b"y" * 6_000 + b"\n"
    assert pipe.writer.dropped_total == pipe.writer.failures_total == 0


def test_a_full_disk_is_counted_and_the_next_lines_are_tried() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(descriptor, lambda count: b"dropped %d\n" % count)
    for _ in range(3):
        writer.put(b"line\n")
    assert writer.flush(5)
    assert (writer.dropped_total, writer.failures_total) == (3, 3)
    read, write = os.pipe()
    os.dup2(write, descriptor)  # there is room again
    writer.put(b"line\n")
    assert writer.flush(5)
    assert os.read(read, 100) == b"line\ndropped 3\n"
    for open_one in (descriptor, read, write):
        os.close(open_one)


def test_a_reader_that_is_gone_is_no_end(pipe: Pipe) -> None:
    pipe.reader.close()
    pipe.writer.put(b"line\n")
    assert pipe.writer.flush(5)
    assert (pipe.writer.dropped_total, pipe.writer.failures_total) == (1, 1)


def test_a_line_that_was_cut_short_is_not_continued_by_the_next() -> None:
    """As a disk does that fills up in the middle of a line."""
    written: list[bytes] = []
    answers = [3, OSError(28, "No space left on device"), 1_000]

    class Disk:
        def write(self, _: int, data: memoryview) -> int:
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            written.append(bytes(data[:answer]))
            return min(answer, len(data))

    writer = LineWriter(-1, lambda _: b"")
    writer._os = Disk()
    assert not writer._write(b"first\n")
    assert writer._write(b"second\n")
    assert b"".join(written) == b"fir\nsecond\n"


def test_a_child_process_writes_by_itself(pipe: Pipe) -> None:
    pipe.writer.put(b"parent\n")
    assert pipe.writer.flush(5)
    child = os.fork()
    if child == 0:
        pipe.writer.put(b"child\n")
        os._exit(0 if pipe.writer.flush(5) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [pipe.reader.readline() for _ in range(2)] == [b"parent\n", b"child\n"]


def test_what_was_never_written_to_needs_no_flush() -> None:
    assert LineWriter(-1, lambda _: b"").flush(0)
