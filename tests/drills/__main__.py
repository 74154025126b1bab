"""Play all drills and print what came of them:  make drill  (about 4 minutes)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import ROOT
from tests.drills import report
from tests.drills.runner import Result, run
from tests.drills.scenarios import ALL, Scenario

TOGETHER = 2
TEXT = """# Drills

Written by `make drill` on {date} with seed {seed}. Each fault of the exchange is played by the simulator to a hub of
its own (30 products on 2 connections), with healthy products beside those that are hit.

- *Noticed*: from the fault to the first sign of it in `/connections`, `/health`, `/gaps` or `trust_update`. A dash
  where there is nothing to notice. *Healed*: from when the fault ends (or, if it is for the hub to end it, from its
  start) to all connected, all prices `live` or `quiet`, no gap open.
- *Ticks missed*: trades that happened and never reached a client. *Fetched*: those that came as `trade_backfill`.
  *Bystanders*: products that the fault does not hit; theirs must all come live.
- *Stale*: all prices were read every 100 ms. *False*: called stale, though a proof was sent just before. *Missing*:
  not called stale, though nothing was sent for longer than `stale_after_ms`. *Dishonest*: `verified_ms` younger than a
  trade that the hub did not have.
- *Left over*: threads, sockets and other descriptors, beyond those before the fault.

{table}

{summary}.
"""


def play(scenarios: Sequence[Scenario], seed: int, together: int = TOGETHER) -> list[Result]:
    """Play scenarios, some at a time, and tell how each went as it ends."""

    def one(scenario: Scenario) -> Result:
        result = run(scenario, seed)
        mark = "ok" if result.survived else "FAILED"
        print(f"{mark:7}{result.name} ({result.seconds:.1f} s)", file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(one, scenarios))


def main() -> int:
    """Read the command line, play, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="WORDS", help="drills whose name starts so; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--write", action="store_true", help="write docs/drills.md, unless --only")
    options = parser.parse_args()
    chosen = [
        one for one in ALL
        if not options.only or any(one.name == words or one.name.startswith(words + " ") for words in options.only)
    ]  # fmt: skip
    if not chosen:
        parser.error(f"no such drill; there are {', '.join(one.name for one in ALL)}")
    results = play(chosen, options.seed)
    print(report.plain(results))
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1) + "\n")
    if options.write and not options.only:
        text = TEXT.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}", seed=options.seed, table=report.markdown(results),
            summary=report.summary(results),
        )  # fmt: skip
        (ROOT / "docs" / "drills.md").write_text(text)
    return any(not result.survived for result in results)


if __name__ == "__main__":
    sys.exit(main())
