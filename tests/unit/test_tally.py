from hub.feed.tally import Tally, Totals


def test_a_successor_goes_on_counting() -> None:
    old, new = Tally(0.0), Tally(10.0)
    old.messages, old.errors, old.last_cause = 100, 3, "reset"
    old.causes.update(dns=1, reset=1)
    old.refused["empty"] = 3
    new.messages = 7
    new.refused["empty"] = 1
    new.go_on_from(old, 3)
    assert new.totals(0) == Totals(107, 3, 2, 3)
    new.messages += 1
    assert new.totals(1) == Totals(108, 3, 2, 4)
    assert new.all_refused() == {"empty": 4}
    assert new.last_cause == "reset"
    third = Tally(20.0)
    third.go_on_from(new, 1)
    third.causes["dns"] += 1
    assert third.totals(0) == Totals(108, 3, 3, 4)
    assert third.all_causes() == {"dns": 2, "reset": 1}


def test_the_rate_is_of_its_own_messages() -> None:
    tally = Tally(0.0)
    before = Tally(0.0)
    before.messages = 1_000_000
    tally.messages = 50
    tally.go_on_from(before, 1)
    tally.measure(1.0)
    assert tally.per_second == 0.0
    tally.measure(2.0)
    assert tally.per_second == 25.0
