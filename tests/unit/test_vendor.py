"""What is vendored is what its README says, to the byte, and what the script would fetch again."""

from __future__ import annotations

import hashlib
import re

from tests.conftest import ROOT

VENDOR = ROOT / "static" / "vendor"
README = (VENDOR / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| `(?P<file>[^`]+)` \| [^|]+ \| (?P<version>[\d.]+) \| (?P<licence>\w+) "
    r"\| npm `(?P<package>[^`]+)`, `(?P<source>[^`]+)` \| `(?P<sum>[0-9a-f]{64})` \|$",
    re.M,
)
ROWS = [found.groupdict() for found in ROW.finditer(README)]


def test_every_file_is_listed_with_its_sum() -> None:
    files = {path.name for path in VENDOR.iterdir()} - {"README.md", "renew.sh"}
    assert {row["file"] for row in ROWS} == files
    for row in ROWS:
        assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sum"], row["file"]
        assert row["package"].endswith(f"@{row['version']}")


def test_the_script_fetches_what_is_listed() -> None:
    pinned = re.findall(r"^fetch (\S+) (\S+) (\S+) ([0-9a-f]{64})$", (VENDOR / "renew.sh").read_text(), re.M)
    assert pinned == [(row["package"], row["source"], row["file"], row["sum"]) for row in ROWS]


def test_every_library_has_its_licence_text() -> None:
    for name in {row["package"].partition("@")[0] for row in ROWS}:
        known_as = "uPlot" if name == "uplot" else name
        text = README.partition(f"## Licence of {known_as}\n")[2].partition("\n## ")[0]
        assert re.search(r"^> The MIT License \(MIT\)", text, re.M), name
        assert "Permission is hereby granted, free of charge" in text, name


def test_the_version_is_the_one_in_the_file() -> None:
    for row in ROWS:
        head = (VENDOR / row["file"]).read_text(encoding="utf-8")[:400]
        if row["file"].endswith(".js"):
            assert re.search(rf"v{re.escape(row['version'])}\b", head), row["file"]
