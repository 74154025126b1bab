"""A JSON schema from an example, and from notes on what the example can't say. Pure.

A note is found by the path of a field (``connections[].status``; of a map, ``prices.*.price``), or in the glossary by
the field's name. It is a description, or a piece of schema, in which these words are ours:
- ``null``: it may be null; ``optional``: it may be missing;
- ``map``: its keys are data, such as product ids, and all values are like the first;
- ``free``: an object of which nothing is promised.
A word that is None takes away what the glossary says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hub.web.interface.glossary import GLOSSARY

Note = str | Mapping[str, Any]
Notes = Mapping[str, Note]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
OURS = ("null", "optional", "map", "free")


def infer(example: Any, notes: Notes, path: str = "") -> dict[str, Any]:
    """Return the schema of everything that looks like ``example``; more fields may be added at any time."""
    note = _note(notes, path)
    schema = _shape({} if note.get("free") else example, notes, path, bool(note.get("map")))
    schema |= {name: value for name, value in note.items() if name not in OURS}
    schema = {name: value for name, value in schema.items() if value is not None}
    if note.get("null"):
        if "type" in schema:
            schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _note(notes: Notes, path: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    found: dict[str, Any] = {}
    for note in (GLOSSARY.get(name, {}), notes.get(path, {})):
        found |= {"description": note} if isinstance(note, str) else note
    return found


def _shape(example: Any, notes: Notes, path: str, is_map: bool) -> dict[str, Any]:
    match example:
        case None:
            return {}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            return {"type": "string", "format": "date-time"} if TIME.fullmatch(example) else {"type": "string"}
        case list():
            return {"type": "array", **({"items": infer(example[0], notes, f"{path}[]")} if example else {})}
        case dict() if is_map:
            values = list(example.values())
            more = {"additionalProperties": infer(values[0], notes, f"{path}.*")} if values else {}
            return {"type": "object", **more}
        case dict():
            inner = {name: f"{path}.{name}" if path else name for name in example}
            required = [name for name in example if not _note(notes, inner[name]).get("optional")]
            return {
                "type": "object",
                **({"properties": {name: infer(value, notes, inner[name]) for name, value in example.items()}}
                   if example else {}),
                **({"required": required} if required else {}),
            }
    raise TypeError(f"{path}: {type(example)} is no JSON")
