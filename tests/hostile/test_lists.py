"""An exchange whose lists are huge: the last good one stays, and neither prices nor memory notice."""

from __future__ import annotations

import json
from collections.abc import Callable

from hub.model import MAX_PRODUCTS
from hub.simulator.launch import launch
from tests.conftest import HubProcess, eventually
from tests.support.attack import under_attack
from tests.support.rest_in_front import RestInFront

PRODUCT = {
    "base_currency": "BTC", "quote_currency": "USD", "quote_increment": "0.01", "base_increment": "0.00000001",
    "display_name": "BTC/USD", "min_market_funds": "1", "margin_enabled": False, "post_only": False,
    "limit_only": False, "cancel_only": False, "status": "online", "status_message": "", "trading_disabled": False,
    "fx_stablecoin": False, "max_slippage_percentage": "0.02", "auction_mode": False,
}  # fmt: skip


def products(count: int) -> bytes:
    """Return a well-formed list of so many."""
    rows = [{"id": f"A{number}-USD", **PRODUCT} for number in range(count)]
    return json.dumps(rows, separators=(",", ":")).encode()


LISTS = {
    "brackets": b"[" + b"[]," * 2_500_000 + b"[]]",
    "values": b"[" + b"0," * 3_900_000 + b"0]",
    "short products": b"[" + b'{"id":"A-USD"},' * 500_000 + b"{}]",
    "well-formed": products(17_000),
    "16 MB": b"[" + b" " * 16_000_000 + b"]",
    "one more than taken": products(MAX_PRODUCTS + 1),
}


def test_huge_lists_disturb_nobody(hub_factory: Callable[..., HubProcess]) -> None:
    with (
        launch(["--rate", "1500"]) as simulator,
        RestInFront(simulator.rest_url) as rest,
        under_attack(
            hub_factory, simulator=["--products", "1", "--rate", "1"], WS_URL=simulator.ws_url, REST_URL=rest.url,
            CATALOGUE_REFRESH_SECONDS="1", API_TOKENS="a-token-for-the-tests",
        ) as target,
    ):  # fmt: skip
        for name, body in LISTS.items():
            rest.answers["/products"], before = body, rest.asked["/products"]
            with target.attack():
                eventually(lambda before=before: rest.asked["/products"] > before + 1, 20)
            assert target.get("/health")["total_products"] == 326, name
            assert "no product list from the exchange" in target.hub.log(), name
            del rest.answers["/products"]  # a good one ends the growing wait between two tries
            before = rest.asked["/products"]
            eventually(lambda before=before: rest.asked["/products"] > before, 20)
        assert target.get("/health")["coverage_percentage"] == 100
