"""A hub under gunicorn that the harness of ``attack.py`` can hold to its bounds."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from hub.simulator.launch import launch
from tests.gunicorn_process import Gunicorn


class _Worker:
    """The process that serves; its end is that of the whole server."""

    def __init__(self, server: Gunicorn) -> None:
        self._server = server
        (self.pid,) = server.workers()

    def poll(self) -> int | None:
        assert self._server.process is not None
        status = self._server.process.poll()
        return 70 if status is None and self._server.workers() != [self.pid] else status

    @property
    def returncode(self) -> int | None:
        assert self._server.process is not None
        return self._server.process.returncode


class GunicornHub:
    """What the harness needs of ``tests.conftest.HubProcess``."""

    def __init__(self, server: Gunicorn) -> None:
        self._server = server
        server.start_and_wait()
        self.port, self.url = server.port, server.url
        self.process = _Worker(server)

    def log(self) -> str:
        return self._server.log.read_text()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def stop(self) -> None:
        assert self._server.process is not None
        if self._server.process.poll() is None:
            self._server.process.send_signal(signal.SIGINT)
            self._server.process.wait(10)


@contextlib.contextmanager
def gunicorn_hubs(folder: Path) -> Iterator[Callable[..., GunicornHub]]:
    """Give what starts hubs under gunicorn, as the fixture ``hub_factory`` starts those of ``app.py``."""
    with contextlib.ExitStack() as stack:

        def start(simulator: list[str], **environment: str) -> GunicornHub:
            server = Gunicorn(stack.enter_context(launch(simulator)), folder, **environment)
            stack.callback(server.kill)
            return GunicornHub(server)

        yield start
