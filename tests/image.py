"""What the Dockerfile copies, without an engine: the image's folder on this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.conftest import ROOT


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of a word and what follows it."""
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def sources() -> list[tuple[str, str]]:
    """What is copied from the project, and where to below /app."""
    copied = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [(source, words[-1]) for words in copied for source in words[:-1] if not words[-1].startswith("/")]


def make(folder: Path) -> None:
    """Lay out /app."""
    for source, target in sources():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder / target)
