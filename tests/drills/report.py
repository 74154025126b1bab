"""The table of a drill, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from tests.drills.runner import Result

HEAD = ("fault", "noticed after s", "healed after s", "ticks missed", "fetched", "bystanders' missed",
        "stale false/missing/dishonest", "samples", "left over")  # fmt: skip


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def row(result: Result) -> tuple[str, ...]:
    """Return a result's cells."""
    leftovers = ", ".join(f"{count} {name}" for name, count in result.leftovers.items()) or "0"
    return (
        result.name + ("" if result.survived else "  FAILED"),
        _seconds(result.noticed_seconds),
        _seconds(result.healed_seconds),
        str(result.lost + result.open),
        str(result.backfilled),
        str(result.bystanders_missed),
        f"{result.false_stale}/{result.missing_stale}/{result.dishonest}",
        str(result.samples),
        leftovers,
    )


def summary(results: Sequence[Result]) -> str:
    """Return the last line."""
    failed = sum(not result.survived for result in results)
    return f"{len(results) - failed} survived, {failed} failed"


def plain(results: Sequence[Result]) -> str:
    """Return a table for the terminal, with the problems beneath it."""
    rows = [HEAD, *map(row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for result in results:
        lines.extend(f"{result.name}: {problem}" for problem in result.problems)
    return "\n".join([*lines, summary(results)])


def markdown(results: Sequence[Result]) -> str:
    """Return the same for a document."""
    rows = ["| " + " | ".join(cells) + " |" for cells in (HEAD, *map(row, results))]
    rows.insert(1, "|---" * len(HEAD) + "|")
    return "\n".join(rows)
