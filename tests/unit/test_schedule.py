import itertools
from random import Random

import pytest

from hub.feed.schedule import DEGRADED_SECONDS, RETRY_SECONDS, Schedule, Seen


def seen(age: float, beatless: float = 0.0, count: int = 3) -> list[Seen]:
    return [Seen(f"conn_{index:03d}", age, beatless if index == 1 else 0.0) for index in range(count)]


def test_age_matters_only_where_it_is_set() -> None:
    assert Schedule(0.0, Random(1)).next(1e9, seen(1e9)) is None
    assert Schedule(0.0, Random(1)).limit_seconds("conn_000") is None


def test_slots_of_one_age_are_due_at_different_times_none_after_the_interval() -> None:
    schedule = Schedule(21_600.0, Random(1))
    slots = [f"conn_{index:03d}" for index in range(22)]
    due = sorted(limit for name in slots if (limit := schedule.limit_seconds(name)) is not None)
    assert len(due) == 22
    assert due[0] >= 10_800.0
    assert due[-1] <= 21_600.0
    assert max(later - earlier for earlier, later in itertools.pairwise(due)) < 3_600.0
    assert due[-1] - due[0] > 7_000.0
    assert schedule.limit_seconds("conn_003") == schedule.limit_seconds("conn_003")


def test_the_oldest_for_its_limit_is_first() -> None:
    schedule = Schedule(100.0, Random(1))
    assert schedule.next(0.0, seen(49.0)) is None
    limits = {slot.connection_id: schedule.limit_seconds(slot.connection_id) or 0.0 for slot in seen(0.0)}
    assert schedule.next(0.0, seen(100.0)) == (min(limits, key=lambda name: limits[name]), "age")


def test_a_degraded_one_goes_before_an_old_one_an_asked_one_before_both() -> None:
    schedule = Schedule(100.0, Random(1))
    assert schedule.next(0.0, seen(10.0, DEGRADED_SECONDS - 0.1)) is None
    assert schedule.next(0.0, seen(500.0, DEGRADED_SECONDS)) == ("conn_001", "degraded")
    schedule.ask("conn_002", "on demand")
    assert schedule.next(0.0, seen(500.0, DEGRADED_SECONDS)) == ("conn_002", "on demand")
    schedule.ended("conn_002", True, 0.0)
    assert schedule.next(0.0, seen(500.0, DEGRADED_SECONDS)) == ("conn_001", "degraded")


@pytest.mark.parametrize("why", ["asked", "degraded"])
def test_one_that_failed_is_tried_again_later_and_the_others_meanwhile(why: str) -> None:
    schedule = Schedule(0.0, Random(1))
    beatless = 0.0 if why == "asked" else 99.0
    if why == "asked":
        schedule.ask("conn_001", why)
    assert schedule.next(5.0, seen(1.0, beatless)) == ("conn_001", why)
    schedule.ended("conn_001", False, 5.0)
    assert schedule.next(5.0, seen(1.0, beatless)) is None
    assert schedule.next(5.0 + RETRY_SECONDS, seen(1.0, beatless)) == ("conn_001", why)
    schedule.ask("conn_001", "again")  # whoever asks anew is not kept waiting
    assert schedule.next(6.0, seen(1.0, beatless)) == ("conn_001", "again")


def test_slots_that_are_gone_are_forgotten() -> None:
    schedule = Schedule(0.0, Random(1))
    schedule.ask("conn_002", "on demand")
    schedule.keep(["conn_000"])
    assert schedule.next(0.0, seen(1.0)) is None
