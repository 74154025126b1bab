"""Bodies that come in chunks, and lines: each has one meaning, however it comes in."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.green_http import MAX_BODY_BYTES, MAX_CHUNKS, Reader, Refused, read_chunked


def reader(data: bytes, sizes: list[int]) -> Reader:
    """Return a reader whose connection brings data in pieces of these sizes, one after the other."""
    left = [*sizes, len(data)]

    def receive(most: int) -> bytes:
        nonlocal data
        size = min(most, left.pop(0) if left else len(data))
        piece, data = data[:size], data[size:]
        return piece

    return Reader(receive)


pieces = st.lists(st.integers(1, 9), max_size=60)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), pieces)
def test_chunks_are_put_together_and_what_follows_stays(chunks: list[bytes], sizes: list[int]) -> None:
    data = b"".join(b"%x;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nGET "
    file = reader(data, sizes)
    assert read_chunked(file) == b"".join(chunks)
    assert file.read(4) == b"GET "
    assert file.empty


@given(st.text("0123456789abcdefxX+-_ \t\r\n;", max_size=6).map(str.encode), pieces)
def test_a_size_is_hexadecimal_digits_or_refused(size: bytes, sizes: list[int]) -> None:
    file = reader(size + b"\r\n{}\r\n0\r\n\r\n", sizes)
    digits = size.partition(b";")[0].rstrip(b" \t") if b";" in size else size
    with contextlib.suppress(Refused):
        assert read_chunked(file) in (b"{}", b"")
        assert digits.strip(b"0123456789abcdef") == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"%x\r\n" % (MAX_BODY_BYTES + 1), 413),
        (b"ffffffffff\r\n", 400),
        (b"1\r\nx\r\n" * MAX_CHUNKS + b"0\r\n\r\n", 400),
        (b"2\r\n{", 400),
        (b"2\r\n{}\r\n", 400),
        (b"2\r\n{}\r\n0\r\n", 400),
        (b"2;" + b"x" * 300 + b"\r\n{}\r\n0\r\n\r\n", 400),
    ],
    ids=["too long", "a size of too many digits", "too many", "cut off", "no end", "half an end", "a long line"],
)
def test_what_has_no_end_or_a_far_one_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as raised:
        read_chunked(reader(data, []))
    assert raised.value.status == status


@given(st.binary(max_size=200), pieces, st.integers(1, 30))
def test_lines_are_those_of_a_file(data: bytes, sizes: list[int], most: int) -> None:
    file, lines = reader(data, sizes), []
    while line := file.readline(most):
        lines.append(line)
    assert b"".join(lines) == data
    assert all(len(line) == most or line.endswith(b"\n") for line in lines[:-1])
    assert not any(b"\n" in line[:-1] or len(line) > most for line in lines)
