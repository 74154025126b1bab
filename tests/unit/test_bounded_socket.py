"""Sockets that the hub opened: whatever the other side sends, others have their turn, and what has an end ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.feed import bounded_socket
from hub.feed.bounded_socket import TURN_BYTES, BoundedSocket, SecuredSocket, TooMuch
from tests.tls import make_certificates


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        yield ours, theirs


@pytest.fixture
def turns_given(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note when others were let run."""
    given: list[float] = []
    monkeypatch.setattr(bounded_socket.time, "sleep", lambda _: given.append(time.monotonic()))
    return given


def pour(sock: socket.socket, data: bytes) -> None:
    """Send without end, on a thread of its own."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(data)

    threading.Thread(target=send, daemon=True).start()


def test_what_always_has_data_gives_way_and_ends_at_its_bytes(
    pair: tuple[socket.socket, socket.socket], turns_given: list[float]
) -> None:
    ours, theirs = pair
    pour(theirs, b"x" * TURN_BYTES)
    sock, read = BoundedSocket(ours, 1_000_000, 10.0), []
    with pytest.raises(TooMuch):
        read.extend(iter(lambda: len(sock.recv(4_096)), 0))
    assert sum(read) <= 1_000_000 < sum(read) + 4_096
    assert len(turns_given) >= 1_000_000 // (TURN_BYTES + 4_096)


def test_it_ends_in_time_though_there_is_always_data(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    pour(theirs, b"x" * TURN_BYTES)
    sock, begun = BoundedSocket(ours, 1 << 60, 0.2), time.monotonic()
    with pytest.raises(TimeoutError):
        any(iter(lambda: len(sock.recv(1)) > 1, True))
    assert 0.2 <= time.monotonic() - begun < 1.0


def test_a_kept_connection_begins_anew_and_a_stream_has_no_end(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sock = BoundedSocket(ours, 10, 0.2)
    theirs.sendall(b"x" * 10)
    assert sock.recv(100) == b"x" * 10
    sock.bound(10, 5.0)
    theirs.sendall(b"y" * 10)
    assert sock.recv(100) == b"y" * 10
    sock.bound()
    threading.Timer(0.3, theirs.sendall, (b"z" * 30,)).start()  # later than the first 0.2 s
    before = sock.waited_until
    assert sock.recv(100) == b"z" * 30
    assert sock.waited_until - before > 0.2


def test_its_file_outlives_it_and_reads_lines(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sock = BoundedSocket(ours, 100, 5.0)
    file = sock.makefile("rb")
    theirs.sendall(b"one\r\ntwo\r\n")
    sock.close()
    assert (file.readline(), file.readline()) == (b"one\r\n", b"two\r\n")
    assert ours.fileno() >= 0
    file.close()
    assert ours.fileno() < 0


# -- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


class Peer:
    """The other side of TLS, which sends so many session tickets behind its handshake."""

    def __init__(self, sock: socket.socket, certificates: Path, tickets: int = 2) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
        context.num_tickets = tickets
        self._came, self._goes, self._sock = ssl.MemoryBIO(), ssl.MemoryBIO(), sock
        self.tls = context.wrap_bio(self._came, self._goes, server_side=True)
        self.problem: OSError | None = None
        self._shaking = threading.Thread(target=self._shake, daemon=True)
        self._shaking.start()

    def _shake(self) -> None:
        try:
            self.do(self.tls.do_handshake)
        except OSError as error:
            self.problem = error

    def shaken(self) -> Peer:
        self._shaking.join(10)
        return self

    def do(self, step: Callable[[], object]) -> object:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._goes.read())
                data = self._sock.recv(65_536)
                self._came.write(data) if data else self._came.write_eof()
            finally:
                self._sock.sendall(self._goes.read())


@pytest.fixture
def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


def test_tls_in_pieces_and_its_end(
    pair: tuple[socket.socket, socket.socket], certificates: Path, trusting: ssl.SSLContext
) -> None:
    ours, theirs = pair
    peer, sock = Peer(theirs, certificates), SecuredSocket(ours, trusting, "localhost", 1 << 20, 5.0)
    sock.do_handshake()
    peer.shaken()
    sock.sendall(b"question")
    assert peer.do(lambda: peer.tls.read(100)) == b"question"
    peer.do(lambda: peer.tls.write(b"x" * 40_000 + b"\nlast\n"))
    file = sock.makefile("rb")
    assert (file.readline(), file.readline()) == (b"x" * 40_000 + b"\n", b"last\n")
    assert sock.getpeercert()["subject"] == ((("commonName", "localhost"),),)
    theirs.shutdown(socket.SHUT_RDWR)
    assert sock.recv(10) == b""


def test_tls_ends_at_its_bytes_and_in_time(
    pair: tuple[socket.socket, socket.socket], certificates: Path, trusting: ssl.SSLContext
) -> None:
    ours, theirs = pair
    peer, sock = Peer(theirs, certificates), SecuredSocket(ours, trusting, "localhost", 1 << 20, 5.0)
    sock.do_handshake()
    peer.shaken()
    peer.do(lambda: peer.tls.write(b"x" * 30_000))
    sock.bound(20_000, 5.0)
    with pytest.raises(TooMuch):
        list(iter(lambda: sock.recv(1_000), b""))
    sock.bound(1 << 20, -1.0)
    with pytest.raises(TimeoutError):
        list(iter(lambda: sock.recv(1_000), b""))


def test_tls_goes_on_without_data_for_so_long(
    pair: tuple[socket.socket, socket.socket], certificates: Path, trusting: ssl.SSLContext
) -> None:
    """100,000 session tickets held the loop for 2.4 s, in one call of OpenSSL."""
    ours, theirs = pair
    Peer(theirs, certificates, tickets=2_000)
    sock = SecuredSocket(ours, trusting, "localhost", 1 << 20, 10.0)
    sock.do_handshake()
    with pytest.raises(TooMuch, match="no data in it"):
        sock.recv(100)


def test_a_stranger_is_refused_and_told(pair: tuple[socket.socket, socket.socket], certificates: Path) -> None:
    ours, theirs = pair
    peer = Peer(theirs, certificates)
    sock = SecuredSocket(ours, ssl.create_default_context(), "localhost", 1 << 20, 5.0)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
        sock.do_handshake()
    assert "unknown ca" in str(peer.shaken().problem).lower()


def test_what_is_wrong_with_a_certificate_is_told_though_the_peer_has_gone(
    pair: tuple[socket.socket, socket.socket], certificates: Path
) -> None:
    ours, theirs = pair
    sock = SecuredSocket(ours, ssl.create_default_context(), "localhost", 1 << 20, 5.0)
    Peer(theirs, certificates)
    sock._sock = Deaf(ours)
    with pytest.raises(ssl.SSLCertVerificationError):
        sock.do_handshake()


class Deaf:
    """A socket that takes the first message alone."""

    def __init__(self, sock: socket.socket) -> None:
        self.recv = sock.recv
        self._sock: socket.socket | None = sock

    def sendall(self, data: bytes, _flags: int = 0) -> None:
        if self._sock is None:
            raise BrokenPipeError
        self._sock.sendall(data)
        self._sock = None
