"""WebSocket frames, against the RFC's own examples and a decoder that others wrote."""

from collections.abc import Callable

import pytest
from websocket._abnf import ABNF, frame_buffer

from hub.wire import binary_frame, close_frame, text_frame


def parse(data: bytes) -> ABNF:
    """Return the one frame that ``data`` holds; whoever reads past its end, or leaves a rest, fails."""
    rest = bytearray(data)

    def receive(count: int) -> bytes:
        assert rest, "the frame announces more than there is"
        taken = bytes(rest[:count])
        del rest[:count]
        return taken

    frame = frame_buffer(receive, skip_utf8_validation=False).recv_frame()
    assert not rest
    return frame


def test_the_example_of_the_rfc() -> None:
    assert text_frame(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert text_frame(b"x" * 256)[:4] == bytes.fromhex("817e0100")
    assert text_frame(b"x" * 65_536)[:10] == bytes.fromhex("817f0000000000010000")
    assert close_frame(1000) == bytes.fromhex("880203e8")


@pytest.mark.parametrize(
    ("make", "opcode"), [(text_frame, ABNF.OPCODE_TEXT), (binary_frame, ABNF.OPCODE_BINARY)], ids=["text", "binary"]
)
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 200_000])
def test_every_form_of_the_length(length: int, make: Callable[[bytes], bytes], opcode: int) -> None:
    data = bytes(97 + index % 26 for index in range(length))
    frame = parse(make(data))
    assert (frame.opcode, frame.fin, frame.mask_value, frame.data) == (opcode, 1, 0, data)
    assert len(make(data)) - length == (2 if length < 126 else 4 if length < 65_536 else 10)


def test_text_beyond_ascii() -> None:
    assert parse(text_frame("€ 5".encode())).data.decode() == "€ 5"


@pytest.mark.parametrize("code", [1000, 1001, 1012, 4999])
def test_close_frames(code: int) -> None:
    frame = parse(close_frame(code))
    assert (frame.opcode, frame.fin, frame.mask_value) == (ABNF.OPCODE_CLOSE, 1, 0)
    assert frame.data == code.to_bytes(2, "big")


@pytest.mark.parametrize("reason", ["", "not_reading", "x" * 200])
def test_a_close_frame_says_why_as_far_as_it_may(reason: str) -> None:
    frame = parse(close_frame(4001, reason))
    assert frame.data == (4001).to_bytes(2, "big") + reason.encode()[:123]
