"""Who starts a tunnel, and with which version of IKE, as both ends and the page see it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.test_example import load
from tests.system.test_stale_sas import VICI, associations


def device(portal: RunningPortal) -> Path:
    return portal.state / "lab" / "peer" / "swanctl.conf"


def speaks(portal: RunningPortal, version: int) -> None:
    """The customer's device does this version only."""
    text = device(portal).read_text()
    for other in (1, 2):
        text = text.replace(f"version = {other}\n", f"version = {version}\n")
    load(portal, device(portal), text)


def dial(portal: RunningPortal) -> None:
    """The device begins."""
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    which = ("--ike", "customer", "--child", "private")
    portal.run("swanctl", "--initiate", *which, "--timeout", "5", "--uri", uri)


def hang_up(portal: RunningPortal) -> None:
    """Both ends forget what runs, without a word to the other."""
    for socket, name in ((VICI, "ctx1"), ("lab/peer/charon.vici", "customer")):
        uri = f"unix://{portal.state}/{socket}"
        portal.run("swanctl", "--terminate", "--ike", name, "--force", "--uri", uri)


def state(portal: RunningPortal) -> str:
    return portal.do("say(services.state_of(Tunnel.objects.get(pk=tunnel.pk)).sa_status)")


def found(portal: RunningPortal) -> list[list[str]]:
    return portal.do(
        "from vpnportal.services.diagnosis import findings_of\n"
        "say([[one.field, one.advice] for one in findings_of(Tunnel.objects.get(pk=tunnel.pk))])"
    )


@pytest.fixture
def both_versions(live: RunningPortal) -> Iterator[RunningPortal]:
    live.apply('services.edit(tunnel, "ike_version", 0, user)')
    yield live
    speaks(live, 1)
    live.apply('services.edit(tunnel, "ike_version", 1, user)')
    wait_for(live.ping, 20)


def test_with_both_versions_either_is_answered_and_ikev2_is_what_this_end_begins_with(
    both_versions,
):
    speaks(both_versions, 1)
    hang_up(both_versions)
    wait_for(lambda: state(both_versions) in ("Down", "Connecting"), 15)
    wait_for(lambda: any("IKEv1" in text for _, text in found(both_versions)), 15)

    dial(both_versions)
    wait_for(both_versions.ping, 10)
    assert "IKEv1" in associations(both_versions)

    speaks(both_versions, 2)
    hang_up(both_versions)
    wait_for(both_versions.ping, 30)
    assert "IKEv2" in associations(both_versions)
    wait_for(lambda: state(both_versions) == "Up", 15)


@pytest.fixture
def responder_only(live: RunningPortal) -> Iterator[RunningPortal]:
    live.apply('services.edit(tunnel, "starts", "other", user)')
    yield live
    live.apply('services.edit(tunnel, "starts", "either", user)')
    wait_for(live.ping, 20)


def test_the_other_end_only_is_not_dialled_and_comes_up_when_it_dials(responder_only):
    assert responder_only.ping()
    hang_up(responder_only)

    wait_for(lambda: state(responder_only) == "Waiting for peer", 15)
    responder_only.do("from vpnportal import tasks\ntasks.request_converge(tunnel.concentrator)")
    with pytest.raises(AssertionError):
        wait_for(responder_only.ping, 5)
    assert associations(responder_only).strip() == ""

    dial(responder_only)
    wait_for(responder_only.ping, 10)
    wait_for(lambda: state(responder_only) == "Up", 15)


def test_the_other_end_only_stays_so_when_charon_is_started_again(responder_only):
    os.kill(responder_only.process("charon", host="concentrator"), signal.SIGKILL)
    wait_for(lambda: not responder_only.ping(), 5)

    wait_for(lambda: state(responder_only) == "Waiting for peer", 30)
    with pytest.raises(AssertionError):
        wait_for(responder_only.ping, 5)

    hang_up(responder_only)
    dial(responder_only)
    wait_for(responder_only.ping, 10)
