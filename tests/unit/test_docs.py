"""Documents that are checked: settings against their table and .env.example, what the README promises."""

from __future__ import annotations

import dataclasses
import re

from hub.settings import Settings
from tests.conftest import ROOT

SETTINGS = [item.name.upper() for item in dataclasses.fields(Settings)]


def test_the_settings_table_names_every_setting_with_its_default() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", text, re.M)
    assert [name for name, _ in rows] == SETTINGS
    words = {"unset", "one window", "same origin only", "the exchange's", "by the host", "false", "Advanced Trade's"}
    for item, (_, shown) in zip(dataclasses.fields(Settings), rows, strict=True):
        if shown.strip() in words:
            assert not item.default or str(item.default).startswith(("wss://", "https://"))
        elif isinstance(item.default, int | float):
            assert float(shown) == item.default
        elif isinstance(item.default, tuple):
            assert shown.strip() == ",".join(item.default)
        else:
            assert shown.strip() == item.default


def test_env_example_names_known_settings_with_a_comment_each() -> None:
    text = (ROOT / ".env.example").read_text()
    named = re.findall(r"^#([A-Z_]+)=", text, re.M)
    assert set(named) <= set(SETTINGS)
    assert not re.search(r"^[A-Z_]+=", text, re.M)  # a copy changes nothing until something is uncommented


def test_the_documents_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
