"""One drill: a simulator, a hub, lookers-on; a fault; and what came of it, as numbers and as problems in words."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from tests.drills.judge import FINE, Balance, balance, judge_honesty
from tests.drills.scenario import EVERYTHING, Scenario
from tests.drills.stage import Drill, Resources, staged, wait

BALANCE_SECONDS = 20.0
LEFTOVER_SECONDS = 8.0
MAX_CONNECTS_A_SECOND = 8


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of these moments within any one second."""
    return max((sum(start <= at < start + 1 for at in times) for start in times), default=0)


@dataclass
class Result:
    """What came of a drill; it was survived if there are no problems."""

    name: str
    noticed_seconds: float | None = None
    healed_seconds: float | None = None
    lost: int = 0
    open: int = 0
    backfilled: int = 0
    bystanders_missed: int = 0
    false_stale: int = 0
    missing_stale: int = 0
    dishonest: int = 0
    samples: int = 0
    leftovers: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        return not self.problems


def crowded_lines(log: str) -> list[str]:
    """Return the warnings of which one second saw more than two: one a second may fall twice into a clock's second."""
    counts = Counter(
        f"{line[:19]} {re.sub(r'[0-9.]+|[A-Z0-9]+-USD', '#', line[23:])}"
        for line in log.splitlines() if " WARNING " in line or " ERROR " in line
    )  # fmt: skip
    return [f"{count} x {line}"[:200] for line, count in counts.items() if count > 2]


def run(scenario: Scenario, seed: int = 1) -> Result:
    """Play a scenario to the end."""
    result = Result(scenario.name)
    begun = time.monotonic()
    try:
        with staged(seed, scenario) as drill:
            _play(drill, scenario, result)
    except Exception as error:  # noqa: BLE001 - a drill that breaks is a drill that failed; the others go on
        result.problems.append(f"the drill broke: {error!r}"[:600])
    except BaseException as error:
        if type(error).__name__ != "Failed":  # what ``pytest.fail`` raises
            raise
        result.problems.append(f"the drill broke: {error}"[:600])
    result.seconds = time.monotonic() - begun
    return result


def _note_before(drill: Drill, scenario: Scenario) -> None:
    drill.slots_before = drill.slots()
    health = drill.health()
    drill.refused_before, drill.counters_before = health["refused_frames"], health["counters"]
    drill.victim_slot_id = drill.get("/price/BTC-USD")["connection_id"]
    everything = frozenset(drill.collector.live)
    if scenario.victims is EVERYTHING:
        drill.victims = everything
    elif scenario.victims is not None:
        drill.victims = frozenset(scenario.victims)
    else:
        rows = drill.sim.control("connections")["open"]
        drill.victims = frozenset(next(row["products"] for row in rows if "BTC-USD" in row["products"]))
    drill.bystanders = everything - drill.victims
    drill.sampler.not_fine.clear()
    drill.pulse.statuses.clear()


def _play(drill: Drill, scenario: Scenario, result: Result) -> None:
    problems = result.problems
    _note_before(drill, scenario)
    drill.begun_at, drill.begun_wall = time.monotonic(), time.time()
    scenario.cause(drill)
    since = drill.begun_at if not drill.stopped_seconds else time.monotonic()
    if scenario.noticed is not None:
        noticed = scenario.noticed
        result.noticed_seconds = wait(lambda: noticed(drill), scenario.notice_within, since)
        if result.noticed_seconds is None:
            problems.append(f"not noticed within {scenario.notice_within:g} s: {_state(drill)}")
    if scenario.hold is not None:
        time.sleep(max(0.0, drill.begun_at + scenario.hold - time.monotonic()))
        problems.extend(scenario.while_broken(drill))
        scenario.mend(drill)
        since = time.monotonic()
    healed = scenario.healed or Drill.all_fine
    result.healed_seconds = wait(lambda: healed(drill), scenario.heal_within, since)
    if result.healed_seconds is None:
        problems.append(f"not healed within {scenario.heal_within:g} s: {_state(drill)}")
    problems.extend(scenario.check(drill))
    most = max(map(most_in_a_second, (drill.connects(), drill.connects_beside())))
    if most > MAX_CONNECTS_A_SECOND:
        problems.append(f"{most} connects in a second")
    drill.sampler.stop()
    _settle_accounts(drill, scenario, result)
    _judge_claims(drill, scenario, result)
    _look_for_leftovers(drill, scenario, result)


def _state(drill: Drill) -> str:
    slots = {name: (row["status"], row["last_cause"], row["reconnects"]) for name, row in drill.slots().items()}
    trusts = {name: state for name, state in drill.trusts().items() if state not in FINE}
    gaps = [(row["product"], row["cause"], row["missing"]) for row in drill.gaps(open="true")][:5]
    return f"slots={slots} trusts={trusts} open={gaps} reasons={drill.health()['reasons']}"[:900]


def _balances(drill: Drill, excused: dict[str, set[int]]) -> dict[str, Balance]:
    happened = drill.sim.control("sent")["products"]
    missing: dict[str, list[list[int]]] = {}
    recorded: dict[str, list[list[int]]] = {}
    for row in drill.get("/gaps?limit=10000")["gaps"]:
        if row["product"]:
            missing.setdefault(row["product"], []).extend(row["missing_ranges"])
            if row["cause"] == "restart":  # our client was cut off as well, and need not have seen them come
                recorded.setdefault(row["product"], []).append([row["first_id"], row["last_id"]])
    collector = drill.collector
    return {
        one: balance(
            happened[one]["ranges"], list(collector.live[one]), list(collector.backfilled[one]), missing.get(one, []),
            recorded.get(one, []), excused.get(one, set()),
        )
        for one in sorted(drill.victims | drill.bystanders)
    }  # fmt: skip


