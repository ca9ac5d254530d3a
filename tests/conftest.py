"""What every test finds: a session key, because the product has none by default."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.system.faults import matrix

FOLDERS = ("system", "browser", "integration", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """A session key only for the tests, long enough for Django's own checks."""
    settings.SECRET_KEY = "only-the-tests-have-this-key-9c1d5a7e3f4b-and-nobody-else-0b6e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait longest first: what is left at the end keeps every process busy."""
    items.sort(key=lambda item: FOLDERS.index(item.path.relative_to(item.config.rootpath).parts[1]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix of faults and steps, if any of its cells was run."""
    reports = (report for several in terminalreporter.stats.values() for report in several)
    if lines := matrix.summary(reports):
        terminalreporter.section("faults at each step of an apply: seconds until all is well")
        for line in lines:
            terminalreporter.write_line(line)
