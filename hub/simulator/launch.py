"""Start the simulator as a process of its own, and stop it. Works on native and on green threads."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

PROJECT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.02
CONTROL_TIMEOUT_SECONDS = 10.0
MAX_FIRST_LINE_BYTES = 4_096


class SimulatorProcess:
    """A running simulator. A context manager; it also ends by itself when this process does."""

    def __init__(self, arguments: Sequence[str], timeout_seconds: float) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop(); a pipe would fill up unread
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hub.simulator", "--port", "0", "--exit-with-stdin", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, who ends this one in its turn
        )
        self.pid: int = self._process.pid
        try:
            urls = json.loads(self._first_line(time.monotonic() + timeout_seconds))
        except (TimeoutError, ValueError) as error:
            self._process.kill()
            self._process.wait()
            text = self.stderr_text().strip()
            self.stop()
            raise RuntimeError(f"the simulator did not start: {error}: {text}") from error
        self.ws_url: str = urls["ws_url"]
        self.rest_url: str = urls["rest_url"]
        self.control_url: str = urls["control_url"]
        self.advanced_trade_ws_url: str = urls["advanced_trade_ws_url"]
        self.advanced_trade_rest_url: str = urls["advanced_trade_rest_url"]

    def _first_line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("it said nothing in time")
            data = os.read(descriptor, MAX_FIRST_LINE_BYTES)
            if not data:
                raise ValueError("it ended at once")
            line += data
        return line

    def control(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET ``/_control/<path>``, or POST it with a body; ``RuntimeError`` says what was wrong with it."""
        url = f"{self.control_url}/{path.lstrip('/')}"
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business here
            if body is None:
                response = session.get(url, timeout=CONTROL_TIMEOUT_SECONDS)
            else:
                response = session.post(url, json=body, timeout=CONTROL_TIMEOUT_SECONDS)
        answer: dict[str, Any] = response.json()
        if not response.ok:
            raise RuntimeError(f"{path}: {answer.get('error', answer)}")
        return answer

    def stderr_text(self) -> str:
        """Return what it wrote to standard error so far; nothing, when all is well."""
        return os.pread(self._errors.fileno(), 1_000_000, 0).decode(errors="replace")

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the process, by force after ``timeout_seconds``; again is allowed."""
        deadline = time.monotonic() + timeout_seconds
        if self.alive():
            self._process.terminate()
        while self.alive() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if self.alive():
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # it is gone, and nothing was left to say
                    stream.close()

    def __enter__(self) -> SimulatorProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def launch(arguments: Sequence[str] = (), timeout_seconds: float = 15.0) -> SimulatorProcess:
    """Start a simulator with more arguments and wait until it listens; ``RuntimeError`` tells why it does not."""
    return SimulatorProcess(arguments, timeout_seconds)
