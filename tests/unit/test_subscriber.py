"""What a socket is subscribed to: asked for until it is so, or set aside; against a model of the exchange."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.feed.subscriber import ANSWER_SECONDS, ASIDE_SECONDS, MAX_ASKS, Request, Subscriber
from hub.model import Subscriptions

PRODUCTS = tuple(f"P{number}-USD" for number in range(20))


def ack(*product_ids: str) -> Subscriptions:
    held = frozenset(product_ids)
    return Subscriptions({"ticker": held, "heartbeat": held})


class ModelExchange:
    """Refuses a request for one bad product whole, and leaves out what it hides; ``names`` them or not."""

    def __init__(self, bad: Iterable[str] = (), hidden: Iterable[str] = (), names: bool = False) -> None:
        self.bad = set(bad)
        self.hidden = set(hidden)
        self.names = names
        self.held: set[str] = set()
        self.requests: list[Request] = []

    def answer(self, subscriber: Subscriber, request: Request, now: float) -> None:
        self.requests.append(request)
        found = sorted(self.bad.intersection(request.product_ids))
        if request.subscribe and found:
            reason = f"{found[0]} is not a valid product" if self.names else "Failed to subscribe"
            subscriber.refused(reason, now)
            return
        change = self.held.update if request.subscribe else self.held.difference_update
        change(set(request.product_ids) - self.hidden)
        subscriber.acknowledged(ack(*self.held), now)


def settle(subscriber: Subscriber, exchange: ModelExchange, now: float = 0.0) -> None:
    """Answer until nothing is asked any more."""
    for _ in range(1_000):
        request = subscriber.next_request(now)
        if request is None:
            return
        exchange.answer(subscriber, request, now)
    pytest.fail("it asks for ever")


def opened(*product_ids: str) -> Subscriber:
    subscriber = Subscriber()
    subscriber.opened()
    subscriber.want(product_ids)
    return subscriber


# -- the ordinary way ----------------------------------------------------------------------------------


def test_one_request_for_all_and_then_silence() -> None:
    subscriber = opened("A-USD", "B-USD")
    assert subscriber.next_request(0.0) == Request(True, ("A-USD", "B-USD"))
    assert subscriber.next_request(1.0) is None  # the answer is awaited
    subscriber.acknowledged(ack("B-USD", "A-USD"), 1.5)
    assert subscriber.next_request(2.0) is None
    assert subscriber.next_request(10_000.0) is None


def test_nothing_wanted_nothing_asked() -> None:
    assert opened().next_request(0.0) is None


def test_an_acknowledgement_that_nobody_waits_for_is_passed_over() -> None:
    subscriber = opened("A-USD")
    subscriber.acknowledged(ack(), 0.0)
    subscriber.refused("A-USD is not a valid product", 0.0)
    assert subscriber.aside == {}
    assert subscriber.next_request(0.0) == Request(True, ("A-USD",))
    subscriber.acknowledged(ack("A-USD"), 0.0)
    subscriber.acknowledged(ack(), 0.0)  # a second one
    assert subscriber.next_request(1.0) is None


def test_products_that_are_wanted_later_are_asked_for_alone() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD")
    settle(subscriber, exchange)
    subscriber.want(["A-USD", "B-USD", "C-USD"])
    settle(subscriber, exchange)
    assert exchange.requests == [Request(True, ("A-USD",)), Request(True, ("B-USD", "C-USD"))]


def test_products_that_are_not_wanted_any_more_are_given_back_first() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.want(["B-USD", "C-USD"])
    settle(subscriber, exchange)
    assert exchange.requests[1:] == [Request(False, ("A-USD",)), Request(True, ("C-USD",))]
    assert exchange.held == {"B-USD", "C-USD"}


def test_the_last_product_can_be_given_back_too() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD")
    settle(subscriber, exchange)
    subscriber.want([])
    settle(subscriber, exchange)
    assert exchange.held == set()


@given(st.lists(st.sets(st.sampled_from(PRODUCTS)), max_size=8), st.integers(1, 25))
def test_whatever_is_wanted_in_turn_the_last_is_held(wanted: list[set[str]], size: int) -> None:
    exchange, subscriber = ModelExchange(), opened()
    subscriber.request_size = size
    for one in wanted:
        subscriber.want(sorted(one))
        settle(subscriber, exchange)
        assert exchange.held == one
    assert all(1 <= len(request.product_ids) <= size for request in exchange.requests if request.subscribe)


def test_the_size_of_a_request_is_a_bound() -> None:
    exchange, subscriber = ModelExchange(), opened(*PRODUCTS)
    subscriber.request_size = 8
    settle(subscriber, exchange)
    assert [len(request.product_ids) for request in exchange.requests] == [8, 8, 4]
    assert exchange.held == set(PRODUCTS)


def test_a_new_socket_starts_over() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.opened()
    assert subscriber.next_request(0.0) == Request(True, ("A-USD", "B-USD"))
    subscriber.opened()  # while the answer is awaited
    assert subscriber.next_request(0.1) == Request(True, ("A-USD", "B-USD"))


def test_a_new_socket_forgets_half_a_bisection() -> None:
    subscriber = opened("A-USD", "B-USD")
    subscriber.next_request(0.0)
    subscriber.refused("Failed to subscribe", 0.0)
    subscriber.opened()
    assert subscriber.next_request(0.1) == Request(True, ("A-USD", "B-USD"))
    subscriber.acknowledged(ack("A-USD", "B-USD"), 0.2)
    assert subscriber.next_request(0.3) is None


# -- what an acknowledgement leaves out ----------------------------------------------------------------


def test_what_is_left_out_is_asked_for_again() -> None:
    subscriber = opened("A-USD", "B-USD", "C-USD")
    subscriber.next_request(0.0)
    subscriber.acknowledged(ack("A-USD", "C-USD"), 0.1)
    assert subscriber.next_request(0.2) == Request(True, ("B-USD",))
    subscriber.acknowledged(ack("A-USD", "B-USD", "C-USD"), 0.3)
    assert subscriber.next_request(0.4) is None
    assert subscriber.aside == {}


@pytest.mark.parametrize(
    "channels",
    [
        {},
        {"ticker": frozenset({"A-USD"})},
        {"ticker": frozenset({"A-USD"}), "heartbeat": frozenset()},
        {"ticker": frozenset({"A-USD"}), "heartbeat": frozenset({"B-USD"})},
    ],
)
def test_a_product_is_there_only_with_both_channels(channels: dict[str, frozenset[str]]) -> None:
    subscriber = opened("A-USD")
    subscriber.next_request(0.0)
    subscriber.acknowledged(Subscriptions(channels), 0.1)
    assert subscriber.next_request(0.2) == Request(True, ("A-USD",))


def test_what_is_left_out_again_and_again_is_set_aside() -> None:
    exchange, subscriber = ModelExchange(hidden=["B-USD"]), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    assert set(subscriber.aside) == {"B-USD"}
    assert subscriber.aside["B-USD"].reason == "left out"
    assert sum("B-USD" in request.product_ids for request in exchange.requests) == MAX_ASKS
    assert exchange.held == {"A-USD"}


def test_an_acknowledgement_says_which_wanted_products_it_leaves_out() -> None:
    subscriber = opened("A-USD", "B-USD", "C-USD")
    subscriber.next_request(0.0)
    subscriber.want(("A-USD", "B-USD"))
    assert subscriber.acknowledged(ack("A-USD"), 0.1) == ["B-USD"]
    assert subscriber.next_request(0.2) == Request(True, ("B-USD",))
    assert subscriber.acknowledged(ack("A-USD", "B-USD"), 0.3) == []
    assert subscriber.acknowledged(ack(), 0.4) == []  # nobody waits for it


@given(st.sets(st.sampled_from(PRODUCTS)), st.sets(st.sampled_from(PRODUCTS)), st.booleans(), st.integers(1, 25))
def test_exactly_the_bad_ones_are_set_aside(bad: set[str], hidden: set[str], names: bool, size: int) -> None:
    exchange, subscriber = ModelExchange(bad, hidden, names), opened(*PRODUCTS)
    subscriber.request_size = size
    settle(subscriber, exchange)
    assert set(subscriber.aside) == bad | hidden
    assert exchange.held == set(PRODUCTS) - bad - hidden
    # each bad one costs a request for itself and one at each level of the halving, at the most
    assert len(exchange.requests) <= 30 + 12 * len(bad) + 4 * len(hidden)


# -- a request that is refused whole -------------------------------------------------------------------


def test_the_product_that_the_refusal_names_is_set_aside_and_the_rest_asked_for_at_once() -> None:
    exchange, subscriber = ModelExchange(["C-USD"], names=True), opened("A-USD", "B-USD", "C-USD", "D-USD")
    settle(subscriber, exchange)
    assert [request.product_ids for request in exchange.requests] == [
        ("A-USD", "B-USD", "C-USD", "D-USD"), ("A-USD", "B-USD", "D-USD"),
    ]  # fmt: skip
    assert subscriber.aside["C-USD"].reason == "C-USD is not a valid product"


def test_a_refusal_without_a_name_is_halved() -> None:
    exchange, subscriber = ModelExchange(["C-USD"]), opened("A-USD", "B-USD", "C-USD", "D-USD")
    settle(subscriber, exchange)
    assert [request.product_ids for request in exchange.requests] == [
        ("A-USD", "B-USD", "C-USD", "D-USD"), ("A-USD", "B-USD"), ("C-USD", "D-USD"), ("C-USD",), ("D-USD",),
    ]  # fmt: skip
    assert set(subscriber.aside) == {"C-USD"}


def test_a_name_that_was_not_asked_for_is_no_help() -> None:
    subscriber = opened("A-USD", "B-USD")
    subscriber.next_request(0.0)
    subscriber.refused("Z-USD is not a valid product", 0.0)
    assert subscriber.aside == {}
    assert subscriber.next_request(0.0) == Request(True, ("A-USD",))


def test_an_error_to_an_unsubscribe_sets_nothing_aside() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.want(["A-USD"])
    assert subscriber.next_request(1.0) == Request(False, ("B-USD",))
    subscriber.refused("B-USD is not a valid product", 1.0)
    assert subscriber.aside == {}
    assert subscriber.next_request(1.0) is None


# -- set aside -----------------------------------------------------------------------------------------


def test_what_is_set_aside_is_asked_for_alone_and_ever_later() -> None:
    first, longest = ASIDE_SECONDS
    exchange, subscriber = ModelExchange(["B-USD"]), opened("A-USD", "B-USD", "C-USD")
    now, waits = 0.0, []
    settle(subscriber, exchange, now)
    for _ in range(8):
        until = subscriber.aside["B-USD"].until
        waits.append(until - now)
        asked = len(exchange.requests)
        settle(subscriber, exchange, until - 0.01)
        assert len(exchange.requests) == asked
        now = until
        settle(subscriber, exchange, now)
        assert exchange.requests[asked:] == [Request(True, ("B-USD",))]
    assert waits == pytest.approx([min(longest, first * 2**times) for times in range(8)])
    assert exchange.held == {"A-USD", "C-USD"}


def test_a_product_that_comes_back_is_taken_and_its_past_forgotten() -> None:
    exchange, subscriber = ModelExchange(["B-USD"], names=True), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    exchange.bad.clear()
    settle(subscriber, exchange, ASIDE_SECONDS[0])
    assert (exchange.held, subscriber.aside) == ({"A-USD", "B-USD"}, {})


def test_what_is_set_aside_outlives_its_socket() -> None:
    exchange, subscriber = ModelExchange(["B-USD"], names=True), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.opened()
    assert subscriber.next_request(1.0) == Request(True, ("A-USD",))


def test_a_bad_one_never_costs_a_good_one_its_place() -> None:
    exchange, subscriber = ModelExchange(["B-USD"]), opened("A-USD", "B-USD")
    for now in range(0, 5_000, 10):
        settle(subscriber, exchange, float(now))
        assert exchange.held == {"A-USD"}
    assert len(exchange.requests) < 20


# -- no answer at all ----------------------------------------------------------------------------------


def test_a_request_that_is_never_answered_is_sent_again() -> None:
    subscriber = opened("A-USD", "B-USD")
    subscriber.next_request(0.0)
    assert subscriber.next_request(ANSWER_SECONDS - 0.01) is None
    assert subscriber.next_request(ANSWER_SECONDS) == Request(True, ("A-USD", "B-USD"))
    subscriber.acknowledged(ack("A-USD", "B-USD"), ANSWER_SECONDS)
    assert subscriber.next_request(100.0) is None


def test_a_product_that_is_never_acknowledged_is_set_aside_in_the_end() -> None:
    subscriber = opened("A-USD")
    for asked in range(MAX_ASKS):
        assert subscriber.next_request(asked * ANSWER_SECONDS) == Request(True, ("A-USD",))
    assert subscriber.next_request(MAX_ASKS * ANSWER_SECONDS) is None
    assert subscriber.aside["A-USD"].reason == "never acknowledged"


# -- a product that is silent --------------------------------------------------------------------------


def test_to_refresh_is_to_give_back_and_ask_anew() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.refresh("B-USD")
    settle(subscriber, exchange)
    assert exchange.requests[1:] == [Request(False, ("B-USD",)), Request(True, ("B-USD",))]
    assert exchange.held == {"A-USD", "B-USD"}


def test_to_refresh_what_is_not_subscribed_does_nothing() -> None:
    subscriber = opened("A-USD")
    subscriber.refresh("B-USD")
    subscriber.refresh("A-USD")  # not asked for yet
    assert subscriber.next_request(0.0) == Request(True, ("A-USD",))
    subscriber.acknowledged(ack("A-USD"), 0.0)
    assert subscriber.next_request(1.0) is None


def test_a_product_that_is_moved_away_while_it_is_refreshed_is_given_back() -> None:
    exchange, subscriber = ModelExchange(), opened("A-USD", "B-USD")
    settle(subscriber, exchange)
    subscriber.refresh("B-USD")
    subscriber.want(["A-USD"])
    settle(subscriber, exchange)
    assert exchange.held == {"A-USD"}


def test_a_refresh_whose_unsubscribe_is_not_answered_sets_nothing_aside() -> None:
    subscriber = opened("A-USD")
    subscriber.next_request(0.0)
    subscriber.acknowledged(ack("A-USD"), 0.0)
    now = 1.0
    for _ in range(MAX_ASKS):
        subscriber.refresh("A-USD")
        assert subscriber.next_request(now) == Request(False, ("A-USD",))
        now += ANSWER_SECONDS
        assert subscriber.next_request(now) == Request(True, ("A-USD",))
        subscriber.acknowledged(ack("A-USD"), now)
        now += 1.0
    assert subscriber.aside == {}


STEPS = ["want", "refresh", "open", "answer", "wait"]


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.sets(st.sampled_from(PRODUCTS[:6]))), max_size=40),
    st.sets(st.sampled_from(PRODUCTS[:6])),
)
def test_after_anything_it_settles_on_what_is_wanted(steps: list[tuple[str, set[str]]], bad: set[str]) -> None:
    exchange, subscriber = ModelExchange(bad), opened()
    wanted: set[str] = set()
    now = 0.0
    for what, products in steps:
        if what == "want":
            wanted = products
            subscriber.want(sorted(products))
        elif what == "refresh":
            for product_id in products:
                subscriber.refresh(product_id)
        elif what == "open":
            exchange.held.clear()
            subscriber.opened()
        elif what == "wait":  # the exchange does not answer, and does nothing
            now += ANSWER_SECONDS
            subscriber.next_request(now)
        elif (request := subscriber.next_request(now)) is not None:
            exchange.answer(subscriber, request, now)
    exchange.held.clear()
    subscriber.opened()
    for _ in range(3):
        now += 2 * ASIDE_SECONDS[1]
        settle(subscriber, exchange, now)
    assert exchange.held == wanted - bad
    assert set(subscriber.aside) & wanted == bad & wanted


def test_what_was_set_aside_and_is_not_wanted_any_more_is_asked_for_at_once_when_it_is_again() -> None:
    subscriber = Subscriber()
    subscriber.want(["A-USD", "B-USD"])
    exchange = ModelExchange(bad=["B-USD"], names=True)
    while request := subscriber.next_request(0.0):
        exchange.answer(subscriber, request, 0.0)
    assert set(subscriber.aside) == {"B-USD"}
    subscriber.want(["A-USD"])
    assert subscriber.aside == {}
    exchange.bad.clear()
    subscriber.want(["A-USD", "B-USD"])
    assert subscriber.next_request(1.0) == Request(True, ("B-USD",))


# -- an answer of several messages ---------------------------------------------------------------------


def test_a_request_of_several_messages_of_which_one_answer_is_lost_is_not_asked_again() -> None:
    subscriber = opened("A-USD", "B-USD")
    assert subscriber.next_request(0.0) == Request(True, ("A-USD", "B-USD"))
    subscriber.sent(3, 1.0)
    assert subscriber.acknowledged(ack(), 1.1) == []
    assert subscriber.acknowledged(ack("A-USD", "B-USD"), 1.2) == []
    assert subscriber.next_request(1.0 + ANSWER_SECONDS - 0.1) is None  # it waits since it was sent
    assert subscriber.next_request(1.0 + ANSWER_SECONDS) is None
    assert subscriber.next_request(100.0) is None


def test_of_such_a_request_only_what_is_not_held_is_asked_again() -> None:
    subscriber = opened("A-USD", "B-USD")
    subscriber.next_request(0.0)
    subscriber.sent(3, 0.0)
    subscriber.acknowledged(ack("A-USD"), 1.0)
    assert subscriber.next_request(ANSWER_SECONDS) == Request(True, ("B-USD",))
