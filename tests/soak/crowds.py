"""Long runs with clients that behave badly, or are many; bystanders hold that they notice nothing."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import socket
import statistics
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import requests

from benchmarks.common import CORES, Process, module
from tests.conftest import ROOT, HubProcess, eventually
from tests.drills.stage import Resources
from tests.soak.runs import Report, hub_of

RATE = 1_500
BYSTANDERS = 5
MUTES, MUTE_SECONDS = 20, 180.0
CUT_SECONDS = 10.0
CROWD, CROWD_RATE = 2_000, 500  # a million ticks a second altogether: what two cores carry beside the simulator
BIG_BYTES = 200_000_000
COUNTING = ("-m", "tests.soak.counting_hub")
UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{more}\r\n"
)
MASK = b"\x00\x00\x00\x00"


def connect(port: int, more: str = "") -> socket.socket:
    """Return a raw client that has joined; ``more`` are header lines."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(UPGRADE.format(more=more).encode())
    wait_for(sock, b'0{"sid"')
    sock.sendall(b"\x81\x82" + MASK + b"40")
    wait_for(sock, b'40{"sid"')
    return sock


def wait_for(sock: socket.socket, text: bytes) -> None:
    """Read until that has come, and little more."""
    received = b""
    while text not in received:
        data = sock.recv(256)
        if not data:
            raise ConnectionError(received[:200].decode(errors="replace"))
        received += data


def greenlets(hub: HubProcess) -> int:
    """Return how many the hub has."""
    before = hub.log().count("greenlets=")
    hub.process.send_signal(signal.SIGUSR1)
    eventually(lambda: hub.log().count("greenlets=") > before)
    return int(re.findall(r"greenlets=(\d+)", hub.log())[-1])


@contextlib.contextmanager
def bystanders(hub: HubProcess, rate: int = RATE) -> Iterator[Callable[[float], dict[str, Any]]]:
    """Give a question: what some healthy clients saw for so many seconds."""
    with Process(module("benchmarks.clients", hub.port, BYSTANDERS, "sample"), CORES[-1]) as clients:
        clients.answer()

        def saw(seconds: float) -> dict[str, Any]:
            return clients.ask(f"expect {int(rate * seconds)}", seconds * 2 + 30)  # type: ignore[no-any-return]

        saw(5.0)
        yield saw


def clients_that_never_read(seconds: float = MUTE_SECONDS) -> Report:
    """Some clients join and never read; each that is cut comes again."""
    report = Report(f"{MUTES} clients that never read, for {seconds:g} s at {RATE} ticks/s")
    with hub_of("--rate", str(RATE), program=COUNTING, PYTHONPATH=str(ROOT)) as hub, bystanders(hub) as saw:
        quiet = saw(seconds / 3)
        before, greenlets_before = Resources.least(hub.process.pid), greenlets(hub)
        peak_mb, stop = [before.rss_mb], threading.Event()
        lives: list[float] = []

        def watch() -> None:
            while not stop.wait(0.5):
                peak_mb.append(Resources(hub.process.pid).rss_mb)

        def be_mute() -> None:
            while not stop.is_set():
                sock = connect(hub.port)
                full_at, unread = 0.0, -1
                poll = select.poll()
                poll.register(sock, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
                while not stop.is_set() and not poll.poll(100):
                    waits = waiting_bytes(sock)
                    if waits != unread:  # it still comes in: the buffers are not full
                        unread, full_at = waits, time.monotonic()
                if not stop.is_set():
                    lives.append(time.monotonic() - full_at)
                sock.close()

        threads = [threading.Thread(target=work, daemon=True) for work in (watch, *[be_mute] * MUTES)]
        for thread in threads:
            thread.start()
        busy = saw(seconds)
        stop.set()
        for thread in threads:
            thread.join(10)
        cut = hub.health()["counters"].get("cut_not_reading", 0)
        eventually(lambda: not Resources.least(hub.process.pid).more_than(before), 60)
        eventually(lambda: greenlets(hub) <= greenlets_before, 60, 1.0)
        more_mb = max(peak_mb) - before.rss_mb
        ratio = busy["ms"]["p99"] / quiet["ms"]["p99"]
        report.row("clients cut for it", f"≥ {MUTES}", str(cut), cut >= MUTES)
        report.row("longest from full buffers to the cut", f"≤ {CUT_SECONDS:g} s", f"{max(lives, default=99):.1f} s",
                   max(lives, default=99) <= CUT_SECONDS)  # fmt: skip
        report.row("memory above the quiet hub's, at most", "≤ 10 MB", f"{more_mb:.1f} MB", more_mb <= 10)
        report.row("bystanders' p99, quiet", "", f"{quiet['ms']['p99']} ms", True)
        meanwhile = f"{busy['ms']['p99']} ms ({ratio:.2f} ×)"
        report.row("bystanders' p99, meanwhile", "≤ 1.2 × that", meanwhile, ratio <= 1.2)
        missed = busy["out_of_order"] + quiet["out_of_order"]
        report.row("ticks that bystanders missed", "0", str(missed), missed == 0)
        report.row("threads, sockets, descriptors, greenlets left over", "0", "0", True)
    return report


def waiting_bytes(sock: socket.socket) -> int:
    """Return how much has arrived and was not read."""
    import fcntl
    import termios

    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0])


