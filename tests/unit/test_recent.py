"""Which frames are kept for whoever asks why."""

from hub.feed.recent import HEARTBEATS, KEPT_FRAME_BYTES, OTHERS, TICKERS, RecentFrames


def test_a_busy_product_crowds_out_no_other() -> None:
    recent = RecentFrames()
    recent.keep(["BTC-USD", "ICP-USD"])
    recent.ticker("ICP-USD", 1.0, b"the last ticker")
    for second in range(100):
        recent.ticker("BTC-USD", 2.0 + second, b"another")
        recent.heartbeat("ICP-USD", 2.0 + second, b"beat %d" % second)
        recent.other(2.5 + second, b"x" * 5_000)
    frames = [frame for _, frame in recent.of("ICP-USD")]
    assert frames[0] == b"the last ticker"
    assert [frame for frame in frames if frame.startswith(b"beat")] == [b"beat 96", b"beat 97", b"beat 98", b"beat 99"]
    assert len(recent.of("BTC-USD")) == TICKERS + OTHERS
    assert len(frames) == 1 + HEARTBEATS + OTHERS
    assert max(map(len, frames)) == KEPT_FRAME_BYTES
    assert recent.of("ICP-USD") == sorted(recent.of("ICP-USD"))


def test_what_nobody_wants_is_not_kept() -> None:
    recent = RecentFrames()
    recent.keep(["BTC-USD"])
    for number in range(1_000):
        recent.ticker(f"X{number}-USD", 1.0, b"strange")
    recent.ticker("BTC-USD", 1.0, b"mine")
    recent.keep(["ETH-USD"])
    recent.keep(["BTC-USD"])
    assert recent.of("BTC-USD") == []
    assert recent.of("X1-USD") == []


def test_the_last_frames_of_a_connection_whatever_they_are_of() -> None:
    recent = RecentFrames()
    recent.keep(["BTC-USD", "ETH-USD"])
    assert recent.latest(3) == []
    recent.other(1.0, b"acknowledged")
    recent.ticker("BTC-USD", 2.0, b"both")
    recent.ticker("ETH-USD", 2.0, b"both")  # one frame may bring tickers of several
    recent.heartbeat("BTC-USD", 4.0, b"beat")
    recent.ticker("ETH-USD", 3.0, b"tick")
    assert recent.latest(3) == [(4.0, b"beat"), (3.0, b"tick"), (2.0, b"both")]
    assert len(recent.latest(10)) == 4
