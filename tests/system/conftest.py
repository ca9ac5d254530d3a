"""A running portal for each module of this folder, or one for several."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from lab.dataplane import kernel_has_esp
from lab.strongswan_conf import CHARON
from tests.running_portal import RunningPortal, wait_for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, each of which has a laboratory of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@cache
def environment() -> str:
    """Return the data plane and the versions of kernel, Debian and charon as JSON."""
    in_kernel = os.environ.get("VPNPORTAL_LAB_ESP") != "userland" and kernel_has_esp()
    version = subprocess.run([CHARON, "--version"], capture_output=True, text=True).stdout
    release = platform.freedesktop_os_release()["VERSION_ID"]
    facts = {
        "plane": "kernel ESP" if in_kernel else "userland ESP",
        "linux": ".".join(platform.release().split(".")[:2]),
        "debian": release,
        "charon": re.sub(r".*?(\d[\d.]*).*", r"\1", version.strip(), flags=re.DOTALL),
    }
    return json.dumps(facts)


@pytest.fixture(autouse=True)
def recorded_environment(record_property: Callable[[str, object], None]) -> None:
    """Record the environment of each test for `tests/support_table.py`, also from a worker."""
    record_property("environment", environment())


def translate(internal: str = "10.1.255.92", name: str = "database") -> str:
    """Return code that makes this the only translation, to 192.168.10.15."""
    return f"""
old = [services.TranslationRow(row.as_value().internal, None) for row in tunnel.translations.all()]
new = services.TranslationRow(IPv4Address({internal!r}), IPv4Address("192.168.10.15"), {name!r})
services.set_translations(tunnel, [*old, new], user)
"""


@contextmanager
def running_portal(name: str) -> Iterator[RunningPortal]:
    """Run a portal with the parameters of the example entered and nothing applied."""
    running = RunningPortal(name)
    try:
        running.start()
        running.fill_in()
        yield running
    finally:
        running.stop()
        # A guest of bin/kernel has its files in memory.
        shutil.rmtree(running.state / "postgresql", ignore_errors=True)


@pytest.fixture(scope="session")
def shared_portal() -> Iterator[RunningPortal]:
    """Yield the portal of the modules that are marked `shared_portal`."""
    with running_portal("shared") as running:
        yield running


@pytest.fixture(scope="module")
def portal(request: pytest.FixtureRequest) -> Iterator[RunningPortal]:
    """Yield a portal on which nothing was applied before, or that of the marked modules."""
    if request.node.get_closest_marker("shared_portal"):
        yield request.getfixturevalue("shared_portal")
        return
    with running_portal(request.module.__name__.rpartition("_")[2]) as running:
        yield running


def bring_up(portal: RunningPortal) -> RunningPortal:
    """Apply the example unless its address answers already; return the portal."""
    if not portal.ping():
        portal.apply(translate())
        wait_for(portal.ping, 10)
    return portal


@pytest.fixture
def live(portal: RunningPortal) -> RunningPortal:
    """Return a portal with the example applied and answering."""
    return bring_up(portal)
