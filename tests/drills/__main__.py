"""Play drills and print what came of them:  make drill  (all, about 6 minutes), or  make drill ARGS="U16 A5"."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.drills import report
from tests.drills.runner import Result, run
from tests.drills.scenario import Scenario
from tests.drills.scenarios import ALL

TOGETHER = 2
TEXT = """# Drills

Written by `make drill` on {date} with seed {seed}; `make drill ARGS="U16 A5"` plays some. Each fault is played to a hub
of its own (30 products on 2 connections), with healthy products beside those that are hit: by a simulated exchange (U),
by a proxy that speaks TLS in front of it or a resolver that fails (U16), or in the hub's own process (A). In those of
handovers (H) connections are replaced, or products moved, without a break.

- *Noticed*: from the fault to the first sign of it in `/connections`, `/health`, `/gaps` or `trust_update`. A dash
  where there is nothing to notice. *Healed*: from when the fault ends (or, if it is for the hub to end it, from its
  start) to all connected, all prices `live` or `quiet`, no gap open. Where a hub must connect again, the bound on it is
  arithmetic: `BACKOFF_CAP_SECONDS`, or what the fault has it wait, and 6 s.
- *Ticks missed*: trades that happened and never reached a client. *Fetched*: those that came as `trade_backfill`.
  *Bystanders*: products that the fault does not hit; theirs must all come live. Over a restart the client is away as
  well: what the ledger lists under cause `restart` and has been filled in counts as fetched; what the new hub sent
  before the client was back does not count.
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
        try:
            result = run(scenario, seed)
        except pytest.skip.Exception as missing:  # a program that it needs
            result = Result(scenario.name, problems=[f"not played: {missing}"])
        mark = "ok" if result.survived else "FAILED"
        print(f"{mark:7}{result.name} ({result.seconds:.1f} s)", file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(one, scenarios))


def main() -> int:
    """Read the command line, play, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="WORDS", help="drills whose name starts so: U16, or 'U16 TLS'")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--write", action="store_true", help="write docs/drills.md, if all are played")
    options = parser.parse_args()
    names = options.names
    chosen = [one for one in ALL if not names or any(f"{one.name} ".startswith(f"{words} ") for words in names)]
    if not chosen:
        parser.error(f"no such drill; there are {', '.join(one.name for one in ALL)}")
    results = play(chosen, options.seed)
    print(report.plain(results))
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1) + "\n")
    if options.write and not names:
        text = TEXT.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}", seed=options.seed, table=report.markdown(results),
            summary=report.summary(results),
        )  # fmt: skip
        (ROOT / "docs" / "drills.md").write_text(text)
    return any(not result.survived for result in results)


if __name__ == "__main__":
    sys.exit(main())
