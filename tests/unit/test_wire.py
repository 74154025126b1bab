"""WebSocket frames, against the RFC's own examples and a decoder that others wrote."""

import pytest
from websocket._abnf import ABNF, frame_buffer

from hub.wire import close_frame, text_frame


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


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 200_000])
def test_every_form_of_the_length(length: int) -> None:
    text = bytes(97 + index % 26 for index in range(length))
    frame = parse(text_frame(text))
    assert (frame.opcode, frame.fin, frame.mask_value, frame.data) == (ABNF.OPCODE_TEXT, 1, 0, text)
    assert len(text_frame(text)) - length == (2 if length < 126 else 4 if length < 65_536 else 10)


def test_text_beyond_ascii() -> None:
    assert parse(text_frame("€ 5".encode())).data.decode() == "€ 5"


@pytest.mark.parametrize("code", [1000, 1001, 1012, 4999])
def test_close_frames(code: int) -> None:
    frame = parse(close_frame(code))
    assert (frame.opcode, frame.fin, frame.mask_value) == (ABNF.OPCODE_CLOSE, 1, 0)
    assert frame.data == code.to_bytes(2, "big")
