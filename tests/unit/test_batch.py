"""Events as bytes: made once, the same for a WebSocket and for a client that polls."""

import json

from engineio import packet

from hub.fanout.batch import TICK, Batch, Control, Frames, Message
from hub.wire import binary_frame, text_frame


def test_a_message_is_a_socketio_event() -> None:
    message = Message("ticker_update", '{"price":133.630}')
    assert message.text == '2["ticker_update",{"price":133.630}]'
    assert message.frame == text_frame(b'42["ticker_update",{"price":133.630}]')
    assert message.frame is message.frame  # made once


def test_text_beyond_ascii_is_utf_8() -> None:
    assert Message("e", '"€"').frame == text_frame('42["e","€"]'.encode())


def test_a_mark_is_put_on_ticks_alone() -> None:
    tick, other = Message(TICK, '{"price":1.5}'), Message("volume_alert", '{"crypto":"A-B"}')
    for message in (tick, other):
        message.stamp(',"sent_at":17')
    assert json.loads(tick.payload) == {"price": 1.5, "sent_at": 17}
    assert json.loads(other.payload) == {"crypto": "A-B"}


def test_a_batch_is_the_frames_of_its_messages_in_order() -> None:
    messages = [Message("e", str(number)) for number in range(3)]
    batch = Batch(iter(messages))
    assert batch.frames == b"".join(message.frame for message in messages)
    assert batch.frames is batch.frames  # one for every client
    assert [pkt.encode() for pkt in batch.packets()] == ['42["e",0]', '42["e",1]', '42["e",2]']


def test_ticks_that_follow_one_another_leave_as_one_list() -> None:
    parts = [(TICK, '{"n":1}'), (TICK, '{"n":2}'), ("volume_alert", '{"n":3}'), (TICK, '{"n":4}')]
    batch = Batch((Message(event, payload) for event, payload in parts), batched=True)
    texts = [
        '42["ticker_batch",[{"n":1},{"n":2}]]', '42["volume_alert",{"n":3}]', '42["ticker_batch",[{"n":4}]]'
    ]  # fmt: skip
    assert [pkt.encode() for pkt in batch.packets()] == texts
    assert batch.frames == b"".join(text_frame(text.encode()) for text in texts)


def test_an_empty_batch_is_nothing() -> None:
    for batched in (False, True):
        assert (Batch([], batched).frames, Batch([], batched).packets()) == (b"", [])


def test_packets_of_engineio_text_and_binary() -> None:
    ping = packet.Packet(packet.PING)
    assert Control(ping).frames == text_frame(b"2")
    assert [pkt.encode() for pkt in Control(ping).packets()] == ["2"]
    assert Control(packet.Packet(packet.MESSAGE, b"\x00\xff")).frames == binary_frame(b"\x00\xff")


def test_frames_of_the_websocket_are_for_a_websocket_alone() -> None:
    assert Frames(b"\x8a\x00").frames == b"\x8a\x00"
    assert Frames(b"\x8a\x00").packets() == []
