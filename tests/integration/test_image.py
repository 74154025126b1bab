"""The image's command as the image runs it: as a user without a name or rights, in a folder that is read-only."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hub.simulator.launch import launch
from tests import image
from tests.conftest import ROOT, eventually, need
from tests.nginx import free_port

UID = "10001"


@pytest.fixture
def app() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app"
        image.make(app)
        (Path(folder) / "state").mkdir()
        everything = [app, *app.rglob("*")]
        for path in everything:
            path.chmod(path.stat().st_mode & ~0o222)
        yield app
        for path in everything:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def as_the_user() -> list[str]:
    """What makes a command the image's user's: root becomes a user without capabilities; others have none anyway."""
    if os.geteuid() != 0:
        return []
    return [need("unshare", "the image's user"), "--user", f"--map-user={UID}", f"--map-group={UID}"]


def documented() -> list[str]:
    """The requests that docs/protocol.md has a heading for."""
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    return [path for path in re.findall(r"(?m)^### `GET (/[^`]*)", text) if "{" not in path and "<" not in path]


def test_the_image_runs_without_root_on_a_read_only_root(app: Path) -> None:
    words = dict(image.instructions())
    assert words["USER"] == UID
    state, port = app.parent / "state", free_port()
    with launch(["--products", "10"]) as simulator:
        env = {
            # a venv's bin folder first, as in the image
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1", "HOST": "127.0.0.1", "PORT": str(port), "STATE_DIR": str(state),
            "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "DRAIN_SECONDS": "0",
            "NOTIFY_SOCKET": str(app.parent / "notify"),
        }  # fmt: skip
        log = state.parent / "log"
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        systemd.bind(env["NOTIFY_SOCKET"])
        systemd.settimeout(20)
        with log.open("wb") as out:
            server = subprocess.Popen(
                [*as_the_user(), *json.loads(words["CMD"])], cwd=app, env=env, stdout=out, stderr=out
            )

        def covered() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                body = requests.get(f"http://127.0.0.1:{port}/health", timeout=2).json()
            except requests.RequestException:
                return False
            return body["coverage_percentage"] == 100

        try:
            assert b"READY=1" in systemd.recv(4096), "the unit waits for it (Type=notify)"
            eventually(covered, 30)
            # nothing is missing that a route reads while it runs
            for path in ("/static/dashboard.js", "/static/vendor/uplot.min.js", *documented()):
                assert requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code == 200, path
            check = json.loads(words["HEALTHCHECK"].partition("CMD ")[2])
            assert subprocess.run([*as_the_user(), *check], env=env, check=False).returncode == 0
        finally:
            systemd.close()
            server.terminate()
            ended = server.wait(timeout=15)
        assert ended == 0, log.read_text()
        assert subprocess.run([*as_the_user(), *check], env=env, capture_output=True, check=False).returncode == 1
        assert list(state.glob("*.sqlite")), "what is kept is in the one folder that can be written to"
        assert "Traceback" not in log.read_text()
