"""A running portal for each file of this folder, on which nothing was applied before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running_portal import RunningPortal, wait_for


def translate(internal: str = "10.1.255.92", name: str = "database") -> str:
    """Code that gives 192.168.10.15 this address and no other."""
    return f"""
kept = [services.TranslationRow(row.as_value().internal, None) for row in tunnel.translations.all()]
new = services.TranslationRow(IPv4Address({internal!r}), IPv4Address("192.168.10.15"), {name!r})
services.set_translations(tunnel, [*kept, new], user)
"""


@pytest.fixture(scope="module")
def portal(request: pytest.FixtureRequest) -> Iterator[RunningPortal]:
    """The portal, the example's parameters filled in, nothing applied."""
    running = RunningPortal(request.module.__name__.rpartition("_")[2])
    try:
        running.start()
        running.fill_in()
        yield running
    finally:
        running.stop()


def brought_up(portal: RunningPortal) -> RunningPortal:
    """With the mission's example applied and answering."""
    if not portal.ping():
        portal.apply(translate())
        wait_for(portal.ping, 10)
    return portal


@pytest.fixture
def live(portal: RunningPortal) -> RunningPortal:
    """The same with the mission's example applied and answering."""
    return brought_up(portal)
