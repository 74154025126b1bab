"""What the simulated exchange understands, refuses and limits."""

import json
import random

import pytest

from hub.simulator.limits import CONNECT_BURST, CONNECTS_PER_SECOND, RateLimit
from hub.simulator.protocol import Request, RequestRefused, ack_frame, parse_request

PRODUCTS = frozenset({"BTC-USD", "ETH-USD", "SOL-USD"})


def parse(**body: object) -> Request:
    return parse_request(json.dumps(body), PRODUCTS)


def test_both_forms_of_a_channel() -> None:
    channels = ["ticker", "heartbeat", {"name": "matches", "product_ids": ["ETH-USD"]}]
    request = parse(type="subscribe", product_ids=["BTC-USD"], channels=channels)
    assert request == Request(True, {"ticker": ("BTC-USD",), "heartbeat": ("BTC-USD",), "matches": ("ETH-USD",)})


def test_a_channel_is_left_as_a_whole_without_products() -> None:
    assert parse(type="unsubscribe", channels=["ticker"]) == Request(False, {"ticker": ()})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"product_ids": ["BTC-USD", "NO-USD"], "channels": ["ticker"]}, "NO-USD is not a valid product"),
        ({"product_ids": ["BTC-USD"]}, "No channels provided"),
        ({"product_ids": ["BTC-USD"], "channels": []}, "No channels provided"),
        ({"channels": ["heartbeat"]}, "You need to specify at least one product ID for channel heartbeat"),
        ({"product_ids": ["BTC-USD"], "channels": ["tickers"]}, "tickers is not a valid channel"),
        ({"product_ids": "BTC-USD", "channels": ["ticker"]}, "product_ids has to be a list of texts"),
        ({"product_ids": ["BTC-USD"], "channels": [7]}, "Channel has no name"),
    ],
)
def test_refusals_name_the_reason(body: dict, reason: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse(type="subscribe", **body)
    assert json.loads(caught.value.frame) == {"type": "error", "message": "Failed to subscribe", "reason": reason}


@pytest.mark.parametrize("message", ["", "{", "[]", "7", '{"type":"dance"}', b"\xff"])
def test_what_is_no_request_is_refused(message: str | bytes) -> None:
    with pytest.raises(RequestRefused):
        parse_request(message, PRODUCTS)


def test_the_ack_lists_everything_in_shuffled_order() -> None:
    ids = {f"P{number}-USD" for number in range(50)}
    row = json.loads(ack_frame({"ticker": ids}, random.Random(1)))["channels"][0]
    assert (row["name"], row["account_ids"]) == ("ticker", None)
    assert set(row["product_ids"]) == ids
    assert row["product_ids"] != sorted(ids)
    assert json.loads(ack_frame({}, random.Random(1))) == {"type": "subscriptions", "channels": []}


def test_connects_are_limited_to_the_burst_and_then_the_rate() -> None:
    limit = RateLimit(CONNECTS_PER_SECOND, CONNECT_BURST)
    assert sum(limit.allow("a", 0.0) for _ in range(50)) == 20
    assert limit.allow("b", 0.0)  # each address has its own
    assert sum(limit.allow("a", 1.0) for _ in range(50)) == 8
    assert sum(limit.allow("a", 1_000.0) for _ in range(50)) == 20


def test_a_steady_eight_a_second_is_never_refused() -> None:
    limit = RateLimit(CONNECTS_PER_SECOND, CONNECT_BURST)
    assert all(limit.allow("a", number * 0.125) for number in range(1_000))
