"""What a row of the table of routes is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.web.interface.schema import Notes

JSON = "application/json"
TEXT = {"type": "string"}


class Query(NamedTuple):
    """A parameter of the query."""

    name: str
    description: str
    schema: Mapping[str, Any]
    required: bool = False


class Body(NamedTuple):
    """The body of a request, and why it may be refused with a 400."""

    schema: Mapping[str, Any]
    example: Any
    refused: str
    most_bytes: int = 65_536


@dataclass(frozen=True)
class Route:
    """One route. ``title`` is its heading in ``docs/protocol.md``, whose example is that of the answer.

    ``answer`` names the schema; ``notes`` tell what the example can't (see ``schema``). ``also``: other statuses of its
    own → when, in words; those in ``same`` have the same body, the others an error's.
    """

    title: str
    tag: str
    summary: str
    answer: str = ""
    text: str = ""
    queries: tuple[Query, ...] = ()
    body: Body | None = None
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict)
    same: tuple[int, ...] = ()
    notes: Notes = field(default_factory=dict)
    media: tuple[str, ...] = (JSON,)
    public: bool = False  # whether it needs no API token
    limited: bool = True  # whether there may be too many requests for it
    admin: bool = False  # whether it needs the admin token

    @property
    def method(self) -> str:
        return self.title.split()[0].lower()

    @property
    def path(self) -> str:
        """The path, with names for what varies."""
        path = self.title.split()[1].partition("?")[0]
        return path.replace("BTC-USD", "{product_id}").replace("conn_000", "{connection_id}")
