"""What is shipped fits together: README, Makefile, container files and the settings' example."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hub.config import load
from hub.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)}


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["demo", "test", "setup", "run", "check", "lint", "bench", "help", "clean"])
def test_makefile_has_each_target_and_help_lists_it(target: str) -> None:
    assert re.search(rf"(?m)^{target}:.* ## .+", read("Makefile"))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"(?m)^  make {target} ", listed)


def test_make_alone_is_help() -> None:
    # under `make test` the inner make would speak of directories
    result = subprocess.run(
        ["make", "-n", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("awk")


def test_an_older_python_is_named_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    (tmp_path / "Makefile").write_text(read("Makefile"))
    (tmp_path / "requirements.txt").touch()
    ran = subprocess.run(["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "Python 3.11 or newer is needed" in ran.stderr.splitlines()[0]
    assert "Python 3.9.2" in ran.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_readme_names_the_two_commands_and_ci_runs_the_same() -> None:
    readme = read("README.md")
    assert "make demo" in readme
    assert "make test" in readme
    assert read(".ci/run").rstrip().endswith("make test")
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_javascript_client_is_pinned_without_a_lock_file() -> None:
    package = json.loads(read("tests/integration/js/package.json"))
    assert re.fullmatch(r"4\.8\.\d+", package["dependencies"]["socket.io-client"])
    assert not (ROOT / "tests/integration/js/package-lock.json").exists()


def test_env_example_names_only_settings_that_exist_and_changes_none() -> None:
    lines = [line for line in read(".env.example").splitlines() if line]
    assert all(line.startswith("#") for line in lines)
    named = dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", read(".env.example")))
    assert set(named) <= SETTINGS
    must_show = {"HOST", "PORT", "MONITORING_CRYPTOS", "TOP_USD_PAIRS", "QUOTE_CURRENCY", "WS_URL", "API_TOKENS"}
    assert must_show <= set(named)
    load([], named, None)  # and what it shows is right
    examples = {  # what is shown is no default
        "MONITORING_CRYPTOS", "TOP_USD_PAIRS", "FEED", "FRONTEND_URL", "WS_DIALECT", "TRUSTED_PROXIES"
    }  # fmt: skip
    shown = load([], {name: value for name, value in named.items() if name not in examples}, None).settings
    assert shown == Settings()


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="this is no checkout")
def test_nothing_that_git_ignores_is_kept_in_git() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""
