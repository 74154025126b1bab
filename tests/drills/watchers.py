"""Who looks on during a drill: a client that keeps the ids it gets, and a sampler of what the hub claims."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

import requests
import socketio

from hub.simulator.launch import SimulatorProcess
from tests.drills.judge import FINE, Claim, Verdict, judge_stale, parse_claims

SAMPLE_SECONDS = 0.1
PULSE_SECONDS = 0.5
KEPT_CLAIMS = 60_000


def strict(text: str) -> Any:
    """Parse JSON that has no NaN and no Infinity."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


class _Patient(queue.Queue[Any]):
    """A queue that waits: the client's own gives up on a hub that pings late, because it was stopped."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002
        return super().get(block)


class Collector:
    """A client of the hub that keeps trade ids, not payloads; a price by REST that has none is told apart."""

    def __init__(self, url: str) -> None:
        self.live: defaultdict[str, list[int]] = defaultdict(list)
        self.backfilled: defaultdict[str, list[int]] = defaultdict(list)
        self.by_rest = 0  # prices that REST told, or put right, without a trade id
        self.trust_updates: list[tuple[float, dict[str, Any]]] = []
        self.moves: set[tuple[str, str]] = set()  # (event, product) of those that joined, left or were delisted
        self.connected_at: list[float] = []  # wall clock
        self.client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.client.eio.queue = _Patient()
        # this client hands every message to a thread of its own, which shuffles them; we want the order of the wire
        trigger = self.client.eio._trigger_event
        self.client.eio._trigger_event = lambda *args, **options: trigger(*args, **{**options, "run_async": False})
        self.client.on("*", self._take)
        self.client.on("connect", self._connected)
        self.client.connect(url, transports=["websocket"])

    def _connected(self) -> None:
        self.connected_at.append(time.time())

    def _take(self, event: str, data: Any = None) -> None:
        if event == "ticker_update" and not data["trade_id"]:
            self.by_rest += 1
        elif event == "ticker_update":
            self.live[data["crypto"]].append(data["trade_id"])
        elif event == "trade_backfill":
            self.backfilled[data["crypto"]].append(data["trade_id"])
        elif event == "trust_update":
            self.trust_updates.append((time.monotonic(), data))
        elif event.startswith("product_"):
            self.moves.add((event, data["crypto"]))

    def close(self) -> None:
        """Disconnect for good."""
        self.client.disconnect()
        self.client.shutdown()


class Watcher:
    """Looks at the hub every so often, on a thread of its own, until stopped. A context manager."""

    def __init__(self, name: str, every_seconds: float) -> None:
        self.problems: list[str] = []
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(30)

    def look(self, session: requests.Session) -> None:
        """Look once."""
        raise NotImplementedError

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            next_at = time.monotonic()
            while not self._stop.wait(max(0.0, next_at - time.monotonic())):
                next_at = max(next_at + self._every_seconds, time.monotonic())
                try:
                    self.look(session)
                except (requests.RequestException, ValueError, KeyError) as error:
                    if not self._stop.is_set() and len(self.problems) < 3:
                        self.problems.append(f"a sample failed: {error!r}"[:300])


class Sampler(Watcher):
    """Asks for all prices every 100 ms and holds them against the simulator's evidence."""

    def __init__(
        self, url: str, simulator: SimulatorProcess, stale_after: float, every_seconds: float = SAMPLE_SECONDS,
        endpoints: Sequence[str] = ("exchange",),
    ) -> None:  # fmt: skip
        """``endpoints``: those of the simulator that prices may come by."""
        super().__init__("sampler", every_seconds)
        self._endpoints = endpoints
        self.verdict = Verdict()
        self.claims: defaultdict[str, list[Claim]] = defaultdict(list)
        self.alarms = 0  # claims that were neither live nor quiet
        self.not_fine: defaultdict[str, set[str]] = defaultdict(set)  # product → states other than live and quiet
        self.trust: dict[str, str] = {}
        self._url, self._simulator, self._stale_after = url, simulator, stale_after
        self._kept = 0

    def keep_from_now(self) -> None:
        """Have the next claims kept, however many there were before."""
        self._kept = 0

    def look(self, session: requests.Session) -> None:
        """Take a sample of every price, between two of the evidence."""
        before = self._evidence(session, "proof")
        begun = time.monotonic()
        answer = session.get(self._url + "/tickers", timeout=60)
        ended, wall = time.monotonic(), time.time()
        after = self._evidence(session, "products")
        for claim in parse_claims(strict(answer.text), begun, ended, wall):
            product_id = claim.product_id
            written, proof = after.get(product_id), before.get(product_id)
            judge_stale(self.verdict, claim, self._stale_after, written, proof)
            self.trust[product_id] = claim.trust
            if claim.trust not in FINE:
                self.alarms += 1
                self.not_fine[product_id].add(claim.trust)
            if self._kept < KEPT_CLAIMS:
                self._kept += 1
                self.claims[product_id].append(claim)


    def _evidence(self, session: requests.Session, name: str) -> dict[str, float]:
        """Return product → the latest such moment, over all endpoints."""
        latest: dict[str, float] = {}
        for endpoint in self._endpoints:
            answer = session.get(f"{self._simulator.control_url}/evidence?endpoint={endpoint}", timeout=10).json()
            for product_id, at in answer[name].items():
                latest[product_id] = max(at, latest.get(product_id, at))
        return latest


class Pulse(Watcher):
    """Asks for ``/health`` twice a second and keeps what it said."""

    def __init__(self, url: str) -> None:
        super().__init__("pulse", PULSE_SECONDS)
        self.statuses: set[str] = set()
        self._url = url

    def look(self, session: requests.Session) -> None:
        """Take the pulse once."""
        self.statuses.add(strict(session.get(self._url + "/health", timeout=60).text)["status"])
