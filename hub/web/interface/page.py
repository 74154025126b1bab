"""What ``/docs`` shows, taken from the two documents alone: what they don't say is not on the page."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from hub.web.interface import asyncapi, openapi

WIDTH = 84  # of a line of JSON
Schema = Mapping[str, Any]


def pretty(value: Any, indent: str = "") -> str:
    """Return JSON as a person writes it: what is short stands on one line."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(short) <= WIDTH:
        return short
    deeper = indent + "  "
    if isinstance(value, list):
        parts = [pretty(item, deeper) for item in value]
    else:
        parts = [f"{json.dumps(name)}: {pretty(item, deeper)}" for name, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    lines = ",\n".join(deeper + part for part in parts)
    return f"{opening}\n{lines}\n{indent}{closing}"


def routes(base_url: str, with_token: bool) -> dict[str, list[dict[str, Any]]]:
    """Return tag → its routes; commands go to ``base_url``, with a token where that is needed."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    document = openapi.document()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (tag,) = operation["tags"]
            found[tag].append(_route(document, path, method.upper(), operation, base_url, with_token))
    return dict(found)


def _route(
    document: Schema, path: str, method: str, operation: Schema, base_url: str, with_token: bool
) -> dict[str, Any]:  # fmt: skip
    status, answer = next((code, item) for code, item in operation["responses"].items() if code.startswith("2"))
    media, content = next(iter(answer["content"].items()))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    admin = operation.get("security") == [{"adminToken": []}]
    token = "$ADMIN_TOKEN" if admin else "$API_TOKEN" if with_token and operation.get("security") != [] else None
    parameters = operation.get("parameters", [])
    return {
        "id": operation["operationId"], "method": method, "path": path, "summary": operation["summary"],
        "text": operation["description"] if operation["description"] != operation["summary"] else "",
        "admin": admin,
        "parameters": [
            {"name": item["name"], "type": _type(item["schema"]), "required": item["required"],
             "text": item["description"], "default": item["schema"].get("default")}
            for item in parameters
        ],
        "body": list(_fields(document, operation["requestBody"]["content"]["application/json"]["schema"]))
        if body is not None else [],
        "curl": _curl(method, base_url + _example_path(path, parameters), body, token, len(answer["content"]) > 1),
        "status": status, "media": media,
        "answer": pretty(content["example"]) if "example" in content else None,
        "fields": list(_fields(document, content["schema"])),
        "statuses": [
            {"code": code, "name": HTTPStatus(int(code)).phrase, "text": item["description"]}
            for code, item in operation["responses"].items() if code != status
        ],
    }  # fmt: skip


def _example_path(path: str, parameters: list[Schema]) -> str:
    query = []
    for item in parameters:
        if item["in"] == "path":
            path = path.replace(f"{{{item['name']}}}", item["example"])
        elif item["required"]:
            query.append(f"{item['name']}={item['schema']['examples'][0]}")
    return path + ("?" + "&".join(query) if query else "")


def _curl(method: str, url: str, body: Any, token: str | None, several: bool) -> str:
    parts = ["curl"]
    if method != "GET":
        parts.append(f"-X {method}")
    if token is not None:
        parts.append(f'-H "Authorization: Bearer {token}"')
    if body is not None:
        parts.append(f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}")
    elif several:
        parts.append("-H 'Accept: application/json'")
    return " ".join([*parts, shlex.quote(url)])


def events() -> list[dict[str, Any]]:
    """Return the events, each with its acknowledgement where there is one."""
    document = asyncapi.document()
    messages = document["components"]["messages"]
    ways: defaultdict[str, set[str]] = defaultdict(set)
    for operation in document["operations"].values():
        name = operation["messages"][0]["$ref"].rpartition("/")[2]
        ways[name].add(operation["action"])
    return [
        {
            "id": name, "summary": messages[name]["summary"], "ways": sorted(found, reverse=True),
            "example": pretty(messages[name]["examples"][0]["payload"]),
            "fields": list(_fields(document, messages[name]["payload"])),
            "answer": pretty(messages[f"{name}_ack"]["examples"][0]["payload"]) if f"{name}_ack" in messages else None,
        }
        for name, found in ways.items()
    ]  # fmt: skip


def _fields(document: Schema, schema: Schema, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield every field of a schema: its path, its type and its meaning in words."""
    if "$ref" in schema:
        target = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        yield from _fields(document, target, path)
        return
    required = schema.get("required", [])
    for name, inner in schema.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        yield {"path": where, "type": _type(inner), "text": inner.get("description", ""),
               "optional": name not in required}  # fmt: skip
        yield from _fields(document, inner, where)
    if schema.get("items", {}).get("properties") or "$ref" in schema.get("items", {}):
        yield from _fields(document, schema["items"], f"{path}[]")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        yield from _fields(document, more, f"{path}.*" if path else "*")


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join("null" if word is None else str(word) for word in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kinds = schema.get("type", "any")
    text = " or ".join(kinds if isinstance(kinds, list) else [kinds])
    if schema.get("format") == "date-time":
        text = text.replace("string", "time")
    if "array" in text and (inner := schema.get("items")):
        text = text.replace("array", f"array of {_type(inner)}" if "$ref" not in inner else "array")
    return text
