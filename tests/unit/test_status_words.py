"""What the status page says, for every state."""

import time

import pytest

from hub.hub import PriceHub
from hub.ledger import Gap
from hub.model import Cause
from hub.settings import Settings
from hub.web.status import Status, _sentence


@pytest.mark.parametrize(
    ("state", "trusted", "doubtful", "says"),
    [
        ("ok", 326, 0, "The hub is up, and all 326 prices can be trusted."),
        ("ok", 3000, 0, "The hub is up, and all 3,000 prices can be trusted."),
        ("ok", 1, 0, "The hub is up, and its one price can be trusted."),
        ("doubtful", 325, 1, "The hub is up, but only 325 of 326 prices can be trusted right now."),
        ("doubtful", 0, 5, "The hub is up, but no price can be trusted right now."),
        ("doubtful", 0, 0, "The hub is up, but no price can be trusted right now."),
        ("starting", 0, 0, "The hub is starting: no price can be trusted right now."),
        ("starting", 9, 1, "The hub is starting: 9 of 10 prices can be trusted right now."),
        ("down", 0, 60, "The live feed from the exchange is down; no price can be trusted right now."),
        ("down", 59, 1, "The live feed from the exchange is down; asked for one by one, 59 of 60 prices can be trusted "
                        "right now."),
    ],
)  # fmt: skip
def test_the_sentence(state: str, trusted: int, doubtful: int, says: str) -> None:
    assert _sentence(state, trusted, doubtful) == says


def test_a_full_ledger_is_counted_and_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = PriceHub(Settings(simulate=True))
    hub.ledger.open_connection("conn_000", Cause.DISCONNECT).opened_at = time.time() - 7
    for product in ("A-USD", "B-USD"):
        hub.ledger.open_ids(product, "conn_000", Cause.SEQUENCE, (8, 9))
    monkeypatch.setattr(Gap, "body", None)  # 10,000 of them are a fifth of a second, for anybody who asks
    status = Status(hub)
    assert status.body()["incidents_24h"] == {"connections_lost": 1, "pauses": 0, "gaps": 2, "gaps_open": 2}
    assert 6 < time.time() - status._down_since() < 9
