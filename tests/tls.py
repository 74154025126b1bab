"""A certificate authority of our own, and a proxy that speaks TLS in front of the simulator: the live path is TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from tests.conftest import need


def make_certificates(folder: Path) -> None:
    """Make ca.pem, and good.pem (localhost, exchange.test), wrong.pem (another host), expired.pem, each with its key.

    And alone.pem, which nobody but itself signed.
    """
    openssl = need("openssl", "TLS")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca", "-days", "2")
    run("req", "-x509", *key, "-keyout", "alone.key", "-out", "alone.pem", "-subj", "/CN=localhost", "-days", "2",
        "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
    wanted = (("good", "localhost", "2"), ("wrong", "elsewhere.example", "2"), ("expired", "localhost", "-1"))
    for name, host, days in wanted:
        more = ",DNS:exchange.test" if name == "good" else ""
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}{more}\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", days, "-extfile", f"{name}.ext")  # fmt: skip


class TlsProxy:
    """Terminates TLS on a free port and passes the bytes on; with no certificate it accepts and says nothing.

    ``present`` changes the certificate for connections from then on; ``accepted`` are the monotonic times of all.
    """

    def __init__(self, target: tuple[str, int], certificate: Path | None) -> None:
        self.accepted: list[float] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.present(certificate)
        threading.Thread(target=self._accept, daemon=True).start()

    def present(self, certificate: Path | None, newest: ssl.TLSVersion | None = None) -> None:
        """Show this certificate to whoever connects next, and speak nothing newer than a version."""
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            if newest is not None:
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
        self._context = context

    def close(self) -> None:
        """Close the listener and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in (self._listener, *self._open):
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted.append(time.monotonic())
                self._open.append(client)
                if self._context is not None:
                    threading.Thread(target=self._serve, args=(client, self._context), daemon=True).start()

    def _serve(self, client: socket.socket, context: ssl.SSLContext) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(client, server_side=True) as outer,
            socket.create_connection(self._target) as inner,
        ):
            join(outer, inner)


def join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on both ways until a side ends."""
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until one side ends, then end both: a reset is to reach the other side too."""
    with contextlib.suppress(OSError, ValueError):  # the latter is what TLS says of a socket that was shut
        while data := source.recv(65_536):
            target.sendall(data)
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
