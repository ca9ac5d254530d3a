"""The table of faults and steps, printed when the tests are over."""

from __future__ import annotations

import pytest

from tests.lab.faults import steps


class Matrix:
    """A plugin of pytest: seconds from a fault's end to the last word of the truth, by cell."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}

    def note(self, fault: str, step: str, text: str) -> None:
        self._cells.setdefault(fault, {})[step] = text

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
