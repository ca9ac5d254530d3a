"""A site for each module of this folder, and the reason why this machine can have none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import outages
from tests.machines.debian import DEBIAN, root_file_system
from tests.machines.installation import Installation
from tests.machines.packages import build
from tests.machines.site import Site
from tests.running_portal import ROOT

# Each program, and the Debian package of bin/prepare --dev that has it.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "lintian": "lintian",
}


def missing_on_machine() -> str | None:
    """Return a sentence if root, a program or the TUN device is missing, or None."""
    if os.geteuid() != 0:
        return "Machines need root: only root can make namespaces."
    if missing := [package for name, package in PROGRAMS.items() if not shutil.which(name)]:
        return f"Machines need these Debian packages: {', '.join(missing)}."
    return None if Path("/dev/net/tun").exists() else "Machines need /dev/net/tun."


@pytest.fixture(scope="session")
def system() -> Path:
    """Return the folder with the root file system of the machines."""
    if reason := missing_on_machine():
        pytest.skip(reason)
    return root_file_system(DEBIAN)


@pytest.fixture(scope="module")
def site(system: Path) -> Iterator[Site]:
    """Yield a site, which ends with all its machines."""
    site = Site()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture(scope="session")
def installed(system: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Yield the installation, with the example entered and not applied, in a site of its own.

    The files of tests use it one after the other: test_kernel_machine.py comes last.
    """
    folder = tmp_path_factory.mktemp("installed")
    site = Site()
    try:
        installation = Installation(site, system, folder)
        packages = build(ROOT, folder)
        installation.boot()
        installation.bring(packages)
        installation.install()
        installation.fill_in()
        yield installation
    finally:
        site.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time to make, boot and install machines."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.machines)
            item.add_marker(pytest.mark.timeout(1200))
    # The first gateway stays in its kernel, so that file comes last of those with an installation.
    items.sort(key=lambda item: item.path.name == "test_kernel_machine.py")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of all outages."""
    if lines := outages.table():
        terminalreporter.section("outages, with pings at 10/s")
        for line in lines:
            terminalreporter.write_line(line)