def bombs() -> Report:
    """Messages that are far too large, in three disguises."""
    report = Report("Messages that are far too large")
    with hub_of("--rate", str(RATE)) as hub, bystanders(hub) as saw:
        small = Resources.least(hub.process.pid)
        for name, send in (("200 MB in one message", one_message), ("200 MB in fragments", fragments),
                           ("1 MB that inflates a thousandfold", deflated)):  # fmt: skip
            peak, done = [Resources(hub.process.pid).rss_mb], threading.Event()

            def watch(peak: list[float] = peak, done: threading.Event = done) -> None:
                while not done.wait(0.02):
                    peak.append(Resources(hub.process.pid).rss_mb)

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            sent, refused = send(hub.port)
            done.set()
            watcher.join()
            report.row(f"{name}: refused", "yes", f"{'yes' if refused else 'no'}, after {sent / 1e6:.1f} MB", refused)
            more = max(peak) - small.rss_mb
            report.row(f"{name}: memory above the quiet hub's", "≤ 16 MB", f"{more:.1f} MB", more <= 16)
        seen = saw(10.0)
        report.row("ticks that bystanders missed", "0", str(seen["out_of_order"]), seen["out_of_order"] == 0)
        report.row("bystanders' p99", "", f"{seen['ms']['p99']} ms", True)
    return report


def pour(sock: socket.socket, pieces: Iterator[bytes]) -> tuple[int, bool]:
    """Send until all is sent or the other side ends it; return how many bytes, and whether it did."""
    sent = 0
    try:
        for piece in pieces:
            sock.sendall(piece)
            sent += len(piece)
        sock.settimeout(5)
        while sock.recv(1 << 20):
            pass
    except TimeoutError:
        return sent, False
    except OSError:
        pass
    finally:
        sock.close()
    return sent, True


def one_message(port: int) -> tuple[int, bool]:
    """Announce and send it all."""
    head = b"\x81\xff" + struct.pack("!Q", BIG_BYTES) + MASK
    return pour(connect(port), iter([head, *[b"x" * 1_000_000] * (BIG_BYTES // 1_000_000)]))


def fragments(port: int) -> tuple[int, bool]:
    """Send it in pieces of 60 kB, each fine by itself."""
    size = 60_000
    first, more = (bytes([opcode, 0xFE]) + struct.pack("!H", size) + MASK + b"x" * size for opcode in (0x01, 0x00))
    return pour(connect(port), iter([first, *[more] * (BIG_BYTES // size)]))


def deflated(port: int) -> tuple[int, bool]:
    """Offer permessage-deflate and send a bomb all the same."""
    sock = connect(port, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeeze.compress(b"x" * 60_000_000) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    frame = b"\xc1\xfe" + struct.pack("!H", len(bomb)) + MASK + bomb
    return pour(sock, iter([frame]))


def a_crowd(count: int = CROWD) -> Report:
    """Many clients at once; health is asked for all the while."""
    report = Report(f"{count} clients connect at once, at {CROWD_RATE} ticks/s")
    with hub_of("--rate", str(CROWD_RATE)) as hub, bystanders(hub, CROWD_RATE) as saw:
        waits: list[float] = []
        done = threading.Event()

        def ask() -> None:
            with requests.Session() as session:
                while not done.is_set():
                    begun = time.monotonic()
                    assert session.get(f"{hub.url}/health", timeout=10).status_code == 200
                    waits.append((time.monotonic() - begun) * 1000)
                    done.wait(0.02)

        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        begun = time.monotonic()
        with Process(module("benchmarks.clients", hub.port, count, "bytes"), CORES[0]) as crowd:
            crowd.answer(120)
            served_seconds = time.monotonic() - begun
            clients = hub.health()["clients"]
            seen = saw(20.0)
        eventually(lambda: hub.health()["clients"] <= BYSTANDERS, 30)
        done.set()
        asker.join(10)
        p99 = statistics.quantiles(waits, n=100)[98]
        report.row("clients that were served", str(count), str(clients - BYSTANDERS), clients - BYSTANDERS == count)
        report.row("until the last of them had joined", "", f"{served_seconds:.1f} s", True)
        report.row("`/health`, 99th percentile throughout", "≤ 100 ms", f"{p99:.0f} ms", p99 <= 100)
        report.row("bystanders' p99, meanwhile", "", f"{seen['ms']['p99']} ms", True)
        report.row("ticks that bystanders missed", "0", str(seen["out_of_order"]), seen["out_of_order"] == 0)
    return report


RUNS: tuple[Callable[[], Report], ...] = (clients_that_never_read, bombs, a_crowd)
