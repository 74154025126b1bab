"""The real nginx as a subprocess, with the files that are shipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from tests.conftest import ROOT, eventually, need

# As root its workers would be "nobody", who can't enter pytest's folder.
AS_ROOT = "user root;" if os.geteuid() == 0 else ""


def program() -> str:
    """Return nginx's path, or skip the test."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return found or need("nginx", "what stands before the hub")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(
    folder: Path, backend_port: int | None, port: int, changes: Mapping[str, str] | None = None
) -> Path:  # fmt: skip
    """The shipped files with other addresses and folders, and what else a test changes; each must stand in them."""
    backend = f"http://127.0.0.1:{backend_port}" if backend_port else "http://backend:5000"
    own = {
        "nginx.conf": {" /tmp/": f" {folder}/", "worker_processes 2;": "worker_processes 1;",
                       "/etc/nginx/": f"{folder}/"},
        "nginx-site.conf": {"http://backend:5000": backend, "listen 8080;": f"listen 127.0.0.1:{port};",
                            "/etc/nginx/": f"{folder}/", **(changes or {})},
    }  # fmt: skip
    for name, replacements in own.items():
        text = (ROOT / "docker" / name).read_text(encoding="utf-8")
        for old, new in replacements.items():
            assert old in text, f"{name}: {old}"
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "nginx.conf"


def check(folder: Path, config: Path) -> str:
    """Let nginx check a configuration: "" if it is good, else what it says."""
    command = [program(), "-t", "-p", str(folder), "-c", str(config), "-g", AS_ROOT]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    warned = "[warn]" in checked.stderr
    return "" if checked.returncode == 0 and not warned else checked.stderr


@contextlib.contextmanager
def running(folder: Path, backend_port: int, changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run it in front of a port; yield its URL."""
    port = free_port()
    config = write_config(folder, backend_port, port, changes)
    command = [program(), "-p", str(folder), "-c", str(config), "-g", "daemon off;" + AS_ROOT]
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(url + "/nginx-alive", timeout=1, allow_redirects=False).ok
        except requests.ConnectionError:
            return False

    try:
        eventually(answers)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)
