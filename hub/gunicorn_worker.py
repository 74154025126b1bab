"""The hub under gunicorn: ``gunicorn -k hub.gunicorn_worker.EventletWorker wsgi:app``.

gunicorn dropped its own eventlet worker in release 26. This one stands on the base class that gunicorn keeps for
asynchronous workers. There is one worker only: each would hold its own connections to the exchange, and a polling
client's requests would meet now one, now the other.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.workers.base_async import AsyncWorker

from hub import green
from hub.green_http import DISCARD_BYTES, refusal

TRANSFER_TIMEOUT_SECONDS = 30.0  # a body or an answer that makes no progress for so long is given up
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
        listeners = [green.adopt(listener.sock) for listener in self.sockets]
        acceptors = []
        for listener in listeners:
            listener.setblocking(True)
            handle = self._handler(listener)
            acceptors.append(green.spawn(green.accept_each, listener, handle, self.worker_connections))
        while self.alive and self.ppid == os.getppid():
            self.notify()
            # The pipe is a signal's wake-up: waiting on it, an idle loop notices SIGTERM at once.
            if select.select([self.PIPE[0]], [], [], NOTIFY_SECONDS)[0]:
                os.read(self.PIPE[0], 4096)
        self.alive = False
        give_up_at = time.monotonic() + max(self.cfg.graceful_timeout - EXIT_RESERVE_SECONDS, 0.5)
        self._tell("drain", give_up_at, lambda: self.hurried)
        self.closing = True
        for acceptor, listener in zip(acceptors, listeners, strict=True):
            acceptor.kill()
            listener.close()
        self._tell("stop", give_up_at)
        # not waited for: idle keep-alive connections, and WebSockets, whose clients were sent away
        while self.under_way and time.monotonic() < give_up_at:
            self.notify()
            time.sleep(0.05)

    def _handler(self, listener: Any) -> Any:
        def handle(client: Any, address: Any) -> None:
            client.settimeout(TRANSFER_TIMEOUT_SECONDS)
            self.handle(listener, client, address)

        return handle

    def _tell(self, what: str, give_up_at: float, *arguments: Any) -> None:
        """Have the application's ``service`` do it, if it has one; requests are served meanwhile."""
        self.notify()
        service = getattr(sys.modules.get(self.app.app_uri.partition(":")[0]), "service", None)
        if service is not None:
            try:
                with green.deadline(give_up_at - time.monotonic()):
                    getattr(service, what)(*arguments)
            except Exception:
                self.log.exception("%s failed; the worker ends without it", what)

    # Raising StopIteration is gunicorn's way to say: close this connection.

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        if self.closing:
            raise StopIteration  # a kept-alive connection, or a poll that was just answered, would go on for ever
        _bound_body(req)
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

    def timeout_ctx(self) -> AbstractContextManager[Any]:
        return green.silent_timeout(self.cfg.keepalive)

    def handle_quit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        self.hurried = True
        self.alive = False


def _bound_body(req: Any) -> None:
    """Give a body up that has no end, whoever reads it, and let others have their turn before each part of it.

    A refused body is read on by gunicorn, so that its client comes to read why: for ever, if it goes on for ever.
    """
    unreader, reader = req.unreader, req.body.reader
    receive, read = type(unreader).chunk, reader.read
    taken = 0

    def chunk(size_hint: int | None = None) -> Any:
        nonlocal taken
        time.sleep(0)
        data = receive(unreader, size_hint)
        taken += len(data)
        if taken > DISCARD_BYTES:
            raise ConnectionResetError(errno.ECONNRESET, "a body without an end")
        return data

    def read_or_reset(size: int) -> Any:
        try:
            return read(size)
        except ParseException as error:  # which no application knows
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error

    unreader.chunk, reader.read = chunk, read_or_reset
