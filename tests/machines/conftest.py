"""A site for each module of this folder, and the reason why this machine can have none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.debian import DEBIAN, root_file_system
from tests.machines.site import Site

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time to make, boot and install machines."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.machines)
            item.add_marker(pytest.mark.timeout(1200))
