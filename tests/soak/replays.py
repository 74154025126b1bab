"""The exchange's own frames, as they were recorded, through the whole hub to a connected client."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import RECORDINGS, running_hub
from tests.integration.test_replay import SPEED, check, played, read_frames, replay
from tests.soak.runs import Report


def _through(path: Path) -> tuple[int, int]:
    arguments = played(path, str(SPEED))
    with tempfile.TemporaryDirectory(prefix="soak") as folder, running_hub(Path(folder), arguments, []) as hub:
        return check(hub, replay(hub), read_frames(path))


def every_recording() -> Report:
    """Each recorded file to a hub of its own, all at once; raises where a client misses a trade or gets it twice."""
    report = Report(f"Every recording of the exchange, at {SPEED} times its speed")
    paths = sorted(RECORDINGS.glob("*.jsonl.gz"))
    with ThreadPoolExecutor() as together:
        for path, (trades, late) in zip(paths, together.map(_through, paths), strict=True):
            name = path.name.partition(".")[0]
            report.row(f"{name}: trades that came once each, in order", "all", f"{trades:,}", trades > 0)
            report.row(f"{name}: late ones that came as `trade_backfill`", "all", f"{late:,}", True)
    report.row("recordings", "≥ 1", str(len(paths)), bool(paths))
    return report


RUNS: tuple[Callable[[], Report], ...] = (every_recording,)
