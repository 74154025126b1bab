"""gunicorn with the hub, as it is shipped, as a subprocess."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from hub.simulator.launch import SimulatorProcess
from tests import image
from tests.conftest import eventually


class Gunicorn:
    """On a port that stays the same over restarts, in a folder that holds nothing but what the image holds."""

    def __init__(self, simulator: SimulatorProcess, tmp_path: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = tmp_path / "image"
        image.make(self.folder)
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.env = {
            **env, "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "HOST": "127.0.0.1", "PORT": str(self.port), "STATE_DIR": str(tmp_path / "state"), **settings,
        }  # fmt: skip
        self.log = self.folder / "gunicorn.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, app: str = "wsgi:app") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gunicorn", "-c", "docker/gunicorn.conf.py", *arguments, app]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        return self.process

    def start_and_wait(self, app: str = "wsgi:app") -> None:
        process = self.start(app=app)
        token = self.env.get("API_TOKENS", "").partition(",")[0]
        headers = {"Authorization": f"Bearer {token}"} if token else {}

        def healthy() -> bool:
            assert process.poll() is None, self.log.read_text()
            try:
                return requests.get(self.url + "/health", headers=headers, timeout=2).status_code == 200
            except requests.RequestException:
                return False

        eventually(healthy, 30)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def workers(self) -> list[int]:
        """Return the processes that the master has."""
        assert self.process is not None
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
