"""When a connection must be replaced: verdicts from times alone."""

import pytest

from hub.feed.watchdog import Limits, verdict

LIMITS = Limits(silence_seconds=3.0, connect_seconds=10.0)


def judge(
    now: float, *, attempt_at: float | None = 100.0, opened_at: float | None = None,
    last_frame_at: float | None = None, resumed_at: float = 0.0, may_be_silent: bool = False,
) -> str | None:  # fmt: skip
    return verdict(
        now, LIMITS, attempt_at=attempt_at, opened_at=opened_at, last_frame_at=last_frame_at, resumed_at=resumed_at,
        may_be_silent=may_be_silent,
    )  # fmt: skip


def test_between_attempts_nobody_is_judged() -> None:
    assert judge(1e9, attempt_at=None) is None
    assert judge(1e9, attempt_at=None, opened_at=1.0, last_frame_at=1.0) is None


@pytest.mark.parametrize(
    ("now", "cause"), [(100.0, None), (109.9, None), (110.0, "connect_timeout"), (1e6, "connect_timeout")]
)
def test_an_attempt_has_its_deadline(now: float, cause: str | None) -> None:
    assert judge(now) == cause


@pytest.mark.parametrize(("now", "cause"), [(101.0, None), (103.9, None), (104.0, "silent"), (1e6, "silent")])
def test_an_open_connection_must_bring_a_first_frame(now: float, cause: str | None) -> None:
    assert judge(now, opened_at=101.0) == cause


@pytest.mark.parametrize(("now", "cause"), [(502.9, None), (503.0, "silent")])
def test_and_then_one_within_the_limit(now: float, cause: str | None) -> None:
    assert judge(now, opened_at=101.0, last_frame_at=500.0) == cause


def test_a_connection_that_opened_late_is_not_judged_by_its_attempt() -> None:
    assert judge(111.0, opened_at=109.5) is None


@pytest.mark.parametrize(
    ("opened_at", "last_frame_at", "limit", "cause"),
    [(None, None, 10.0, "connect_timeout"), (101.0, None, 3.0, "silent"), (101.0, 150.0, 3.0, "silent")],
)
def test_a_pause_of_the_hub_is_not_blamed_on_the_exchange(
    opened_at: float | None, last_frame_at: float | None, limit: float, cause: str
) -> None:
    """The clock starts anew at the end of the pause, and then runs as always."""
    resumed_at = 200.0
    for now, expected in ((resumed_at, None), (resumed_at + limit - 0.1, None), (resumed_at + limit, cause)):
        found = judge(now, opened_at=opened_at, last_frame_at=last_frame_at, resumed_at=resumed_at)
        assert found == expected


def test_one_with_nothing_to_bring_may_be_silent_but_has_to_open() -> None:
    assert judge(1e6, opened_at=101.0, last_frame_at=500.0, may_be_silent=True) is None
    assert judge(110.0, may_be_silent=True) == "connect_timeout"


def test_a_pause_long_ago_changes_nothing() -> None:
    assert judge(503.0, opened_at=101.0, last_frame_at=500.0, resumed_at=300.0) == "silent"
