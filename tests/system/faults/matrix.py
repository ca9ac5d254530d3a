"""The table of faults and steps, made from the properties of the tests' reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.system.faults import steps

SLOW_SECONDS = 10.0
# The property of a report that has its cell: fault, step, seconds and the last deviation.
CELL = "cell"


def table(cells: Mapping[tuple[str, str], str]) -> str:
    """Return the table: by fault and step the seconds until all sources agree, or FAILED."""
    faults = list(dict.fromkeys(fault for fault, _ in cells))
    head = ["", *steps.ALL]
    rows = [[fault, *(cells.get((fault, step), "·") for step in steps.ALL)] for fault in faults]
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(reports: Iterable) -> list[str]:
    """Return the lines to print for these reports of pytest; none if no report has a cell."""
    cells: dict[tuple[str, str], str] = {}
    slow = []
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == CELL:
                fault, step, seconds, deviation = value
                cells[fault, step] = f"{seconds:.1f}" if report.passed else "FAILED"
                if seconds > SLOW_SECONDS:
                    slow.append(f"slow: {fault} at {step}, {seconds:.1f} s: {deviation}")
    return [table(cells), *slow] if cells else []
