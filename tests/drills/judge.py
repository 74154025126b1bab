"""What a drill is judged by. Pure: sets of trade ids, and samples of what the hub claimed.

Times are seconds of one clock, the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SAYS_SO = frozenset({"stale", "halted", "delisted", "starting"})
FINE = frozenset({"live", "quiet"})
STALE_MARGIN_SECONDS = 0.25  # between a frame's leaving the simulator and the hub's clock
FRESH_MARGIN_SECONDS = 0.75
CLAIM_MARGIN_SECONDS = 0.5


class Balance(NamedTuple):
    """One product's trades since the first that the client saw."""

    lost: int  # happened, and neither came nor stands in an open gap
    open: int  # stand in an open gap
    backfilled: int
    twice: int
    invented: int  # came, and never happened

    def settled(self) -> bool:
        """Tell whether all that happened came."""
        return not (self.lost or self.open or self.twice or self.invented)


def balance(
    happened: Sequence[Sequence[int]], live: Sequence[int], backfilled: Sequence[int],
    missing: Iterable[Sequence[int]], recorded: Iterable[Sequence[int]] = (), excused: Set[int] = frozenset(),
) -> Balance:  # fmt: skip
    """Hold what happened (ranges of ids) against what came live, what came later, and what is missing (ranges).

    Over a restart: ``recorded`` are ranges that the ledger holds, and which came unless they are missing; ``excused``
    are trades that may have come while nobody looked.
    """
    if not live:
        return Balance(0, 0, 0, 0, 0)
    first = live[0]  # the snapshot
    expected = {one for low, high in happened for one in range(max(low, first), high + 1)} | {first}
    came = set(live) | set(backfilled)
    open_ids = {one for low, high in missing for one in range(low, high + 1)} & expected - came
    unseen = {one for low, high in recorded for one in range(low, high + 1)} & expected - came - open_ids
    older = {one for one in backfilled if one < first}  # repairs of before our time
    return Balance(
        lost=len(expected - came - open_ids - unseen - excused),
        open=len(open_ids),
        backfilled=len(set(backfilled) - older) + len(unseen),
        twice=len(live) + len(backfilled) - len(came),
        invented=len(came - expected - older),
    )


class Claim(NamedTuple):
    """What the hub said of one product: made between ``begun`` and ``ended`` (monotonic), at ``wall``."""

    product_id: str
    begun: float
    ended: float
    wall: float
    trade_id: int
    trust: str
    verified_seconds: float
    source: str


@dataclass
class Verdict:
    """Counts of claims that were wrong, with the first examples in words."""

    samples: int = 0
    missing_stale: int = 0
    false_stale: int = 0
    dishonest: int = 0
    examples: list[str] = field(default_factory=list)

    def blame(self, text: str) -> None:
        """Keep an example."""
        if len(self.examples) < 5:
            self.examples.append(text)


def judge_stale(
    verdict: Verdict, claim: Claim, stale_after: float, written: float | None, proof: float | None
) -> None:
    """Hold a claim against when the last frame about its product was written, and the last that proves it."""
    verdict.samples += 1
    says_so = claim.trust in SAYS_SO
    if not says_so and claim.verified_seconds > stale_after + 0.001:
        verdict.missing_stale += 1
        verdict.blame(f"{claim.product_id} is {claim.trust} with verified_ms={claim.verified_seconds * 1000:.0f}")
    elif not says_so and claim.source not in ("rest", "backfill") and written is not None:
        silence = claim.begun - written
        if silence > stale_after + STALE_MARGIN_SECONDS:
            verdict.missing_stale += 1
            verdict.blame(f"{claim.product_id} is {claim.trust}, nothing was written for {silence:.2f} s")
    held_up = claim.ended - claim.begun > 0.5  # the hub stood still, or we did: what it had read by then is not known
    if claim.trust == "stale" and proof is not None and not held_up:
        age = claim.ended - proof
        if age < stale_after - FRESH_MARGIN_SECONDS:
            verdict.false_stale += 1
            verdict.blame(f"{claim.product_id} is stale, a proof was written {age:.2f} s before")


def judge_honesty(verdict: Verdict, claims: Iterable[Claim], happened_at: Mapping[int, float]) -> None:
    """Hold claims of one product against when its trades happened (wall clock).

    Who says at S that trade T was verified V ago says that T+1 had not happened by S - V.
    """
    for claim in claims:
        next_at = happened_at.get(claim.trade_id + 1)
        if next_at is None or claim.trust in SAYS_SO - {"stale"}:
            continue
        if claim.source == "rest":  # it proves the price: a trade at the same one may have happened since
            continue
        taken = claim.ended - claim.begun
        made_at = claim.wall - (taken if taken < 0.5 else 0.25)  # ``wall`` is the end; held up: answered at once then
        lead = made_at - claim.verified_seconds - next_at
        if lead > CLAIM_MARGIN_SECONDS:
            verdict.dishonest += 1
            verdict.blame(
                f"{claim.product_id} claims {claim.trade_id} verified {claim.verified_seconds:.2f} s ago, "
                f"the next trade was {lead:.2f} s older than that"
            )


def parse_claims(body: Mapping[str, Any], begun: float, ended: float, wall: float) -> list[Claim]:
    """Return the claims of a ``GET /tickers``."""
    return [
        Claim(product_id, begun, ended, wall, row["trade_id"], row["trust"], row["verified_ms"] / 1000,
              row.get("source", "ws"))
        for product_id, row in body.items()
    ]  # fmt: skip
