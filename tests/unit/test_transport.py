"""Frames out of a stream that comes in any pieces: the short way and the library's give the same."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.dial import TransportError
from hub.feed.transport import _BufferedSocket, _CappedFrame
from hub.wire import binary_frame, text_frame

READABLE = os.open(os.devnull, os.O_RDONLY)


class Pieces:
    """A socket that gives these pieces, one a read, then its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    @staticmethod
    def fileno() -> int:
        return READABLE

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        self._pieces[:0] = [piece[size:]] if len(piece) > size else []
        return piece[:size]


def read(pieces: list[bytes], count: int, limit: int = 1 << 20) -> tuple[list[bytes], int]:
    """Return the payloads of so many frames, and how many of them went the short way."""
    buffered = _BufferedSocket(Pieces(pieces))  # type: ignore[arg-type]
    library = _CappedFrame(buffered.recv, limit, lambda: None)
    found, short = [], 0
    for _ in range(count):
        payload = buffered.text_frame(limit)
        short += payload is not None
        found.append(library.recv_frame().data if payload is None else payload)
    return found, short


payloads = st.lists(st.binary(max_size=300) | st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536]),
                    min_size=1, max_size=8)  # fmt: skip


@given(payloads, st.data())
def test_what_is_read_does_not_depend_on_the_pieces(texts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(text_frame(text) for text in texts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(pieces, len(texts))[0] == texts


def test_the_usual_goes_the_short_way() -> None:
    texts = [b"x" * size for size in (2, 125, 126, 400, 5_000)]
    assert read([b"".join(map(text_frame, texts))], 5) == (texts, 5)


@pytest.mark.parametrize(
    "frame",
    [binary_frame(b"text"), b"\x89\x04ping", b"\x01\x04part", b"\xc1\x04bits", b"\x81\x84\x00\x00\x00\x00mask",
     b"\x81\x7f" + struct.pack("!Q", 70_000) + b"x" * 70_000],
)  # fmt: skip
def test_whatever_is_not_usual_is_left_to_the_library(frame: bytes) -> None:
    assert _BufferedSocket(Pieces([frame])).text_frame(1 << 20) is None  # type: ignore[arg-type]


def test_a_frame_over_the_cap_is_left_to_the_library_which_refuses_it() -> None:
    with pytest.raises(TransportError, match="frame_too_big"):
        read([text_frame(b"x" * 200)], 1, limit=100)
