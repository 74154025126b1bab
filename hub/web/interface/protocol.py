"""The examples of ``docs/protocol.md``: heading → the JSON that stands under it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


@functools.cache
def examples() -> dict[str, list[Any]]:
    """Return, for each route or event by its heading, the examples in their order: of a request also its answer."""
    sections = re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", PATH.read_text("utf-8"), re.M | re.S)
    return {title: [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S)]
            for title, text in sections}  # fmt: skip
