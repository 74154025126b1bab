"""What ``--help`` prints, and what is said of options that do not exist."""

import dataclasses
import os
import re
import subprocess
import sys

import pytest

from hub import __version__, usage
from hub.config import load
from hub.settings import Settings
from tests.conftest import ROOT

FLAGS = [usage.flag(item) for item in dataclasses.fields(Settings)]


@pytest.mark.parametrize("columns", [20, 60, 80, 120, 400])
def test_every_option_is_there_once_and_every_line_fits(columns: int) -> None:
    text = usage.help_text(columns)
    assert re.findall(r"^  (--[a-z0-9-]+) (?!\[WORD)", text, re.M)[:3] == ["--version", "--check-config", "--doctor"]
    assert re.findall(r"^  (--[a-z0-9-]+) ", text, re.M)[3:] == FLAGS
    assert max(map(len, text.splitlines())) <= max(usage.NARROWEST, min(columns, usage.WIDEST))
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_defaults_are_shown_as_people_write_them() -> None:
    text = usage.help_text(usage.WIDEST)
    rows = {row.split()[0]: " ".join(row.split()) for row in re.split(r"\n  (?=-)|\n\n", text) if row.startswith("--")}
    assert rows["--catalogue-refresh-seconds"].endswith("for what changed [300]")
    assert rows["--volume-threshold"].endswith("[1.5]")
    assert rows["--client-buffer-bytes"].endswith("[262144]")
    assert rows["--simulate"].startswith("--simulate [yes|no] ")
    assert rows["--simulate"].endswith("[no]")
    assert rows["--ws-url"].endswith("[wss://ws-feed.exchange.coinbase.com]")
    for unset in ("--top-usd-pairs", "--api-tokens", "--feed", "--volume-cooldown-seconds"):
        assert "[" not in rows[unset]
    assert "None" not in text


def test_of_a_word_only_what_has_to_do_with_it() -> None:
    text = usage.help_text(80, "Token")
    found = re.findall(r"^  (--[a-z-]+)", text, re.M)
    assert {"--api-tokens", "--admin-token"} <= set(found) < set(FLAGS)
    assert "--port" not in found
    assert text.startswith("Who may do what\n")
    assert "--simulate-rate N" in usage.help_text(80, "simulated prices")
    assert "--top-usd-pairs N" in usage.help_text(80, "TOP_USD_PAIRS")
    assert usage.help_text(80, "zebra") == "No option has to do with 'zebra'; --help lists all."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prot", "5000"], "there is no '--prot'; did you mean --port?"),
        (["--por=5000"], "there is no '--por'; did you mean --port?"),
        (["PORT=5000"], "there is no 'PORT'; did you mean --port?"),
        (["--top_usd_pairs", "5"], "there is no '--top_usd_pairs'; did you mean --top-usd-pairs?"),
        (["--admin-tokn", "canary"], "there is no '--admin-tokn'; did you mean --admin-token?"),
        (["--admin-tokn=canary"], "there is no '--admin-tokn'; did you mean --admin-token?"),
        (["--check"], "there is no '--check'; did you mean --check-config?"),
        (["--no-such-flag-at-all"], "there is no '--no-such-flag-at-all'"),
        (["5000"], "there is no '5000'"),
        (["--port"], "argument --port: expected one argument"),
    ],
)
def test_what_does_not_exist_ends_with_2_and_names_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        load(arguments, {}, None)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.err == f"{said}\nSee app.py --help.\n"
    assert shown.out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--help", "token"], ["--port", "5", "-h", "--nonsense"]])
def test_help_ends_with_0(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(arguments, {}, None)
    assert caught.value.code == 0
    assert "--admin-token TOKEN" in capsys.readouterr().out


def test_the_version_and_the_width_of_the_terminal() -> None:
    def run(*arguments: str, **environment: str) -> str:
        return subprocess.run(
            [sys.executable, ROOT / "app.py", *arguments], env={**os.environ, **environment}, capture_output=True,
            text=True, timeout=20, check=True,
        ).stdout  # fmt: skip

    assert run("--version") == f"Price Hub {__version__}\n"
    assert run("--help", COLUMNS="90").rstrip("\n") == usage.help_text(90)
