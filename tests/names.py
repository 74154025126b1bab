"""A name server on loopback, and a hub that asks it: ``python tests/names.py PORT [the hub's own flags]``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub import green

if __name__ == "__main__":
    green.patch()  # before anything else is imported

import contextlib
import socket
import threading
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers every name with ``addresses``, none of which may be kept; ``addresses`` None: with nothing at all."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = []
        self.asked = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, address = self._socket.recvfrom(4096)
                self.asked += 1
                if self.addresses is not None and data:
                    self._socket.sendto(self._answer(data, self.addresses), address)

    @staticmethod
    def _answer(data: bytes, addresses: list[str]) -> bytes:
        request = dns.message.from_wire(data)
        (question,) = request.question
        answer = dns.message.make_response(request)
        if not addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text_list(question.name, 0, "IN", "A", addresses))
        return answer.to_wire()


def main() -> int:
    """Run the hub, whose resolver asks that port."""
    from eventlet.support import greendns

    from hub import server

    class Resolver(greendns.dns.resolver.Resolver):
        def __init__(self, **_: Any) -> None:
            super().__init__(configure=False)
            self.port = int(sys.argv[1])
            self.nameservers = ["127.0.0.1"]

    greendns.dns.resolver.Resolver = Resolver
    return server.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
