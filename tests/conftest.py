"""Settings of all tests: a session key, because the portal has none by default, and the database.

The integration tests use a PostgreSQL cluster of their own, which all processes of a run share, or
SQLite in memory: `--database postgresql` or `sqlite`. Without the option it is PostgreSQL where
that is installed.
"""

from __future__ import annotations

import os

import psycopg
import pytest
from django.conf import settings
from django.db import connections

from tests.postgres_cluster import PostgresCluster, programs
from tests.system.faults import matrix
from vpnportal.deployment.broker_access import gateway_user
from vpnportal.deployment.gateway_role import GROUP
from vpnportal.settings import database_setting

FOLDERS = ("machines", "system", "browser", "integration", "unit")
POSTGRESQL, SQLITE = "postgresql", "sqlite"
# Each has a role of its own in PostgreSQL, under which tests run what its gateway does.
CONCENTRATORS = ("hou02-vpn01", "hou02-vpn02", "dal05-vpn01", "vpn02")
CLUSTER = pytest.StashKey[PostgresCluster]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that selects the database of the integration tests."""
    parser.addoption("--database", choices=(POSTGRESQL, SQLITE), help="of the integration tests")


def pytest_configure(config: pytest.Config) -> None:
    """Set a session key that is long enough for Django's own checks, and the database."""
    settings.SECRET_KEY = "only-the-tests-have-this-key-9c1d5a7e3f4b-and-nobody-else-0b6e"
    settings.CHECK_LOCK_ORDER = True
    if hasattr(config, "workerinput"):
        url = config.workerinput["database_url"]
    else:
        url = _database_url(config)
    if url is not None:
        _use_database(url)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a process of pytest-xdist which database it uses."""
    cluster = node.config.stash.get(CLUSTER, None)
    is_sqlite = node.config.getoption("database") == SQLITE
    node.workerinput["database_url"] = cluster.url if cluster else "" if is_sqlite else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the cluster of this run."""
    if cluster := config.stash.get(CLUSTER, None):
        cluster.stop()


def _database_url(config: pytest.Config) -> str | None:
    """Return the URL of a new cluster, "" for SQLite, or None without integration tests."""
    chosen = config.getoption("database") or (POSTGRESQL if programs() else SQLITE)
    if chosen == SQLITE:
        return ""
    folder = config.rootpath / "tests" / "integration"
    paths = [config.invocation_params.dir / argument.split("::")[0] for argument in config.args]
    if not any(folder.is_relative_to(path) or path.is_relative_to(folder) for path in paths):
        return None
    cluster = config.stash[CLUSTER] = PostgresCluster()
    with psycopg.connect(cluster.url, dbname="postgres", autocommit=True) as server:
        server.execute(f'CREATE ROLE "{GROUP}"')
        for name in CONCENTRATORS:
            server.execute(f'CREATE ROLE "{gateway_user(name)}" LOGIN IN ROLE "{GROUP}"')
    return cluster.url


def _use_database(url: str) -> None:
    """Let Django use a database in this process alone: a portal of a system test has its own."""
    os.environ["VPNPORTAL_DATABASE_URL"] = url
    settings.DATABASES["default"] = database_setting()
    del os.environ["VPNPORTAL_DATABASE_URL"]
    connections.configure_settings(settings.DATABASES)
    # django.setup() made a connection object for the earlier setting, and has not opened it.
    del connections["default"]


def pytest_report_header(config: pytest.Config) -> str:
    """Return the line that names the database of the integration tests."""
    return f"database: {connections['default'].vendor}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest tests first: the short ones at the end occupy all processes equally.

    Debian 13 runs all unit and integration tests, and the marked modules of system tests. SQLite
    does not run what only PostgreSQL can do.
    """
    if connections["default"].vendor == SQLITE:
        impossible = [item for item in items if item.get_closest_marker(POSTGRESQL)]
        config.hook.pytest_deselected(items=impossible)
        items[:] = [item for item in items if item not in impossible]
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
