"""Three long runs, each with rows for the document and problems in words."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.conftest import HubProcess, running_hub
from tests.drills.judge import FINE, balance, judge_honesty, parse_claims
from tests.drills.runner import MAX_CONNECTS_A_SECOND, most_in_a_second
from tests.drills.stage import wait
from tests.drills.watchers import Collector, Pulse, Sampler, strict

PRODUCTS, RATE = 326, 300
WARM_UP_SECONDS = 15.0
QUIET_SECONDS = 600.0
STOPS_SECONDS = (30.0, 10.0, 10.0, 10.0)  # the longest first: no client has said anything since it connected
KILLS, KILL_EVERY_SECONDS = 10, 33.0  # the backoff starts over after 30 s of data
BACK_SECONDS = 10.0


@dataclass
class Report:
    """What a run showed: (what, bound, measured), and what was wrong."""

    title: str
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def row(self, what: str, bound: str, measured: str, kept: bool) -> None:
        """Add a row; a bound that was not kept is a problem."""
        self.rows.append((what, bound, measured + ("" if kept else " **no**")))
        if not kept:
            self.problems.append(f"{self.title}: {what} is {measured}, the bound is {bound}")


@contextlib.contextmanager
def hub_of(*more: str, **options: Any) -> Iterator[HubProcess]:
    """Run a hub that is well, on a simulator with more arguments; ``options`` are those of ``running_hub``."""
    arguments = ["--products", str(PRODUCTS), "--rate", str(RATE), *more]
    with (
        tempfile.TemporaryDirectory(prefix="soak") as folder,
        running_hub(Path(folder), arguments, [], **options) as hub,
    ):
        hub.wait_until_covered(30)
        yield hub


def reconnects(hub: HubProcess) -> int:
    return sum(row["reconnects"] for row in hub.get("/connections").json()["connections"])


def stale_after(hub: HubProcess) -> float:
    return float(hub.health()["stale_after_ms"]) / 1000


def accounts(hub: HubProcess, collector: Collector) -> tuple[int, int]:
    """Return (trades that a client missed, those that it got late, by REST)."""
    assert hub.simulator is not None
    happened = hub.simulator.control("sent")["products"]
    rows = [
        balance(happened[one]["ranges"], list(collector.live[one]), list(collector.backfilled[one]), [])
        for one in list(collector.live)
    ]
    return sum(row.lost for row in rows), sum(row.backfilled for row in rows)


def half_of_them_quiet(seconds: float = QUIET_SECONDS) -> Report:
    """Ten minutes in which half of the products make no trade."""
    report = Report(f"Half of {PRODUCTS} products quiet for {seconds:g} s, at {RATE} trades/s")
    with hub_of("--quiet-half") as hub:
        assert hub.simulator is not None
        time.sleep(WARM_UP_SECONDS)
        products = hub.simulator.control("sent")["products"]
        quiet = set(hub.get("/tickers").json()) & set(list(products)[1::2])
        with Sampler(hub.url, hub.simulator, stale_after(hub)) as sampler, Pulse(hub.url) as pulse:
            before = reconnects(hub)
            time.sleep(seconds)
            replaced = reconnects(hub) - before
        states = {one: sampler.trust.get(one, "missing") for one in quiet}
        wrong = sorted(one for one, state in states.items() if state != "quiet")
        gaps = hub.get("/gaps?limit=100").json()["count"]
        verdict = sampler.verdict
        after = hub.simulator.control("sent")["products"]
        silent = sum(after[one]["last_id"] == products[one]["last_id"] for one in quiet)
        report.row("products without a single trade", "≥ 150", str(silent), silent == len(quiet) >= 150)
        report.row("of them, those that read `quiet` at the end", "all", str(len(quiet) - len(wrong)), not wrong)
        report.row("samples of a price", "", f"{verdict.samples:,}", verdict.samples > seconds * PRODUCTS)
        report.row("false alarms (neither `live` nor `quiet`)", "0", str(sampler.alarms), sampler.alarms == 0)
        report.row("stale samples, false or missing", "0", str(verdict.false_stale + verdict.missing_stale),
                   verdict.false_stale + verdict.missing_stale == 0)  # fmt: skip
        report.row("needless reconnects", "0", str(replaced), replaced == 0)
        report.row("gaps in the ledger", "0", str(gaps), gaps == 0)
        report.row("`/health` said", "healthy", ", ".join(sorted(pulse.statuses)), pulse.statuses == {"healthy"})
        report.problems.extend([*verdict.examples, *sampler.problems])
    return report


def the_hub_stands_still() -> Report:
    """SIGSTOP for a while, SIGCONT, and again."""
    report = Report(f"The hub stopped and continued, for {', '.join(f'{one:g}' for one in STOPS_SECONDS)} s")
    with hub_of() as hub:
        assert hub.simulator is not None
        collector = Collector(hub.url)
        with Sampler(hub.url, hub.simulator, stale_after(hub), every_seconds=0.02) as sampler:
            time.sleep(WARM_UP_SECONDS)
            before, connects = reconnects(hub), len(hub.simulator.control("connections")["connects"])
            for seconds in STOPS_SECONDS:
                hub.process.send_signal(signal.SIGSTOP)
                time.sleep(seconds)
                sampler.keep_from_now()
                hub.process.send_signal(signal.SIGCONT)
                time.sleep(6)
            replaced = reconnects(hub) - before
            connected = len(hub.simulator.control("connections")["connects"]) - connects
        hub.simulator.control("pause", {})

        wait(lambda: accounts(hub, collector)[0] == 0, 10, 0.0)
        lost, _ = accounts(hub, collector)
        verdict = sampler.verdict
        judged = 0
        for product_id, claims in sampler.claims.items():
            trades = hub.simulator.control(f"trades?product={product_id}")["trades"]
            happened_at = {one: datetime.fromisoformat(when).timestamp() for one, when in trades}
            judge_honesty(verdict, claims, happened_at)
            judged += len(claims)
        collector.close()
        pauses = [row for row in hub.get("/gaps?limit=1000").json()["gaps"] if row["cause"] == "pause"]
        report.row("reconnects of sockets that the exchange kept open", "0", str(replaced), replaced == 0)
        report.row("connects that the exchange saw", "0", str(connected), connected == 0)
        report.row("pauses in the ledger", str(len(STOPS_SECONDS)), str(len(pauses)), len(pauses) == len(STOPS_SECONDS))
        report.row("claims judged, the first ones right after SIGCONT", "", f"{judged:,}", judged > 10_000)
        report.row("claims younger than the evidence", "0", str(verdict.dishonest), verdict.dishonest == 0)
        report.row("stale samples, false or missing", "0", str(verdict.false_stale + verdict.missing_stale),
                   verdict.false_stale + verdict.missing_stale == 0)  # fmt: skip
        report.row("trades that a client missed", "0", str(lost), lost == 0)
        cut_off = len(collector.connected_at) - 1
        report.row("times that a client was cut off", "0", str(cut_off), cut_off == 0)
        report.problems.extend([*verdict.examples, *sampler.problems])
    return report


def all_connections_killed() -> Report:
    """All sockets reset at once, ten times, each after 30 s of data."""
    report = Report(f"All connections killed, {KILLS} times")
    with hub_of() as hub:
        assert hub.simulator is not None
        collector = Collector(hub.url)
        time.sleep(WARM_UP_SECONDS)
        begun = time.monotonic()
        back: list[float] = []
        longest = []
        for _ in range(KILLS):
            time.sleep(KILL_EVERY_SECONDS)
            killed_at = time.monotonic()
            hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
            times = _back(hub, killed_at)
            back.extend(times)
            longest.append(max(times))
        connects = [at for at in hub.simulator.control("connections")["connects"] if at >= begun]
        hub.simulator.control("pause", {})

        wait(lambda: accounts(hub, collector)[0] == 0, 60, 0.0)
        lost, fetched = accounts(hub, collector)
        open_gaps = hub.get("/gaps?open=true").json()["count"]
        collector.close()
        back.sort()
        p50, p95 = back[len(back) // 2], back[int(len(back) * 0.95)]
        most = most_in_a_second(connects)
        report.row("connects in the busiest second", f"≤ {MAX_CONNECTS_A_SECOND}", str(most), most <= 8)
        report.row("a product has evidence again, median", "", f"{p50:.1f} s", True)
        report.row("a product has evidence again, 95th percentile", f"≤ {BACK_SECONDS:g} s", f"{p95:.1f} s",
                   p95 <= BACK_SECONDS)  # fmt: skip
        report.row("every product has, the longest of all rounds", "", f"{max(longest):.1f} s", True)
        report.row("every product has, median of the rounds", "", f"{sorted(longest)[KILLS // 2]:.1f} s", True)
        report.row("trades fetched by REST", "", str(fetched), fetched > 0)
        report.row("trades that a client missed, with REST up", "0", str(lost), lost == 0)
        report.row("gaps open at the end", "0", str(open_gaps), open_gaps == 0)
    return report


def _back(hub: HubProcess, killed_at: float) -> list[float]:
    """Return for each product after how many seconds its price was proved again."""
    found: dict[str, float] = {}
    while len(found) < PRODUCTS:
        begun = time.monotonic()
        answer = strict(hub.get("/tickers").text)
        ended = time.monotonic()
        for claim in parse_claims(answer, begun, ended, time.time()):
            proved_at = claim.ended - claim.verified_seconds
            if claim.product_id not in found and proved_at > killed_at + 0.1 and claim.trust in FINE:
                found[claim.product_id] = ended - killed_at
        if ended - killed_at > 60:
            found.update(dict.fromkeys(set(answer) - set(found), 60.0))
            break
        time.sleep(0.1)
    return list(found.values())


RUNS = (half_of_them_quiet, the_hub_stands_still, all_connections_killed)
