"""A channel against real HTTP servers on loopback: slow, mute, broken, full of redirects; and its pace and breaker."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import Any

import pytest

from hub.alerts import channel as module
from hub.alerts.breaker import Breaker
from hub.alerts.channel import PER_MINUTE, QUEUE, Channel, Notice
from hub.alerts.post import MAX_RETRY_AFTER_SECONDS, Limits, Poster, PostError
from hub.alerts.targets import target_of
from hub.alerts.words import webhook_body
from hub.detect.rules import FIRING, INFO, ONCE, RESOLVED, WARNING, Alert
from hub.feed.backoff import Backoff
from tests.conftest import eventually
from tests.receiver import Receiver, status

AT = 1_800_000_000.0
QUICK = Limits(0.4, 0.6)


def notice(number: int = 0, kind: str = "coverage") -> Notice:
    state, severity = (ONCE, INFO) if kind == "volume" else (FIRING, WARNING)
    return Notice(Alert(f"{kind}:{number}", kind, severity, state, f"number {number}", AT), AT)


def channel_to(url: str, limits: Limits = QUICK, **parts: Any) -> Channel:
    poster = Poster(target_of(url, ("127.0.0.1",)), limits)
    backoff = Backoff(0.02, 0.05, float("inf"), Random(1))
    return Channel("webhook", poster, lambda found: webhook_body(*found, False), Random(1), backoff=backoff, **parts)


@pytest.fixture(autouse=True)
def no_cooldown() -> None:
    """What a test before this one logged a moment ago holds nothing back."""
    module._warn._last.clear()


@pytest.fixture
def run() -> Iterator[Callable[..., Channel]]:
    """Start a channel; it is stopped afterwards."""
    with contextlib.ExitStack() as stack:

        def start(url: str, **parts: Any) -> Channel:
            channel = channel_to(url, **parts)
            channel.worker.start()
            stack.callback(channel.stop, 2.0)
            return channel

        yield start


# -- what receivers do -----------------------------------------------------------------------------------


def never(handler: BaseHTTPRequestHandler) -> None:
    receiver_end(handler).wait(20)


def receiver_end(handler: BaseHTTPRequestHandler) -> threading.Event:
    return handler.server.end  # type: ignore[attr-defined]


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a header that never ends, a byte at a time: no single wait is long."""
    with contextlib.suppress(OSError):
        while not receiver_end(handler).wait(0.05):
            handler.wfile.write(b"H")


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"<html>this is no HTTP</html>\r\n\r\n")


