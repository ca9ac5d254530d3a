"""The initiator of a tunnel and its IKE version, observed at both charons and on the page."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.test_example import load_device
from tests.system.test_stale_sas import VICI, device_file, list_sas, sa_status


def set_device_version(portal: RunningPortal, version: int) -> None:
    """Let the customer's device support this IKE version only."""
    text = device_file(portal).read_text()
    for other in (1, 2):
        text = text.replace(f"version = {other}\n", f"version = {version}\n")
    load_device(portal, device_file(portal), text)


def initiate_at_device(portal: RunningPortal) -> None:
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    child = ("--ike", "customer", "--child", "private")
    portal.run("swanctl", "--initiate", *child, "--timeout", "5", "--uri", uri)


def terminate_at_both(portal: RunningPortal) -> None:
    """Terminate the IKE_SA at concentrator and device, without a delete message."""
    for socket, name in ((VICI, "ctx1"), ("lab/peer/charon.vici", "customer")):
        uri = f"unix://{portal.state}/{socket}"
        portal.run("swanctl", "--terminate", "--ike", name, "--force", "--uri", uri)


def findings(portal: RunningPortal) -> list[list[str]]:
    return portal.do(
        "from vpnportal.services import findings_of\n"
        "findings = findings_of(Tunnel.objects.get(pk=tunnel.pk))\n"
        "say([[finding.field, finding.advice] for finding in findings])"
    )


@pytest.fixture
def both_versions(live: RunningPortal) -> Iterator[RunningPortal]:
    live.apply('services.edit(tunnel, "ike_version", 0, user)')
    yield live
    set_device_version(live, 1)
    live.apply('services.edit(tunnel, "ike_version", 1, user)')
    wait_for(live.ping, 20)


def test_a_tunnel_with_both_versions_accepts_either_and_initiates_with_ikev2(
    both_versions,
):
    set_device_version(both_versions, 1)
    terminate_at_both(both_versions)
    wait_for(lambda: sa_status(both_versions) in ("Down", "Connecting"), 15)
    wait_for(lambda: any("IKEv1" in text for _, text in findings(both_versions)), 15)

    initiate_at_device(both_versions)
    wait_for(both_versions.ping, 10)
    assert "IKEv1" in list_sas(both_versions)

    set_device_version(both_versions, 2)
    terminate_at_both(both_versions)
    wait_for(both_versions.ping, 30)
    assert "IKEv2" in list_sas(both_versions)
    wait_for(lambda: sa_status(both_versions) == "Up", 15)


@pytest.fixture
def responder_only(live: RunningPortal) -> Iterator[RunningPortal]:
    live.apply('services.edit(tunnel, "starts", "other", user)')
    yield live
    live.apply('services.edit(tunnel, "starts", "either", user)')
    wait_for(live.ping, 20)


def test_a_peer_only_tunnel_is_not_initiated_and_comes_up_when_the_peer_initiates(responder_only):
    assert responder_only.ping()
    terminate_at_both(responder_only)

    wait_for(lambda: sa_status(responder_only) == "Waiting for peer", 15)
    responder_only.do("from vpnportal import tasks\ntasks.request_converge(tunnel.concentrator)")
    with pytest.raises(AssertionError):
        wait_for(responder_only.ping, 5)
    assert list_sas(responder_only).strip() == ""

    initiate_at_device(responder_only)
    wait_for(responder_only.ping, 10)
    wait_for(lambda: sa_status(responder_only) == "Up", 15)


def test_a_peer_only_tunnel_is_not_initiated_after_a_restart_of_charon(responder_only):
    os.kill(responder_only.process("charon", host="concentrator"), signal.SIGKILL)

    wait_for(lambda: sa_status(responder_only) == "Waiting for peer", 30)
    # Kernel ESP carries the old SAs for up to a minute, so only charon's list shows a negotiation.
    with pytest.raises(AssertionError):
        wait_for(lambda: list_sas(responder_only).strip(), 5)

    terminate_at_both(responder_only)
    initiate_at_device(responder_only)
    wait_for(responder_only.ping, 10)
    assert "INSTALLED" in list_sas(responder_only)
