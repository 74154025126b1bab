"""The doctor's look at this machine: versions, port, folder, limits, time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from hub import green, state_folder
from hub.doctor import judge
from hub.doctor.judge import Check, Level, ok
from hub.settings import Settings

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
NAPS, NAP_SECONDS = 40, 0.005


def look(settings: Settings, sources: Mapping[str, str]) -> Iterator[Check]:
    """Yield a line for each thing that was looked at."""
    given = [f"{name.upper()} ({source})" for name, source in sources.items() if source != "default"]
    yield ok("settings", f"valid; set: {', '.join(given)}" if given else "valid; all of them the defaults")
    yield ok("python", f"{platform.python_version()} on {platform.system()}")
    yield _packages()
    yield _port(settings)
    yield _folder(Path(settings.state_dir).absolute())
    green.raise_descriptor_limit()
    yield judge.descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[0], settings.max_clients)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield judge.machine(cores, os.getloadavg()[0], _free_memory())
    yield judge.timer([_late() for _ in range(NAPS)])
    yield judge.roots(os.environ, _unreadable_roots())
    yield judge.access(settings.host, settings.port, bool(settings.api_tokens))
    yield judge.addresses(bool(settings.trusted_proxies), settings.host)
    yield ok("actions", "on, with ADMIN_TOKEN" if settings.admin_token else "off: ADMIN_TOKEN is unset")


def _packages() -> Check:
    if not REQUIREMENTS.is_file():  # in the image: there they were installed from it
        return ok("packages", "not compared: requirements.txt is not here")
    pinned = dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)", REQUIREMENTS.read_text()))
    return judge.packages(pinned, {name: _version(name) for name in pinned})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _port(settings: Settings) -> Check:
    where = f"{settings.host}:{settings.port}"
    try:
        green.listen(settings.host, settings.port).close()
    except OSError as error:
        if _is_a_hub(settings.port):
            return Check(Level.WARN, "port", f"a hub serves {where} already", "a second one needs another --port")
        do = "stop what listens there (ss -ltnp), or choose another --port"
        return Check(Level.FAIL, "port", f"can't listen on {where}: {error}", do)
    return ok("port", "0: takes a free one" if settings.port == 0 else f"{where} is free")


def _is_a_hub(port: int) -> bool:
    with requests.Session() as session:
        session.trust_env = False  # no proxy has business here
        try:
            answer = session.get(f"http://127.0.0.1:{port}/status", headers={"Accept": "application/json"}, timeout=1.0)
            return "up" in answer.json()
        except (OSError, ValueError, TypeError):
            return False


def _folder(folder: Path) -> Check:
    place = next(item for item in (folder, *folder.parents) if item.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        do = "give the hub's user a folder that it may write to: without it, nothing is kept over a restart"
        return Check(Level.FAIL, "STATE_DIR", f"{folder} can't be written to: {error.strerror}", do)
    if told := state_folder.complaint(folder):
        text, _, do = told.rpartition(": ")
        return Check(Level.WARN, "STATE_DIR", text, do)
    return judge.disk(str(folder), shutil.disk_usage(place).free)


def _free_memory() -> float | None:
    """Return the bytes that are left, of the machine and of a container's limit; None where nobody tells."""
    found = []
    if (told := _read("/proc/meminfo")) and (line := re.search(r"MemAvailable:\s+(\d+) kB", told)):
        found.append(float(line[1]) * 1024)
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        found.append(float(limit) - float(used))
    return min(found, default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _late() -> float:
    begun = time.monotonic()
    time.sleep(NAP_SECONDS)
    return time.monotonic() - begun - NAP_SECONDS


def _unreadable_roots() -> dict[str, str]:
    named = {name: Path(value) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if (value := os.environ.get(name))}
    return {name: f"{path} can't be read" for name, path in named.items() if not os.access(path, os.R_OK)}
