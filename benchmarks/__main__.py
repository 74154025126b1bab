"""Run benchmarks:  python -m benchmarks [fanout ingest latency cost polling]. All of them write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import common, cost, fanout, ingest, latency, polling
from hub import green

BENCHMARKS = {
    "fanout": fanout.run, "ingest": ingest.run, "latency": latency.run, "cost": cost.run, "polling": polling.run,
}  # fmt: skip
HEAD = """# Benchmarks

Written by `make bench` on {date}: {machine}. Absolute figures belong to that machine; what sides are compared took
turns within one run (medians of the rounds).
"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which; none: all, and write the document")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: to see that they run")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="have py-spy profile what is measured")
    options = parser.parse_args()
    if options.profile is not None:
        options.profile.mkdir(parents=True, exist_ok=True)
        common.profile_folder = options.profile.resolve()
    green.raise_descriptor_limit()
    chapters = [HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=common.machine())]
    for name in options.names or BENCHMARKS:
        begun = time.monotonic()
        print(f"{name} …", flush=True)
        chapters.append(str(BENCHMARKS[name](options.quick)))
        print(f"{chapters[-1]}\n({name}: {time.monotonic() - begun:.0f} s)", flush=True)
    if not options.names and not options.quick:
        (common.ROOT / "docs" / "benchmarks.md").write_text("\n".join(chapters))


if __name__ == "__main__":
    main()
