"""What a tampered device seals into its own tunnel gets no further than the tunnel leads."""

from __future__ import annotations

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.esp import TamperedDevice
from tests.system.test_example import capture

OWN, SERVER = "192.168.10.15", "10.2.0.10"


@pytest.fixture(scope="module")
def tampered(portal: RunningPortal) -> TamperedDevice:
    portal.apply(translate())
    wait_for(portal.ping, 10)
    return TamperedDevice(portal)


def seen_by_the_server(
    portal: RunningPortal, tampered: TamperedDevice, source: str, target: str
) -> list[str]:
    with capture(portal, "server", "hosted") as seen:
        tampered.send(source, target)
        portal.ping(SERVER, host="server")
    return [line for line in seen if "echo request" in line and "id 119" in line]


def test_an_honest_packet_of_a_tampered_device_arrives(portal, tampered):
    assert seen_by_the_server(portal, tampered, OWN, SERVER)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (OWN, "10.3.0.10"),
        (OWN, "10.1.255.92"),
        ("192.168.20.15", SERVER),
        ("10.2.0.99", SERVER),
    ],
    ids=["to a strange server", "to a translated address", "from a strange network", "from inside"],
)
def test_a_packet_that_its_tunnel_does_not_lead_to_is_dropped_and_counted(
    portal, tampered, source, target
):
    before = dropped(portal)

    assert not seen_by_the_server(portal, tampered, source, target)

    wait_for(lambda: dropped(portal) == before + 1, 10)


def dropped(portal: RunningPortal) -> int:
    return portal.do("say(Concentrator.objects.get().dropped_by_esp)")