def huge(handler: BaseHTTPRequestHandler) -> None:
    """Answer with 100 MB; count what went out."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(100_000_000))
    handler.end_headers()
    for _ in range(1_000):
        handler.wfile.write(bytes(100_000))
        handler.server.written = getattr(handler.server, "written", 0) + 100_000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (never, "timeout", False), (drip, "timeout", False), (reset, "reset", False), (garbage, "protocol", False),
        (status(500), "http_500", False), (status(503), "http_503", False), (status(429), "http_429", False),
        (status(408), "http_408", False), (status(400), "http_400", True), (status(404), "http_404", True),
        (status(302, Location="http://127.0.0.1:9/"), "http_302", True),
    ],
)  # fmt: skip
def test_what_an_answer_means(answer: Any, reason: str, final: bool) -> None:
    with Receiver(answer) as receiver:
        began = time.monotonic()
        with pytest.raises(PostError) as caught:
            Poster(target_of(receiver.url, ("127.0.0.1",)), QUICK).post(b"{}")
        assert time.monotonic() - began < QUICK.total_seconds + 0.5
    assert (caught.value.reason, caught.value.final) == (reason, final)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PostError, match="refused"):
        Poster(target_of(f"http://127.0.0.1:{port}/", ("127.0.0.1",)), QUICK).post(b"{}")


def test_an_answer_of_100_mb_is_not_read() -> None:
    with Receiver(huge) as receiver:
        Poster(target_of(receiver.url, ("127.0.0.1",)), QUICK).post(b"{}")
        server = receiver._server
        eventually(lambda: not any("process_request" in thread.name for thread in threading.enumerate()), 5)
        assert getattr(server, "written", 0) < 20_000_000  # what the kernel's buffers took


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (status(429, Retry_After="3"), 3.0), (status(503, Retry_After="2.5"), 2.5),
        (status(429, Retry_After="86400"), MAX_RETRY_AFTER_SECONDS), (status(429, Retry_After="-5"), 0.0),
        (status(429, Retry_After="nan"), 0.0), (status(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), 0.0),
        (status(429, b'{"ok":false,"parameters":{"retry_after":7}}'), 7.0),  # Telegram's way
        (status(429, b"[" * 100_000), 0.0), (status(500, Retry_After="9"), 0.0),
    ],
)  # fmt: skip
def test_how_long_a_receiver_wants_to_be_left_alone(answer: Any, seconds: float) -> None:
    with Receiver(answer) as receiver, pytest.raises(PostError) as caught:
        Poster(target_of(receiver.url, ("127.0.0.1",)), QUICK).post(b"{}")
    assert caught.value.retry_after_seconds == seconds


# -- delivery --------------------------------------------------------------------------------------------


def test_a_notice_is_tried_again_until_it_arrives(run: Callable[..., Channel]) -> None:
    with Receiver(status(500), reset, status(200)) as receiver:
        channel = run(receiver.url)
        channel.offer(notice(1), time.monotonic())
        channel.offer(notice(2), time.monotonic())
        eventually(lambda: channel.counts["sent"] == 2)
        assert [post.body["message"] for post in receiver.posts] == ["number 1"] * 3 + ["number 2"]
        assert channel.counts == {"sent": 2, "retried": 2, "failed": 0, "dropped": 0, "suppressed": 0}
        body = channel.body()
        assert (body["queued"], body["breaker"], body["last_failure"]) == (0, "closed", "reset")
        assert body["last_sent"] >= body["last_failed"]


def test_retry_after_is_honoured(run: Callable[..., Channel]) -> None:
    with Receiver(status(429, Retry_After="0.7"), status(200)) as receiver:
        channel = run(receiver.url)
        channel.offer(notice(), time.monotonic())
        eventually(lambda: channel.counts["sent"])
        first, second = receiver.posts
        assert 0.7 <= second.at - first.at < 3


def test_what_is_refused_is_not_tried_again(run: Callable[..., Channel]) -> None:
    with Receiver(status(404), status(200)) as receiver:
        channel = run(receiver.url)
        channel.offer(notice(1), time.monotonic())
        channel.offer(notice(2), time.monotonic())
        eventually(lambda: channel.counts["sent"])
        assert [post.body["message"] for post in receiver.posts] == ["number 1", "number 2"]
        assert (channel.counts["failed"], channel.counts["retried"]) == (1, 0)


def test_a_notice_of_an_hour_ago_is_given_up_after_so_many_tries(
    run: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES", 3)
    monkeypatch.setattr(module, "KEEP_SECONDS", time.time() - AT)
    with Receiver(*[status(500)] * 3, status(200)) as receiver:
        channel = run(receiver.url)
        channel.offer(notice(1), time.monotonic())
        channel.offer(notice(2), time.monotonic())
        eventually(lambda: channel.counts["sent"])
        assert (channel.counts["failed"], channel.counts["retried"], len(receiver.posts)) == (1, 2, 4)


def test_a_notice_of_now_outlasts_a_receiver_that_is_gone_with_the_exchange(
    run: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES", 3)
    with Receiver(*[status(500)] * 5, status(200)) as receiver:
        channel = run(receiver.url, breaker=Breaker(9, 0.5))
        channel.offer(notice(1)._replace(at=time.time()), time.monotonic())
        eventually(lambda: channel.counts["sent"])
        assert (channel.counts["failed"], channel.counts["retried"], len(receiver.posts)) == (0, 5, 6)


def test_the_breaker_opens_and_one_probe_closes_it(run: Callable[..., Channel]) -> None:
    with Receiver(status(500), status(500), status(500), status(200)) as receiver:
        channel = run(receiver.url, breaker=Breaker(2, 0.5))
        channel.offer(notice(), time.monotonic())
        eventually(lambda: channel.body()["breaker"] == "open")
        assert len(receiver.posts) == 2
        eventually(lambda: channel.counts["sent"])
        assert channel.body()["breaker"] == "closed"
        at = [post.at for post in receiver.posts]
        assert at[1] - at[0] < 0.3
        assert at[2] - at[1] >= 0.45  # half open, and open again
        assert at[3] - at[2] >= 0.45


def test_the_states_of_a_breaker() -> None:
    breaker = Breaker(2, 60.0)
    breaker.failed(0.0)
    breaker.succeeded()
    breaker.failed(1.0)
    assert (breaker.state(1.0), breaker.wait_seconds(1.0)) == ("closed", 0.0)
    breaker.failed(2.0)
    assert (breaker.state(2.0), breaker.wait_seconds(12.0)) == ("open", 50.0)
    assert (breaker.state(62.0), breaker.wait_seconds(62.0)) == ("half_open", 0.0)
    breaker.failed(63.0)
    assert breaker.state(64.0) == "open"
    breaker.succeeded()
    assert (breaker.state(64.0), breaker.wait_seconds(64.0)) == ("closed", 0.0)


# -- bounds ----------------------------------------------------------------------------------------------


def test_a_storm_of_stale_pairs_hides_no_outage_and_no_end_of_it() -> None:
    with Receiver() as receiver:
        channel = channel_to(receiver.url)  # no worker: stepped by hand
        for number in range(12):
            channel.offer(notice(number, "priority"), time.monotonic())
        for number in (100, 101):
            channel.offer(notice(number, "connections"), time.monotonic())
        while channel.step() == 0.0:
            pass
        told = [post.body["message"] for post in receiver.posts]
        assert told == [f"number {number}" for number in (*range(PER_MINUTE), 100, 101)]


def test_a_storm_of_signals_is_one_digest_and_hides_no_outage() -> None:
    with Receiver() as receiver:
        channel = channel_to(receiver.url)  # no worker: stepped by hand
        now = time.monotonic()
        for number in range(326):
            channel.offer(notice(number, "volume"), now)
        channel.offer(notice(1), now)
        while channel.step() == 0.0:
            pass
        told = [post.body["message"] for post in receiver.posts]
        assert told == [f"number {number}" for number in range(PER_MINUTE)] + ["number 1"]
        assert channel.counts["suppressed"] == 326 - PER_MINUTE
        wait = channel.step()
        assert wait is not None
        assert 0 < wait <= 60
        with pytest.MonkeyPatch.context() as patch:
            later = time.monotonic() + 61
            patch.setattr(module.time, "monotonic", lambda: later)
            channel.offer(notice(7, "volume"), later)  # still in the digest: what is told comes in order
            while channel.step() == 0.0:
                pass
        (digest,) = [post.body["message"] for post in receiver.posts][len(told) :]
        assert digest == "317 more alerts were left out (317 of volume): see GET /alerts and /signals"


def test_a_full_queue_lets_go_of_signals_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Pace, "wait_seconds", lambda *_: 0.0)
    channel = channel_to("http://127.0.0.1:9/")
    for number in range(QUEUE):
        channel.offer(notice(number, "volume" if number % 2 else "coverage"), 0.0)
    channel._tries = 3
    for number in range(15):
        channel._append(notice(100 + number))
    kept = [found.alert.key for found in channel._queue]
    assert len(kept) == QUEUE == 20
    assert channel.counts["dropped"] == 15
    assert kept[0] == "coverage:10"  # ten signals, then the five oldest
    assert kept[-1] == "coverage:114"
    assert channel._tries == 0  # it was of one that is gone
    assert {is_signal: pace.left_out.total() for is_signal, pace in channel._paces.items()} == {True: 10, False: 5}


def states(key: str, state: str, kind: str = "priority") -> Notice:
    return Notice(Alert(key, kind, WARNING, state, f"{key} {state}", AT), AT)


def test_the_end_of_what_was_told_is_told_whatever_the_pace() -> None:
    with Receiver() as receiver:
        channel = channel_to(receiver.url)  # no worker: stepped by hand
        now = time.monotonic()
        for number in range(30):
            channel.offer(states(f"priority:{number}", FIRING), now)
            while channel.step() == 0.0:
                pass
        for number in range(30):
            channel.offer(states(f"priority:{number}", RESOLVED), now)
        while channel.step() == 0.0:
            pass
        told = [post.body["message"] for post in receiver.posts]
        fired = [f"priority:{number}" for number in range(PER_MINUTE)]
        assert told == [f"{key} firing" for key in fired] + [f"{key} resolved" for key in fired]
        assert channel.counts["suppressed"] == 40


def test_the_end_of_what_another_process_told_is_told_whatever_the_pace() -> None:
    channel = channel_to("http://127.0.0.1:9/")
    channel.owe("coverage")
    for number in range(PER_MINUTE + 1):
        channel.offer(states(f"priority:{number}", FIRING), 0.0)
    for key in ("coverage", "errors"):
        channel.offer(states(key, RESOLVED), 0.0)
    assert [found.alert.key for found in channel._queue][PER_MINUTE:] == ["coverage"]


def test_ends_that_a_full_queue_has_no_room_for_are_named_by_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Pace, "wait_seconds", lambda *_: 0.0)
    with Receiver() as receiver:
        channel = channel_to(receiver.url)
        for number in range(QUEUE + 15):
            channel.owe(f"priority:{number}")
            channel.offer(states(f"priority:{number}", RESOLVED), 0.0)
        channel.offer(states("connections:none", FIRING, "connections"), 0.0)
        assert [found.is_end for found in channel._queue] == [True] * (QUEUE - 1) + [False]
        channel.offer(states("connections:lost", FIRING, "connections"), 0.0)  # in the place of what is no end
        assert [found.alert.key for found in channel._queue][-1] == "connections:lost"
        while channel.step() == 0.0:
            pass
        told = [post.body["message"] for post in receiver.posts]
        assert told[: QUEUE - 1] == [f"priority:{number} resolved" for number in range(16, QUEUE + 15)]
        digests = [text for text in told if "over meanwhile" in text]
        assert digests[0].startswith("17 more alerts were left out (1 of connections, 16 of priority): see GET /alerts")
        named = [key for text in digests for key in text.split("over meanwhile: ")[1].split(", ")]
        assert named == [f"priority:{number}" for number in range(16)]


def test_offering_never_waits_for_a_receiver_that_hangs(run: Callable[..., Channel]) -> None:
    with Receiver(never) as receiver:
        channel = run(receiver.url)
        channel.offer(notice(), time.monotonic())
        eventually(lambda: receiver.posts)
        began = time.monotonic()
        for number in range(1_000):
            channel.offer(notice(number, "volume"), began)
        assert time.monotonic() - began < 0.3


def test_stopping_ends_a_delivery_that_hangs(run: Callable[..., Channel]) -> None:
    with Receiver(never) as receiver:
        channel = run(receiver.url, limits=Limits(20.0, 20.0))
        channel.offer(notice(), time.monotonic())
        eventually(lambda: receiver.posts)
        began = time.monotonic()
        channel.flush(0.2)
        channel.stop(2.0)
        assert time.monotonic() - began < 1.0
        assert not channel.worker._thread.is_alive()


def test_what_waits_is_flushed_and_no_longer_waited_for_than_needed(run: Callable[..., Channel]) -> None:
    with Receiver() as receiver:
        channel = run(receiver.url)
        for number in range(5):
            channel.offer(notice(number), time.monotonic())
        began = time.monotonic()
        channel.flush(5.0)
        assert len(receiver.posts) == 5
        channel.flush(5.0)
        assert time.monotonic() - began < 2.0


def test_no_url_is_logged_or_shown(run: Callable[..., Channel], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(status(404), reset, garbage, never) as receiver:
        channel = run(receiver.url, breaker=Breaker(3, 60.0))
        for number in range(3):
            channel.offer(notice(number), time.monotonic())
        eventually(lambda: channel.body()["breaker"] == "open")
        assert "alert not delivered channel=webhook reason=http_404" in caplog.text
        for text in (caplog.text, str(channel.body()), repr(channel._poster.__dict__)):
            assert "canary-of-the-path" not in text


def test_a_name_with_two_addresses_of_a_family_that_leads_nowhere_is_reached_by_the_other() -> None:
    with Receiver() as receiver:
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "")
        dead = [(*six, (f"100::{number}", receiver.port, 0, 0)) for number in (1, 2)]
        live = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))
        url = receiver.url.replace("127.0.0.1", "hooks.example.com")
        poster = Poster(target_of(url, ("hooks.example.com",)), QUICK, lambda *_, **__: [*dead, live])
        poster.post(b"{}")
        assert len(receiver.posts) == 1
