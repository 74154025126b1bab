"""The hub under gunicorn: ``gunicorn -k hub.gunicorn_worker.EventletWorker wsgi:app``.

gunicorn dropped its own eventlet worker in release 26. This one stands on the base class that gunicorn keeps for
asynchronous workers. There is one worker only: each would hold its own connections to the exchange, and a polling
client's requests would meet now one, now the other.
"""

from __future__ import annotations

import os
import select
import sys
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import get_parser, wsgi
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.base_async import AsyncWorker

from hub import green
from hub.door import Door
from hub.green_http import BODY_TIMEOUT_SECONDS, HEADER_TIMEOUT_SECONDS, MAX_BODY_BYTES, Refused, refusal

if TYPE_CHECKING:
    from hub.green_connection import Connection

NOTIFY_SECONDS = 1.0  # gunicorn's master wants a sign of life
EXIT_RESERVE_SECONDS = 1.0  # of graceful_timeout, kept for leaving before the master kills


wsgi.SERVER = "hub"  # clients need not know what serves them
util.write_error = lambda sock, status, *_: util.write_nonblock(sock, refusal(status))  # nor read HTML


class HubLogger(Logger):
    """What gunicorn itself has to say goes to the hub's log, in its format; master and worker never wait for it."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class EventletWorker(AsyncWorker):
    """One process, green threads: plain HTTP, Engine.IO polling and WebSocket."""

    alive: bool
    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.cfg.workers > 1:
            raise HaltServer(f"{self.cfg.workers} workers: the hub runs in one process, set workers to 1", 2)
        if self.cfg.preload_app:
            raise HaltServer("preload_app: the hub's threads do not survive the fork, leave it off", 2)
        self.cfg.set("sendfile", False)  # it wants a blocking socket
        self.under_way = 0  # requests that are not answered yet
        self.hurried = False  # whether it was asked to be quick; not by SIGTERM, which a service manager may send twice
        self.closing = False  # whether no more requests are taken

    def init_process(self) -> None:
        green.patch()  # after the fork: the master stays as it is
        green.raise_descriptor_limit()
        super().init_process()

    def load_wsgi(self) -> None:
        try:
            super().load_wsgi()
        except SystemExit as end:
            self.log.error("%s", end.code)
            sys.exit(Arbiter.APP_LOAD_ERROR)  # the master ends too: to start it again would not help

    def run(self) -> None:
        from hub.green_server import Acceptor  # after the patch

        service = self._service()
        listeners = [green.adopt(listener.sock) for listener in self.sockets]
        acceptor: Acceptor = Acceptor(service.door if service is not None else Door(), self._serve)
        threads = [green.spawn(acceptor.run, listener) for listener in listeners]
        while self.alive and self.ppid == os.getppid():
            self.notify()
            # The pipe is a signal's wake-up: waiting on it, an idle loop notices SIGTERM at once.
            if select.select([self.PIPE[0]], [], [], NOTIFY_SECONDS)[0]:
                os.read(self.PIPE[0], 4096)
        self.alive = False
        give_up_at = time.monotonic() + max(self.cfg.graceful_timeout - EXIT_RESERVE_SECONDS, 0.5)
        self._tell("drain", give_up_at, lambda: self.hurried)
        self.closing = True
        for thread, listener in zip(threads, listeners, strict=True):
            thread.kill()
            listener.close()
        self._tell("stop", give_up_at)
        # not waited for: idle keep-alive connections, and WebSockets, whose clients were sent away
        while self.under_way and time.monotonic() < give_up_at:
            self.notify()
            time.sleep(0.05)

    def _service(self) -> Any:
        """Return the application's ``service``, None if it has none."""
        return getattr(sys.modules.get(self.app.app_uri.partition(":")[0]), "service", None)

    def _tell(self, what: str, give_up_at: float, *arguments: Any) -> None:
        """Have the application's ``service`` do it, if it has one; requests are served meanwhile."""
        self.notify()
        service = self._service()
        if service is not None:
            try:
                with green.deadline(give_up_at - time.monotonic()):
                    getattr(service, what)(*arguments)
            except Exception:
                self.log.exception("%s failed; the worker ends without it", what)

    def _serve(self, connection: Connection) -> bool:
        """Answer what a connection asks, as long as it asks; return whether it may ask again later.

        In place of the base class's ``handle``, which keeps a thread for each connection that is idle.
        """
        request = None
        parser = connection.kept or get_parser(self.cfg, connection, connection.address)
        try:
            while True:
                request = None
                connection.expect(HEADER_TIMEOUT_SECONDS)
                request = next(parser)
                read_body(request, connection)
                self.handle_request(connection.getsockname(), request, connection, connection.address)
                if not parser.unreader.buf.getbuffer():
                    parser.mesg = None  # the last request, with all of its headers
                    connection.kept = parser
                    return True
                connection.take_turn()
        except (NoMoreData, StopIteration) as end:  # StopIteration: it is to be closed, as gunicorn says it
            self.log.debug("a connection ends: %s", end)
        except Refused as refused:
            connection.unread = True
            connection.sendall(refusal(refused.status))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged there
            connection.unread = True
            self.handle_error(request, connection, connection.address, error)
        return False

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        if self.closing:
            raise StopIteration  # a kept-alive connection, or a poll that was just answered, would go on for ever
        # Not waited for at a stop, if it becomes a WebSocket: python-engineio finds the socket by itself, under
        # environ["gunicorn.socket"], and the client gives it a time of its own. Whether it does is not known here.
        if req.method == "GET" and ("UPGRADE", "websocket") in ((name, value.lower()) for name, value in req.headers):
            return super().handle_request(listener_name, req, sock, addr)
        self.under_way += 1
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            self.under_way -= 1

    def is_already_handled(self, respiter: Any) -> bool:
        if green.socket_was_taken():
            raise StopIteration
        return bool(super().is_already_handled(respiter))

    def handle_quit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        self.hurried = True
        self.alive = False


def read_body(request: Any, connection: Connection) -> None:
    """Have the body come before the application is asked: it waits for nobody, and one that was cut off is none.

    One that is longer than any route takes stays away: its length is refused. Raises ``Refused``.
    """
    if request.version >= (1, 1) and not any(name == "HOST" for name, _ in request.headers):
        raise Refused(400)
    reader = request.body.reader
    length = reader.length if isinstance(reader, LengthReader) else MAX_BODY_BYTES + 1
    body = b""
    if length > MAX_BODY_BYTES and isinstance(reader, LengthReader):
        request.force_close()
        connection.unread = True
    elif length:
        connection.expect(BODY_TIMEOUT_SECONDS)
        if request._expected_100_continue:
            request._expected_100_continue = False
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = request.body.read(length)
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413)
        if request.trailers or (len(body) < length and isinstance(reader, LengthReader)):
            raise Refused(400)
    request.body = BytesIO(body)
