"""The table of faults and steps, printed when the tests are over."""

from __future__ import annotations

import pytest

from tests.lab.faults import steps

SLOW_SECONDS = 10.0


class Matrix:
    """A plugin of pytest: seconds from a fault's end to the last word of the truth, by cell."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}
        self._slow: list[str] = []

    def failed(self, fault: str, step: str) -> None:
        """Said of each cell until it is done."""
        self._cells.setdefault(fault, {})[step] = "FAILED"

    def note(self, fault: str, step: str, seconds: float, last: list[str]) -> None:
        """A cell that is done, and what became right last where that took long."""
        self._cells.setdefault(fault, {})[step] = f"{seconds:.1f}"
        if seconds > SLOW_SECONDS:
            self._slow.append(f"{fault} at {step}, {seconds:.1f} s: {'; '.join(last)}")

    def table(self) -> str:
        head = ["", *steps.ALL]
        lines = [head, *([name, *self._row(row)] for name, row in self._cells.items())]
        widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    @staticmethod
    def _row(row: dict[str, str]) -> list[str]:
        return [row.get(step, "·") for step in steps.ALL]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._cells:
            return
        terminalreporter.section("faults at each step of an apply: seconds until all is well")
        terminalreporter.write_line(self.table())
        for line in self._slow:
            terminalreporter.write_line(f"slow: {line}")
