"""A hub at its usual load, an honest bystander beside it, and the bounds that hold while somebody attacks it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.conftest import HubProcess, eventually

USUAL_LOAD = ("--products", "326", "--rate", "1500")
BYSTANDER = Path(__file__).with_name("bystander.py")
AHEAD = -10  # a nice value: who measures must not wait for an attacker on the same machine
SPARE_DESCRIPTORS = 5  # the hub's own come and go (REST, the state file)


class Target:
    """The hub under attack. ``token`` is one of its API tokens, empty where it has none."""

    def __init__(self, hub: HubProcess, token: str) -> None:
        self.hub = hub
        self.token = token
        self._bystander = subprocess.Popen(
            [sys.executable, "-u", str(BYSTANDER), str(hub.port), token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with contextlib.suppress(PermissionError):  # without root it measures a little more than the hub
            os.setpriority(os.PRIO_PROCESS, self._bystander.pid, AHEAD)

    def ask(self, command: str) -> dict[str, Any]:
        """Send the bystander a command; return what it has measured."""
        assert self._bystander.stdin is not None
        assert self._bystander.stdout is not None
        self._bystander.stdin.write(command + "\n")
        self._bystander.stdin.flush()
        return json.loads(self._bystander.stdout.readline())

    def get(self, path: str) -> Any:
        """Return the JSON of a route, asked with the token."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.hub.get(path, headers=headers).json()

    def close(self) -> None:
        """End the bystander. Idempotent."""
        assert self._bystander.stdin is not None
        self._bystander.stdin.close()
        self._bystander.wait(5)

    def descriptors(self) -> int:
        """Return how many descriptors the hub has open."""
        return len(os.listdir(f"/proc/{self.hub.process.pid}/fd"))

    def memory_mb(self, name: str = "VmRSS") -> float:
        """Return a figure of the hub's memory; ``VmHWM`` is the peak since ``forget_peak``."""
        text = Path(f"/proc/{self.hub.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1]) / 1024

    def forget_peak(self) -> None:
        """Have ``VmHWM`` begin anew."""
        Path(f"/proc/{self.hub.process.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """Return the CPU time that the hub has used."""
        fields = Path(f"/proc/{self.hub.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _reconnects(self) -> int:
        slots = self.get("/connections")["connections"]
        return sum(slot["reconnects"] for slot in slots)

    @contextlib.contextmanager
    def attack(
        self, live_ms: float = 250, silence_ms: float = 300, memory_mb: float = 32, rest_seconds: float = 10,
        reconnects: int = 0,
    ) -> Iterator[None]:  # fmt: skip
        """Hold the bounds while the block attacks, and for the time in which the hub comes to rest again."""
        memory, descriptors, reconnected = self.memory_mb(), self.descriptors(), self._reconnects()
        self.forget_peak()
        self.ask("mark")
        yield
        seen = self.ask("report")
        seen["memory_mb"] = round(self.memory_mb("VmHWM") - memory, 1) if self.hub.process.poll() is None else None
        print(f"under attack: {seen}", flush=True)
        status = self.hub.process.poll()
        assert status is None, f"the hub ended with {status}:\n{self.hub.log()[-3000:]}"
        assert seen["alive"], "the bystander lost its connection"
        assert seen["probes"] > 0
        assert seen["failed_probes"] == 0, seen
        assert seen["live_ms"] <= live_ms, seen
        assert seen["silence_ms"] <= silence_ms, seen
        assert seen["memory_mb"] <= memory_mb, seen
        eventually(lambda: self.descriptors() <= descriptors + SPARE_DESCRIPTORS, rest_seconds)
        assert self._reconnects() - reconnected <= reconnects, "the feed was disturbed"


@contextlib.contextmanager
def under_attack(
    hub_factory: Callable[..., HubProcess], simulator: list[str] | None = None, **environment: str
) -> Iterator[Target]:
    """Give a hub with 326 products at 1,500 ticks/s, warmed up, and hold that it stops with status 0 afterwards.

    ``simulator``: other arguments of the simulator. ``environment``: the hub's settings.
    """
    hub = hub_factory(simulator=list(simulator or USUAL_LOAD), **environment)
    target = Target(hub, environment.get("API_TOKENS", "").partition(",")[0])
    try:
        eventually(lambda: target.get("/health")["coverage_percentage"] == 100, 20)
        eventually(lambda: target.ask("report")["ticks"] > 2_000, 20)
        yield target
        target.close()
        # DRAIN_SECONDS are the clients' and no part of what is tested here: SIGINT is quick
        hub.stop()
        assert hub.process.returncode == 0, hub.log()[-3000:]
    finally:
        target.close()
