"""The table of faults and steps, made of what the tests say of themselves, whoever ran them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.system.faults import steps

SLOW_SECONDS = 10.0
# Under this name a test's report carries its cell: fault, step, seconds, what became right last.
CELL = "cell"


def table(cells: Mapping[tuple[str, str], str]) -> str:
    """Seconds from a fault's end to the last word of the truth, or FAILED, by fault and step."""
    faults = list(dict.fromkeys(fault for fault, _ in cells))
    head = ["", *steps.ALL]
    lines = [head, *([one, *(cells.get((one, step), "·") for step in steps.ALL)] for one in faults)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(reports: Iterable) -> list[str]:
    """The lines to print for these reports of pytest; none if none of them has a cell."""
    cells: dict[tuple[str, str], str] = {}
    slow = []
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == CELL:
                fault, step, seconds, last = value
                cells[fault, step] = f"{seconds:.1f}" if report.passed else "FAILED"
                if seconds > SLOW_SECONDS:
                    slow.append(f"slow: {fault} at {step}, {seconds:.1f} s: {last}")
    return [table(cells), *slow] if cells else []
