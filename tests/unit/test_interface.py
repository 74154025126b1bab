"""The two documents: valid, complete, and true to the examples of docs/protocol.md."""

from __future__ import annotations

import json
import re
import xml.dom.minidom
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub import PriceHub
from hub.settings import Settings
from hub.web.app import create_app
from hub.web.interface import asyncapi, openapi
from hub.web.interface.events import EVENTS
from hub.web.interface.page import events, pretty, routes
from hub.web.interface.protocol import examples
from hub.web.interface.routes import ROUTES
from hub.web.interface.schema import infer
from tests.conftest import ROOT, need

ASYNCAPI = ROOT / "tests/integration/js/node_modules/@asyncapi/specs/schemas/3.0.0.json"
NO_ROUTES = {"static"}


def problems(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value by a schema of the document."""
    whole = {**schema, "components": document["components"]}
    validator = Draft202012Validator(whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(PriceHub(Settings(simulate=True, allowed_hosts=("hub.example",))))[0]


# -- schemas from examples --------------------------------------------------------------------------


def test_a_schema_is_what_the_example_shows() -> None:
    found = infer({"a": 1, "b": 0.5, "c": ["x"], "d": True, "at": "2026-11-20T01:02:03.5Z", "e": None, "f": []}, {})
    assert found["required"] == ["a", "b", "c", "d", "at", "e", "f"]
    assert found["properties"] == {
        "a": {"type": "integer"}, "b": {"type": "number"}, "c": {"type": "array", "items": {"type": "string"}},
        "d": {"type": "boolean"}, "at": {"type": "string", "format": "date-time"}, "e": {}, "f": {"type": "array"},
    }  # fmt: skip
    assert "additionalProperties" not in found  # fields may be added


def test_notes_say_what_an_example_cannot() -> None:
    notes = {"a": {"null": True, "optional": True}, "b": {"map": True}, "b.*": {"null": True}, "c": {"free": True}}
    found = infer({"a": "x", "b": {"BTC-USD": 1.0}, "c": {"d": 1}, "open_gaps": 1}, notes)
    assert found["required"] == ["b", "c", "open_gaps"]
    assert found["properties"] == {
        "a": {"type": ["string", "null"]},
        "b": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "c": {"type": "object"},
        "open_gaps": {"type": "integer", "description": "Gaps that are not closed."},
    }


# -- OpenAPI ----------------------------------------------------------------------------------------


def test_the_routes_document_is_valid_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(openapi.document()).iter_errors()) == []


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_every_route_is_documented_and_nothing_else(app: Flask, prefix: str) -> None:
    served = set()
    for rule in app.url_map.iter_rules():
        ours = rule.rule.startswith("/api/") == bool(prefix)
        if rule.endpoint not in NO_ROUTES and ours:
            path = re.sub(r"<(\w+)>", r"{\1}", rule.rule.removeprefix(prefix))
            served |= {(path, method.lower()) for method in rule.methods or () if method not in ("HEAD", "OPTIONS")}
    documented = {(path, method) for path, methods in openapi.document()["paths"].items() for method in methods}
    assert served == documented


def test_every_example_of_a_route_is_used_and_fits_its_schema() -> None:
    document = openapi.document()
    described = {title: found[0] for title, found in examples().items() if "/" in title and found}
    assert set(described) == {route.title for route in ROUTES if route.answer}
    for route in ROUTES:
        if route.answer:
            schema = {"$ref": f"#/components/schemas/{route.answer}"}
            assert problems(document, schema, described[route.title]) == [], route.title
        if route.body is not None:
            assert problems(document, dict(route.body.schema), route.body.example) == [], route.title


def test_operations_have_names_of_their_own() -> None:
    names = [one["operationId"] for methods in openapi.document()["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names) == len(ROUTES)


def test_errors_are_documented_with_their_form() -> None:
    paths = openapi.document()["paths"]
    price = paths["/price/{product_id}"]["get"]["responses"]
    assert set(price) == {"200", "400", "401", "403", "404", "405", "429", "503"}
    assert set(price["503"]["content"]) == {"application/problem+json"}
    assert "401" not in paths["/status"]["get"]["responses"]
    drill = paths["/drills"]["post"]
    assert drill["security"] == [{"adminToken": []}]
    assert "Retry-After" in drill["responses"]["429"]["headers"]
    assert "429" not in paths["/health"]["get"]["responses"]  # who watches must not be told that it is busy
    assert {"400", "401", "403", "413", "429"} <= set(drill["responses"])


# -- AsyncAPI ---------------------------------------------------------------------------------------


def test_the_events_document_is_valid_asyncapi() -> None:
    need("npm", "the official schema of AsyncAPI")  # make test installs it
    schema = json.loads(ASYNCAPI.read_text())
    found = [f"{error.json_path}: {error.message[:200]}" for error in Draft7Validator(schema).iter_errors(
        json.loads(json.dumps(asyncapi.document()))
    )]  # fmt: skip
    assert found == []


def test_every_event_of_the_protocol_is_documented_and_nothing_else() -> None:
    assert {event.title for event in EVENTS} == {title for title in examples() if "/" not in title}


def test_every_example_of_an_event_fits_its_schema() -> None:
    document = asyncapi.document()
    for name, message in document["components"]["messages"].items():
        assert problems(document, message["payload"], message["examples"][0]["payload"]) == [], name


def test_every_reference_leads_somewhere() -> None:
    for document in (asyncapi.document(), openapi.document()):
        for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
            found: Any = document
            for word in reference.split("/"):
                found = found[word]
            assert found


# -- the page ---------------------------------------------------------------------------------------


def test_json_is_written_as_a_person_would() -> None:
    assert pretty({"a": [1, 2], "b": "é"}) == '{"a": [1, 2], "b": "é"}'
    long = {"name": "x" * 60, "list": [{"a": "y" * 60}, 2]}
    assert json.loads(pretty(long)) == long
    assert max(map(len, pretty(long).splitlines())) <= 84


def test_the_page_has_every_route_and_event() -> None:
    shown = [one for group in routes("http://host", with_token=False).values() for one in group]
    assert len(shown) == len(ROUTES)
    assert {one["id"] for one in events()} == {event.title for event in EVENTS}
    assert not {one["id"] for one in shown} & {event.title for event in EVENTS}  # anchors
    price = next(one for one in shown if one["path"] == "/price/{product_id}")
    assert price["curl"] == "curl http://host/price/BTC-USD"
    drill = next(one for one in shown if one["path"] == "/drills")
    assert '-H "Authorization: Bearer $ADMIN_TOKEN"' in drill["curl"]


def test_commands_carry_a_token_where_one_is_needed() -> None:
    shown = {one["path"]: one["curl"] for group in routes("http://host", with_token=True).values() for one in group}
    assert "$API_TOKEN" in shown["/health"]
    assert shown["/status"] == "curl -H 'Accept: application/json' http://host/status"  # else it is a page


@pytest.mark.parametrize("path", ["/docs", "/api/docs"])
def test_the_page_is_whole_html_without_a_script(app: Flask, path: str) -> None:
    text = app.test_client().get(path, headers={"Host": "hub.example:8443"}).text
    assert "http://hub.example:8443/health" in text
    assert "<script" not in text
    assert "style=" not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    xml.dom.minidom.parseString(re.sub(r"<(meta|link)([^>]*)>", r"<\1\2/>", text.replace("<!doctype html>", "")))


def test_a_host_that_is_a_trick_is_not_believed(app: Flask) -> None:
    for host in ("a'\"><script>x</script>", "a;reboot", "a$(reboot)"):
        text = app.test_client().get("/docs", headers={"Host": host}).text
        assert "<script" not in text
        assert "reboot" not in text
        assert "curl http://localhost/health" in text


@pytest.mark.parametrize("host", ["hub.example", "10.0.0.1:5000", "[::1]:5000"])
def test_commands_go_to_where_the_page_was_found(app: Flask, host: str) -> None:
    headers = {"Host": host, "X-Forwarded-Proto": "https"}
    assert f"curl https://{host}/health" in app.test_client().get("/docs", headers=headers).text
