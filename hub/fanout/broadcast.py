"""The seam: events in, each made ready once, gathered for a moment, offered to every client."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from hub.fanout.batch import Batch, Message
from hub.worker import Worker

MAX_GATHERED = 10_000  # past it, whoever publishes flushes: nothing is dropped and nothing grows
log = logging.getLogger(__name__)


class Client(Protocol):
    """Where a batch goes: an owner of one client's socket."""

    def offer(self, batch: Batch) -> bool:
        """Queue a batch without waiting; False if the client is gone, or has too much waiting."""

    def cut(self) -> None:
        """End the client at once. Idempotent."""


class Fanout:
    """Sends every event to every client, in the order in which it was published.

    An idle hub sends at once; after a flush, what comes within ``flush_seconds`` leaves together.
    """

    def __init__(self, flush_seconds: float) -> None:
        self._flush_seconds = flush_seconds
        self._clients: dict[str, Client] = {}
        self._gathered: list[Message] = []
        self._lock = threading.Lock()  # keeps a client's snapshot and the flow after it free of holes and repeats
        self.worker = Worker("fanout", self._step)

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Send what is gathered and end the worker. Idempotent."""
        self.worker.stop(timeout_seconds)
        self.flush()

    @property
    def client_count(self) -> int:
        """How many clients get events."""
        return len(self._clients)

    def add(self, client_id: str, client: Client, snapshot: Callable[[], Iterable[tuple[str, str]]]) -> None:
        """Send ``snapshot()`` to a new client as (event, payload) pairs, then everything published from now on."""
        with self._lock:
            gone = self._flush()  # it is older than the snapshot
            messages = [Message(event, payload) for event, payload in snapshot()]
            if not messages or _offered(client, Batch(messages)):
                self._clients[client_id] = client
            else:
                gone.append(client)
        self._end(gone)

    def has(self, client_id: str) -> bool:
        """Tell whether a client gets events."""
        return client_id in self._clients

    def remove(self, client_id: str) -> None:
        """Forget a client. Idempotent."""
        self._clients.pop(client_id, None)

    def publish(self, event: str, payload: str) -> None:
        """Send an event to every client; ``payload`` is the text of one JSON value. Does not wait."""
        if not self._clients:
            return
        message = Message(event, payload)
        with self._lock:
            self._gathered.append(message)
        if len(self._gathered) >= MAX_GATHERED:
            self.flush()
        else:
            self.worker.wake()

    def flush(self) -> None:
        """Offer what is gathered to every client."""
        with self._lock:
            gone = self._flush()
        self._end(gone)

    def _flush(self) -> list[Client]:
        """Do so with the lock held; return the clients that are given up: they are told outside of it."""
        messages, self._gathered = self._gathered, []
        if not messages:
            return []
        batch = Batch(messages)
        gone = [client_id for client_id, client in self._clients.items() if not _offered(client, batch)]
        return [self._clients.pop(client_id) for client_id in gone]

    @staticmethod
    def _end(gone: Iterable[Client]) -> None:
        for client in gone:
            client.cut()

    def _step(self) -> None:
        self.flush()
        if self._flush_seconds:
            self.worker.wait(self._flush_seconds)  # what comes meanwhile leaves together


def _offered(client: Client, batch: Batch) -> bool:
    try:
        return client.offer(batch)
    except Exception:
        log.exception("bug in a client's queue; it is given up")
        return False
