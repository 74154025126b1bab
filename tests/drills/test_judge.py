"""The judge can tell right from wrong: else the drills would prove nothing."""

from tests.drills.judge import Balance, Claim, Verdict, balance, judge_honesty, judge_stale
from tests.drills.runner import crowded_lines, most_in_a_second


def claim(trust: str = "live", verified: float = 0.2, source: str = "ws", begun: float = 100.0) -> Claim:
    return Claim("A-USD", begun, begun + 0.01, 1_000.0, 7, trust, verified, source)


def stale(one: Claim, written: float | None, proof: float | None) -> tuple[int, int]:
    verdict = Verdict()
    judge_stale(verdict, one, 5.0, written, proof)
    return verdict.false_stale, verdict.missing_stale


def test_books_that_balance() -> None:
    assert balance([[1, 9]], [5, 6, 8, 9], [7], []).settled()
    assert balance([[1, 9]], [5, 6, 9], [], [[7, 8]]) == Balance(0, 2, 0, 0, 0)


def test_books_that_do_not_balance() -> None:
    assert balance([[1, 9]], [5, 6, 9], [], []) == Balance(2, 0, 0, 0, 0)
    assert balance([[1, 9]], [5, 6, 7, 8, 9, 9], [8], []) == Balance(0, 0, 1, 2, 0)
    assert balance([[1, 9]], [8, 9, 10], [], []) == Balance(0, 0, 0, 0, 1)
    assert balance([[1, 9]], [5, 6, 7, 8, 9], [], [[7, 8]]).settled()  # a gap that is open too long is no loss
    assert not balance([[1, 9]], [5, 6], [], []).settled()


def test_books_over_a_restart() -> None:
    live = [1, 2, 7, 8]
    assert balance([[1, 8]], live, [], [], [[3, 5]], {6}) == Balance(0, 0, 3, 0, 0)
    assert balance([[1, 8]], live, [3], [], [[3, 5]], {6}) == Balance(0, 0, 3, 0, 0)
    assert balance([[1, 8]], live, [], [[4, 5]], [[3, 5]], {6}) == Balance(0, 2, 1, 0, 0)
    assert balance([[1, 8]], live, [], [], [[3, 5]]) == Balance(1, 0, 3, 0, 0)
    assert balance([[1, 8]], live, [], [], [], {6}) == Balance(3, 0, 0, 0, 0)


def test_an_old_price_has_to_say_so() -> None:
    assert stale(claim(), written=99.9, proof=99.9) == (0, 0)
    assert stale(claim(), written=94.0, proof=94.0) == (0, 1)
    assert stale(claim("stale"), written=94.0, proof=94.0) == (0, 0)
    assert stale(claim(source="backfill"), written=94.0, proof=None) == (0, 0)
    assert stale(claim("behind", verified=5.1), written=99.9, proof=None) == (0, 1)


def test_a_fresh_price_must_not_be_called_stale() -> None:
    assert stale(claim("stale"), written=99.9, proof=99.0) == (1, 0)
    assert stale(claim("stale"), written=99.9, proof=94.0) == (0, 0)
    assert stale(claim("stale"), written=99.9, proof=None) == (0, 0)


def test_a_claim_that_a_later_trade_refutes_is_dishonest() -> None:
    verdict = Verdict()
    judge_honesty(verdict, [claim(verified=0.2)], {7: 990.0, 8: 999.9})
    assert verdict.dishonest == 0
    judge_honesty(verdict, [claim(verified=0.2)], {7: 990.0, 8: 998.0})
    assert verdict.dishonest == 1
    judge_honesty(verdict, [claim(verified=2.0)], {7: 990.0, 8: 998.0})
    assert verdict.dishonest == 1


def test_connects_in_a_second() -> None:
    assert most_in_a_second([]) == 0
    assert most_in_a_second([0.0, 0.5, 0.999, 1.0, 1.4]) == 4


def test_a_warning_may_come_once_a_second() -> None:
    line = "2026-11-20 01:02:03,456 WARNING hub.feed lost connection=conn_001 A-USD"
    assert crowded_lines("\n".join([line] * 2)) == []
    assert crowded_lines("\n".join([line, line.replace("456", "999"), line.replace("A-USD", "B-USD")])) != []
