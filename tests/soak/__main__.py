"""Play the long runs, print what came of them, write docs/soak.md:  make soak  (about 55 minutes)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.conftest import ROOT
from tests.soak.crowds import RUNS as CROWDS
from tests.soak.outages import RUNS as OUTAGES
from tests.soak.rotations import RUNS as ROTATIONS
from tests.soak.runs import RUNS, Report, all_connections_killed, half_of_them_quiet, the_hub_stands_still

ALONE = (*CROWDS, *ROTATIONS, *OUTAGES)
TEXT = """# Long runs

Written by `make soak` on {date}. A hub with 326 simulated products on 22 connections. In the first three runs all
prices are read every 100 ms (after a stop of the hub every 20 ms) and held against what the simulator sent, and when.
In the others clients that read hold that every trade comes, and how soon.

{sections}
{summary}
"""


def section(report: Report) -> str:
    """Return a run's part of the document."""
    rows = "\n".join(f"| {what} | {bound} | {measured} |" for what, bound, measured in report.rows)
    return f"## {report.title}\n\n| | bound | measured |\n|---|---|---|\n{rows}\n"


def main(names: list[str]) -> int:
    """Play all runs, or those named: the quiet one beside the two busy ones, then the others, each alone."""
    chosen = [run for run in RUNS if not names or run.__name__ in names]
    lanes = [
        [run for run in (half_of_them_quiet,) if run in chosen],
        [run for run in (the_hub_stands_still, all_connections_killed) if run in chosen],
    ]
    with ThreadPoolExecutor(len(lanes)) as pool:
        reports = [report for lane in pool.map(lambda lane: [run() for run in lane], lanes) for report in lane]
    reports += [run() for run in ALONE if not names or run.__name__ in names]
    problems = [problem for report in reports for problem in report.problems]
    summary = "All bounds were kept." if not problems else f"{len(problems)} problems."
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", sections="\n".join(map(section, reports)), summary=summary
    )
    print(text, *problems, sep="\n")
    if not names:
        (ROOT / "docs" / "soak.md").write_text(text)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
