"""Play the long runs, or those named, print what came of them, and put it into docs/soak.md:  make soak ARGS=a_crowd.

All of them take about an hour. A run's part of the document stays as it was while others are played anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.conftest import ROOT
from tests.soak.costly_crowds import RUNS as COSTLY
from tests.soak.crowds import RUNS as CROWDS
from tests.soak.dashboard import RUNS as DASHBOARD
from tests.soak.documents import RUNS as DOCUMENTS
from tests.soak.hindrances import RUNS as HINDRANCES
from tests.soak.outages import RUNS as OUTAGES
from tests.soak.replays import RUNS as REPLAYS
from tests.soak.rotations import RUNS as ROTATIONS
from tests.soak.runs import RUNS, Report, all_connections_killed, half_of_them_quiet, the_hub_stands_still
from tests.soak.stops import RUNS as STOPS

Run = Callable[[], Report]
ALONE: tuple[Run, ...] = (*CROWDS, *COSTLY, *ROTATIONS, *OUTAGES, *DASHBOARD, *DOCUMENTS, *STOPS, *HINDRANCES, *REPLAYS)
DOCUMENT = ROOT / "docs" / "soak.md"
HEAD = """# Long runs

Written by `make soak`. A hub with 326 simulated products on 22 connections. In the first three runs all
prices are read every 100 ms (after a stop of the hub every 20 ms) and held against what the simulator sent, and when.
In the others clients that read hold that every trade comes, and how soon.
"""
SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)(?=\n<!-- |\Z)", re.DOTALL)


def section(report: Report) -> str:
    """Return a run's part of the document."""
    rows = "\n".join(f"| {what} | {bound} | {measured} |" for what, bound, measured in report.rows)
    kept = "All bounds were kept." if not report.problems else f"{len(report.problems)} bounds were not kept."
    return (
        f"## {report.title}\n\n{kept} Taken on {datetime.now(UTC):%Y-%m-%d}.\n\n"
        f"| | bound | measured |\n|---|---|---|\n{rows}\n"
    )


def play(names: list[str]) -> dict[str, Report]:
    """Play all runs, or those named: the quiet one beside the two busy ones, then the others, each alone."""
    chosen = [run for run in (*RUNS, *ALONE) if not names or run.__name__ in names]
    lanes = [
        [run for run in (half_of_them_quiet,) if run in chosen],
        [run for run in (the_hub_stands_still, all_connections_killed) if run in chosen],
    ]
    with ThreadPoolExecutor(len(lanes)) as pool:
        played = pool.map(lambda lane: [(run.__name__, run()) for run in lane], lanes)
        reports = {name: report for lane in played for name, report in lane}
    return reports | {run.__name__: run() for run in ALONE if run in chosen}


def main(names: list[str]) -> int:
    """Play and write; return 2 for a name that is none."""
    known = [run.__name__ for run in (*RUNS, *ALONE)]
    if strange := [name for name in names if name not in known]:
        print(f"no such run: {', '.join(strange)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    reports = play(names)
    sections = dict(SECTION.findall(DOCUMENT.read_text()))
    sections |= {name: section(report) for name, report in reports.items()}
    parts = (f"<!-- {name} -->\n{sections[name]}" for name in known if name in sections)
    DOCUMENT.write_text("\n".join([HEAD, *parts]))
    print(*(sections[name] for name in reports), sep="\n")
    problems = [problem for report in reports.values() for problem in report.problems]
    print(*problems, sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
