"""The unit of systemd, checked by systemd's own tools, which need no running systemd."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hub.config import load
from tests.conftest import ROOT, need

UNIT = ROOT / "docker/price-hub.service"
MAX_EXPOSURE = 1.5  # of 10; 1.2 when it was written


@pytest.fixture(scope="module")
def analyze() -> str:
    return need("systemd-analyze", "the unit")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit on a folder that looks like an installed one, because verify looks for the program."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    placed = tmp_path / UNIT.name
    placed.write_text(UNIT.read_text().replace("/opt/price-hub/current", str(tmp_path)))
    return placed


def test_verify_finds_nothing(analyze: str, unit: Path) -> None:
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    ours = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert (verified.returncode, ours) == (0, [])


def test_verify_would_notice_a_wrong_line(analyze: str, unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=stricter"))
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert UNIT.name in verified.stderr


def test_little_of_the_machine_is_exposed(analyze: str, unit: Path) -> None:
    command = [analyze, "security", "--offline=true", "--no-pager", f"--threshold={int(MAX_EXPOSURE * 10)}", unit]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout
    assert float(re.search(r"Overall exposure level for .*: ([\d.]+)", judged.stdout)[1]) <= MAX_EXPOSURE


def test_it_starts_what_is_shipped_and_ends_in_time() -> None:
    text = UNIT.read_text()
    assert "ProcSubset=" not in text, "without /proc/stat there is no process_* metric, and no alert on it"
    (command,) = re.findall(r"(?m)^ExecStart=(.+)$", text)
    assert command.endswith("/.venv/bin/python -m gunicorn -c docker/gunicorn.conf.py wsgi:app")
    assert "\nType=notify\n" in text, "test_image.py sees the word that it waits for"
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > 8
    environment = dict(pair.split("=") for pair in re.search(r"(?m)^Environment=(.+)$", text)[1].split())
    folder = "/var/lib/" + re.search(r"StateDirectory=(.+)", text)[1]
    assert load([], environment, None).settings.state_dir == folder
