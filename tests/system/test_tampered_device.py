"""Packets of a tampered device reach only the subnets of its tunnel."""

from __future__ import annotations

import re

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.esp import TamperedDevice
from tests.system.packet_capture import capture

pytestmark = pytest.mark.userland

CUSTOMER, SERVER = "192.168.10.15", "10.2.0.10"


@pytest.fixture(scope="module")
def tampered(portal: RunningPortal) -> TamperedDevice:
    portal.apply(translate())
    wait_for(portal.ping, 10)
    return TamperedDevice(portal)


def received_by_server(
    portal: RunningPortal, tampered: TamperedDevice, source: str, target: str
) -> list[str]:
    with capture(portal, "server", "hosted") as lines:
        tampered.send(source, target)
        portal.ping(SERVER, host="server")
    return [line for line in lines if "echo request" in line and "id 119" in line]


def test_a_packet_with_the_tunnels_own_addresses_arrives(portal, tampered):
    assert received_by_server(portal, tampered, CUSTOMER, SERVER)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (CUSTOMER, "10.3.0.10"),
        ("192.168.20.15", SERVER),
        ("10.2.0.99", SERVER),
        (CUSTOMER, "203.0.113.1"),
    ],
    ids=[
        *("foreign server", "foreign network", "hosted source"),
        "the gateway's public address",
    ],
)
def test_a_packet_outside_the_tunnels_subnets_is_dropped_and_counted(
    portal, tampered, source, target
):
    before = dropped_packets(portal)

    assert not received_by_server(portal, tampered, source, target)

    wait_for(lambda: dropped_packets(portal) == before + 1, 10)


def dropped_packets(portal: RunningPortal) -> int:
    """Return the packets that ESP dropped: the kernel's count, or charon's at the portal."""
    if portal.kernel_esp:
        counters = portal.on("concentrator", "cat", "/proc/net/xfrm_stat").stdout
        return sum(map(int, re.findall(r"^XfrmIn(?:NoPols|TmplMismatch)\s+(\d+)", counters, re.M)))
    return portal.do("say(Concentrator.objects.get().dropped_by_esp)")


# The last test: nothing waits for charon's count of its packet, which a later test would see.
def test_a_packet_to_a_translated_address_is_dropped(portal, tampered):
    """Kernel ESP has no count of it: the route of the static NAT subnet is unreachable."""
    assert not received_by_server(portal, tampered, CUSTOMER, "10.1.255.92")