def _happened_at(drill: Drill, product_id: str) -> dict[int, float]:
    """Return trade id → wall-clock second of a product's trades."""
    trades = drill.sim.control(f"trades?product={product_id}")["trades"]
    return {one: datetime.fromisoformat(when).timestamp() for one, when in trades}


def _unseen(drill: Drill) -> dict[str, set[int]]:
    """Return the trades that our client need not have seen: it was away while a hub was up.

    And the first that the new hub was shown, each product's last one of before: it left at once.
    """
    if not drill.away:
        return {}
    unseen = {}
    for one in drill.victims | drill.bystanders:
        happened_at = _happened_at(drill, one)
        unseen[one] = {trade_id for trade_id, at in happened_at.items() if any(a <= at <= b for a, b in drill.away)}
        unseen[one].add(drill.get(f"/price/{one}/explain")["ids"]["first"])
    return unseen


def _settle_accounts(drill: Drill, scenario: Scenario, result: Result) -> None:
    """Let no trade happen any more, wait for what is on its way, and hold the books against each other."""
    drill.sim.control("pause", {})
    rest_up = scenario.rest_up
    excused = _unseen(drill)

    def balanced() -> bool:
        rows = _balances(drill, excused).values()
        return all(
            row.settled() or (not rest_up and not row.lost) or (scenario.restarts_hub and not row.lost + row.open)
            for row in rows
        )

    wait(balanced, BALANCE_SECONDS, 0.0)
    rows = _balances(drill, excused)
    result.lost = sum(row.lost for row in rows.values())
    result.open = sum(row.open for row in rows.values())
    result.backfilled = sum(row.backfilled for row in rows.values())
    missed = {one: rows[one].lost + rows[one].open + rows[one].backfilled for one in drill.bystanders}
    result.bystanders_missed = sum(missed.values())
    problems = result.problems
    if result.lost:
        which = {one: row.lost for one, row in rows.items() if row.lost}
        problems.append(f"{result.lost} trades are nowhere: {str(which)[:200]}")
    if result.open and rest_up:
        which = {one: row.open for one, row in rows.items() if row.open}
        problems.append(f"{result.open} trades are still missing although REST is up: {str(which)[:200]}")
    if result.bystanders_missed:
        which = {one: count for one, count in missed.items() if count}
        problems.append(f"bystanders missed {result.bystanders_missed}: {str(which)[:200]}")
    if invented := sum(row.invented for row in rows.values()):
        problems.append(f"{invented} trades came that never happened")
    if (twice := sum(row.twice for row in rows.values())) and not scenario.restarts_hub:
        which = {one: row.twice for one, row in rows.items() if row.twice}
        problems.append(f"{twice} trades left twice: {str(which)[:200]}")
    alarms = {one: sorted(drill.sampler.not_fine[one]) for one in drill.bystanders if drill.sampler.not_fine[one]}
    if alarms:
        problems.append(f"false alarms for bystanders: {str(alarms)[:200]}")


def _judge_claims(drill: Drill, scenario: Scenario, result: Result) -> None:
    verdict = drill.sampler.verdict
    if scenario.times_are_right:
        for product_id, claims in drill.sampler.claims.items():
            judge_honesty(verdict, claims, _happened_at(drill, product_id))
    result.samples = verdict.samples
    result.false_stale, result.missing_stale = verdict.false_stale, verdict.missing_stale
    result.dishonest = verdict.dishonest
    if verdict.false_stale or verdict.missing_stale or verdict.dishonest:
        result.problems.append(
            f"stale samples: {verdict.false_stale} false, {verdict.missing_stale} missing, "
            f"{verdict.dishonest} dishonest; {'; '.join(verdict.examples)}"
        )
    if verdict.samples < len(drill.victims | drill.bystanders) * 10:
        result.problems.append(f"only {verdict.samples} samples")
    result.problems.extend(drill.sampler.problems if not scenario.restarts_hub else [])


def _look_for_leftovers(drill: Drill, scenario: Scenario, result: Result) -> None:
    """Wait until the hub holds no more than before."""
    before = drill.resources_before
    pid = drill.hub.process.pid
    if not scenario.restarts_hub:
        drill.pulse.stop()
        wait(lambda: not Resources(pid).more_than(before), LEFTOVER_SECONDS, 0.0)
        result.leftovers = Resources(pid).more_than(before)
        if result.leftovers:
            result.problems.append(f"left over: {result.leftovers}")
    cut_off = len(drill.collector.connected_at) - 1 - len(drill.epochs)
    if cut_off:
        result.problems.append(f"the client was cut off {cut_off} times, beyond the restarts")
    if drill.hub.process.poll() is not None:
        result.problems.append(f"the hub ended with {drill.hub.process.returncode}")
    log = drill.hub.log()
    if crowded := crowded_lines(log):
        result.problems.append(f"more than a line a second: {crowded[:3]}")
    for word in ("bug connection", "CRITICAL", *(() if scenario.bugs else ("Traceback", " bug in "))):
        if word in log:
            at = log.index(word)
            result.problems.append(f"the log says {log[max(0, at - 100) : at + 500]!r}")
            break
    if text := drill.sim.stderr_text():
        result.problems.append(f"the simulator says {text[-300:]!r}")
