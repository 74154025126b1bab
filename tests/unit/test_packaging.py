"""What is shipped fits together: README, Makefile, container files and the settings' example."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from hub.config import load
from hub.settings import Settings
from tests.audit import verdict

ROOT = Path(__file__).parents[2]
SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)}


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "target", ["demo", "test", "setup", "run", "check", "lint", "audit", "bench", "lock", "help", "clean"]
)
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
    (tmp_path / "requirements.lock").touch()
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
        "MONITORING_CRYPTOS", "TOP_USD_PAIRS", "FEED", "FRONTEND_URL", "WS_DIALECT", "TRUSTED_PROXIES",
        "PRIORITY_PAIRS",
    }  # fmt: skip
    shown = load([], {name: value for name, value in named.items() if name not in examples}, None).settings
    assert shown == Settings()


def test_every_requirement_is_pinned_and_installed_as_it_is_pinned() -> None:
    lines = (read("requirements.txt") + read("requirements-dev.txt")).splitlines()
    wanted = [line.split("#")[0].strip() for line in lines]
    pins = [line for line in wanted if line and line != "-r requirements.txt"]
    assert len(pins) > 20
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", pin), pin
        name, _, version = pin.partition("==")
        assert metadata.version(name) == version


def locked(path: str) -> dict[str, tuple[str, list[str]]]:
    """What a lock file installs: name → (version, hashes); it holds no address, and no package without a hash."""
    first, *packages = re.split(r"\n(?=[a-z])", read(path).rstrip("\n"))
    assert re.fullmatch(r"(#.*\n)+--only-binary :all:\n", first), "a build would run tools that have no hash here"
    found = {}
    for package in packages:
        named, hashes = r"([a-z0-9-]+)==([0-9a-z.]+)( ; [^\\\n]+)?", r"((?: \\\n    --hash=sha256:[0-9a-f]{64})+)"
        told = re.fullmatch(named + hashes, package)
        assert told is not None, package
        assert told[1] not in found, told[1]
        found[told[1]] = told[2], re.findall("[0-9a-f]{64}", told[4])
    return found


def plain(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()


def test_every_package_that_is_installed_has_its_hashes() -> None:
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert run.items() <= dev.items(), "tests run on what is shipped"
    for path, lock in (("requirements.txt", run), ("requirements-dev.txt", dev)):
        for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==([0-9A-Za-z.]+)", read(path)):
            assert lock[plain(name)][0] == version, f"{name}: make lock"
    here = {plain(found.metadata["Name"]): found.version for found in metadata.distributions()}
    for name in ("pip", "setuptools"):  # the venv's own
        here.pop(name, None)
    assert {name: version for name, version in here.items() if dev.get(name, ("",))[0] != version} == {}


def test_nothing_is_installed_but_by_the_locks() -> None:
    told = {path: read(path) for path in ("Makefile", "docker/Dockerfile", "docs/operations.md", ".ci/run")}
    installs = [line for text in told.values() for line in text.splitlines()
                if re.search(r"(pip|\$\(PIP\)).* -r ", line)]  # fmt: skip
    assert len(installs) == 4
    for line in installs:
        assert re.search(r"--require-hashes -r \S*requirements(-dev)?\.lock", line), line


def test_the_audit_does_not_take_silence_for_an_answer() -> None:
    good: dict = {"name": "a", "version": "1", "vulns": []}
    bad: dict = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    unknown: dict = {"name": "c", "skip_reason": "not found"}
    assert verdict({"dependencies": [good]}) == (0, ["1 of 1 packages were looked up, 0 vulnerabilities are known"])
    status, lines = verdict({"dependencies": [good, bad, unknown]})
    assert (status, lines[0]) == (1, "b 2: CVE-1, fixed in 3")
    status, lines = verdict({"dependencies": [good, unknown]})
    assert status == 2
    assert "NOT looked up, so nothing is known of them: c" in lines
    assert verdict({"dependencies": []})[0] == 2


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="this is no checkout")
def test_nothing_that_git_ignores_is_kept_in_git() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


def test_no_sql_is_put_together() -> None:
    """Each statement is a constant: what comes from outside can only be a parameter."""
    found = 0
    for path in (ROOT / "hub").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not re.fullmatch(r"(self\._)?db\.execute\w*", ast.unparse(node.func)):
                continue
            found += 1
            statement = node.args[0]
            constant = isinstance(statement, ast.Name) and statement.id.isupper()
            assert constant or isinstance(statement, ast.Constant), f"{path.name}:{node.lineno}"
    assert found > 10
