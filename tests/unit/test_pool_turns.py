"""When the pool begins a rotation: over slots that are stubs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hub.config import Settings
from hub.feed.connection import Connection
from hub.hub import PriceHub

NOW = 1e9  # long after any pause


class Slot(SimpleNamespace):
    """A connection as the pool's watchdog sees it."""

    def __init__(self, number: int, is_open: bool) -> None:
        products = (f"P{number}-USD",)
        super().__init__(id=f"conn_{number:03d}", products=products, is_open=is_open, given=frozenset(products))

    def age_seconds(self, now: float) -> float:  # noqa: ARG002
        return 10.0

    def catching_up(self, now: float) -> bool:  # noqa: ARG002
        return False

    def without_heartbeats_since(self) -> float:
        return NOW


@pytest.mark.parametrize(
    ("are_open", "rotated"),
    [((True, True, True), ["conn_000"]), ((True, True, False), ["conn_000"]), ((True, False, False), []),
     ((False, True, True), [])],
)  # fmt: skip
def test_one_socket_that_is_missing_keeps_no_other_from_being_replaced(
    monkeypatch: pytest.MonkeyPatch, are_open: tuple[bool, ...], rotated: list[str]
) -> None:
    pool = PriceHub(Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9")).pool
    pool._slots = cast("list[Connection]", [Slot(number, is_open) for number, is_open in enumerate(are_open)])
    pool._needed = len(are_open)
    found: list[str] = []
    monkeypatch.setattr(pool.transfers, "rotate", lambda slot, *_: found.append(slot.id))
    monkeypatch.setattr(pool, "_new_connection", lambda _: cast("Any", None))
    assert pool.rotate("conn_000")
    pool._transfer(NOW)
    assert found == rotated
