"""Settings of all tests: a session key, because the portal has none by default."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.system.faults import matrix

FOLDERS = ("machines", "system", "browser", "integration", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """Set a session key that is long enough for Django's own checks."""
    settings.SECRET_KEY = "only-the-tests-have-this-key-9c1d5a7e3f4b-and-nobody-else-0b6e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest tests first: the short ones at the end occupy all processes equally.

    Debian 13 runs all unit and integration tests, and the marked modules of system tests.
    """
    items.sort(key=lambda item: FOLDERS.index(_folder(item)))
    for item in items:
        if _folder(item) in ("integration", "unit"):
            item.add_marker("debian13")


def _folder(item: pytest.Item) -> str:
    """Return the folder of a test in `tests`."""
    return item.path.relative_to(item.config.rootpath).parts[1]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix of faults and steps, if a cell of it was run."""
    reports = (report for group in terminalreporter.stats.values() for report in group)
    if lines := matrix.summary(reports):
        terminalreporter.section("faults at each step of an apply: seconds until all sources agree")
        for line in lines:
            terminalreporter.write_line(line)
