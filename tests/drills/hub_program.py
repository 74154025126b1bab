"""A hub with something wrong in its own process, on command: SIGUSR1 begins it, SIGUSR2 ends it.

    python -m tests.drills.hub_program TROUBLE [the hub's own flags]

Nothing of the hub is replaced: it gets a listener that raises (``listener``), the steps of its workers raise once
(``workers``), the system's resolver fails (``names``, ``names_stalled``), it is asked to rotate BTC-USD's connection
or all of them (``rotate``, ``rotate_all``), its loop is held for ``HOLD_SECONDS`` (``busy``, ``blocked``), or its disk
never answers (``store_hangs``).
"""

from hub import green

green.patch()  # before anything else is imported

import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hub import server
from hub.hub import PriceHub

STALL_SECONDS = 30.0

_wrong = threading.Event()


def listener(hub: PriceHub) -> None:
    """Listen twice: one raises whatever can be raised, the other holds that it misses nothing."""
    errors = itertools.cycle((RuntimeError, KeyError, SystemExit, AssertionError))
    last: dict[str, int] = {}

    def broken(_: Any) -> None:
        if _wrong.is_set():
            hub.counters["raised"] += 1
            raise next(errors)("a listener's bug")

    def careful(tick: Any) -> None:
        product_id, trade_id = tick["crypto"], tick["trade_id"]
        hub.counters["heard"] += 1
        hub.counters["heard_out_of_order"] += trade_id != last.get(product_id, trade_id - 1) + 1
        last[product_id] = trade_id

    hub.on("ticker_update", broken)
    hub.on("ticker_update", careful)


class RaisingOnce:
    """A worker's step that raises once, when things go wrong; counts that, and that it was called again after it."""

    def __init__(self, step: Callable[[], float | None], error: type[BaseException], counters: Counter[str]) -> None:
        self._step, self._error, self._counters = step, error, counters
        self._raised = self._again = False

    def __call__(self) -> float | None:
        if _wrong.is_set() and not self._raised:
            self._raised = True
            self._counters["workers_raised"] += 1
            raise self._error("a worker's bug")
        if self._raised and not self._again:
            self._again = True
            self._counters["workers_again"] += 1
        return self._step()


def workers(hub: PriceHub) -> None:
    """Let the next step of each worker raise, once."""
    errors = itertools.cycle((RuntimeError, SystemExit))
    hub.counters["workers"] = len(hub._workers)
    for worker in hub._workers:
        worker._step = RaisingOnce(worker._step, next(errors), hub.counters)

    def wake() -> None:
        _wrong.wait()
        for worker in hub._workers:
            worker.wake()  # those that wait for work step as well

    threading.Thread(target=wake, daemon=True).start()


def names(hub: PriceHub) -> None:
    """Answer for the exchange's name as a resolver that knows it; then as one that does not, or that is silent."""
    resolve, name = socket.getaddrinfo, urlsplit(hub.settings.ws_url).hostname

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host != name:
            return resolve(host, *args, **options)
        if _wrong.is_set():
            if stalled:
                time.sleep(STALL_SECONDS)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1", *args, **options)

    stalled = trouble == "names_stalled"
    socket.getaddrinfo = getaddrinfo


def rotate(hub: PriceHub) -> None:
    """Have connections rotated, each time that it begins."""

    def ask() -> None:
        while True:
            _wrong.wait()
            _wrong.clear()
            victim = hub.get_current_ticker("BTC-USD")["connection_id"]
            for slot in hub.connections():
                if trouble == "rotate_all" or slot.connection_id == victim:
                    hub.rotate(slot.connection_id)

    threading.Thread(target=ask, daemon=True).start()


def hold_the_loop(hub: PriceHub) -> None:  # noqa: ARG001 - as the others
    """Keep the event loop from coming round, each time that it begins."""

    def hold() -> None:
        while True:
            _wrong.wait()
            _wrong.clear()
            {"busy": a_busy_handler, "blocked": a_blocking_call}[trouble](float(os.environ["HOLD_SECONDS"]))

    threading.Thread(target=hold, daemon=True).start()


def a_busy_handler(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def a_blocking_call(seconds: float) -> None:
    green.native("time").sleep(seconds)


def store_hangs(hub: PriceHub) -> None:
    """Let the ledger's next write never end, as on a disk that is gone."""
    write = hub.store._write

    def hang(*arguments: Any) -> None:
        if _wrong.is_set():
            green.native("os").write(1, b"the disk hangs\n")
            green.native("time").sleep(3600)
        write(*arguments)

    hub.store._write = hang


TROUBLES = {
    "listener": listener, "workers": workers, "names": names, "names_stalled": names, "rotate": rotate,
    "rotate_all": rotate, "busy": hold_the_loop, "blocked": hold_the_loop, "store_hangs": store_hangs,
}  # fmt: skip


class Troubled(server.Service):
    """The service, with what can go wrong in it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        TROUBLES[trouble](self.hub)


if __name__ == "__main__":
    trouble = sys.argv[1]
    signal.signal(signal.SIGUSR1, lambda *_: _wrong.set())
    signal.signal(signal.SIGUSR2, lambda *_: _wrong.clear())
    server.Service = Troubled  # type: ignore[misc]
    sys.exit(server.main(sys.argv[2:]))
