"""The rules of trust, and which outranks which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Product, Trust
from hub.trust import BEHIND_SECONDS, Evidence, by_catalogue, judge

NOW = 10_000.0
STALE_AFTER = 5.0


def seen(
    trade: float | None, verified: float | None, ahead: float | None = None, doubted: bool = False
) -> Evidence:  # fmt: skip
    """Return evidence of these ages in seconds."""

    def at(age: float | None) -> float | None:
        return None if age is None else NOW - age

    return Evidence(at(trade), at(verified), at(ahead), doubted, STALE_AFTER)


def test_a_heartbeat_may_overtake_its_ticker_by_a_second() -> None:
    assert BEHIND_SECONDS == 1.0


@pytest.mark.parametrize(
    ("evidence", "trust"),
    [
        # no price yet, whatever else there is
        (seen(None, None), "starting"),
        (seen(None, 0.0), "starting"),
        (seen(None, None, ahead=60.0, doubted=True), "starting"),
        # a trade of now
        (seen(0.0, 0.0), "live"),
        (seen(STALE_AFTER, 0.0), "live"),
        (seen(STALE_AFTER, STALE_AFTER), "live"),
        # no trade for longer, and the proof that there was none
        (seen(STALE_AFTER + 0.1, 0.0), "quiet"),
        (seen(86_400.0, STALE_AFTER), "quiet"),
        # a heartbeat names a later trade
        (seen(0.5, 0.5, ahead=0.0), "live"),
        (seen(0.5, 0.5, ahead=0.99), "live"),
        (seen(1.5, 1.5, ahead=1.0), "behind"),
        (seen(3.0, 3.0, ahead=2.9), "behind"),
        (seen(60.0, 2.0, ahead=0.99), "quiet"),
        (seen(60.0, 2.0, ahead=1.0), "behind"),
        # the connection was lost
        (seen(0.0, 0.0, doubted=True), "behind"),
        (seen(60.0, 1.0, doubted=True), "behind"),
        (seen(0.5, 0.5, ahead=2.0, doubted=True), "behind"),
        # nothing proves anything: it outranks all of these
        (seen(STALE_AFTER + 0.1, STALE_AFTER + 0.1), "stale"),
        (seen(0.0, STALE_AFTER + 0.1), "stale"),
        (seen(60.0, 60.0, ahead=59.0), "stale"),
        (seen(60.0, 60.0, doubted=True), "stale"),
        (seen(60.0, 60.0, ahead=59.0, doubted=True), "stale"),
    ],
)
def test_the_table(evidence: Evidence, trust: str) -> None:
    found, reason = judge(NOW, evidence)
    assert found.value == trust
    assert reason


ages = st.none() | st.floats(0, 100)


@given(ages, ages, ages, st.booleans())
def test_the_order_of_precedence(
    trade: float | None, verified: float | None, ahead: float | None, doubted: bool
) -> None:  # fmt: skip
    found, _ = judge(NOW, seen(trade, verified, ahead, doubted))
    if trade is None or verified is None:
        assert found is Trust.STARTING
    elif NOW - (NOW - verified) > STALE_AFTER:
        assert found is Trust.STALE
    elif doubted or (ahead is not None and NOW - (NOW - ahead) >= BEHIND_SECONDS):
        assert found is Trust.BEHIND
    else:
        assert found is (Trust.QUIET if NOW - (NOW - trade) > STALE_AFTER else Trust.LIVE)


@given(ages, ages, st.booleans(), st.floats(0, 100))
def test_a_price_never_gets_better_by_waiting(
    trade: float | None, ahead: float | None, doubted: bool, later: float
) -> None:
    rank = [Trust.LIVE, Trust.QUIET, Trust.BEHIND, Trust.STALE]
    evidence = seen(trade, trade, ahead, doubted)
    before, _ = judge(NOW, evidence)
    after, _ = judge(NOW + later, evidence)
    if before is not Trust.STARTING:
        assert rank.index(after) >= rank.index(before)


def test_evidence_that_comes_from_a_moment_later_is_no_error() -> None:
    found, _ = judge(NOW, seen(-0.01, -0.01))  # another thread took it in after the clock was read
    assert found is Trust.LIVE


# -- what the exchange's product list says ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "disabled", "trust", "reason"),
    [
        ("offline", False, "halted", "the exchange says status=offline"),
        ("internal", True, "halted", "the exchange says status=internal"),
        ("", False, "halted", "the exchange says status="),
        ("Online", False, "halted", "the exchange says status=Online"),
        ("online", True, "halted", "the exchange says trading_disabled=true"),
        ("delisted", False, "delisted", "the exchange says status=delisted"),
        ("delisted", True, "delisted", "the exchange says status=delisted"),
        (None, False, "delisted", "the exchange does not list it any more"),
    ],
)
def test_what_is_not_online_is_halted_or_delisted(status: str | None, disabled: bool, trust: str, reason: str) -> None:
    product = Product("BTC-USD", "BTC", "USD", status=status, trading_disabled=disabled)
    assert by_catalogue(product) == (trust, reason)
    assert not product.online
    assert product.delisted == (trust == "delisted")


def test_nothing_is_said_against_what_is_online() -> None:
    assert by_catalogue(Product("BTC-USD", "BTC", "USD")) is None


@given(ages, ages, ages, st.booleans(), st.sampled_from([Trust.HALTED, Trust.DELISTED]))
def test_the_exchange_s_word_outranks_all_evidence(
    trade: float | None, verified: float | None, ahead: float | None, doubted: bool, word: Trust
) -> None:
    evidence = seen(trade, verified, ahead, doubted)._replace(catalogue=(word, "the exchange says so"))
    assert judge(NOW, evidence) == (word, "the exchange says so")
