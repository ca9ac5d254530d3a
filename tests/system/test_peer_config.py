"""The customer's device, configured from the strongSwan export and the key alone."""

from __future__ import annotations

import re

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.test_example import load_device, vici_uri
from vpnportal.domain.exports import KEY

EXPORT = """
from vpnportal.domain.exports import EXPORTS, peer_view
live = services.state_of(tunnel).live
say(EXPORTS["strongswan"].write(peer_view(live.spec(), tunnel.name, "Head office\\n} x {")))
"""
SECOND_SUBNET = """
if not tunnel.subnets.filter(network="192.168.20.0/24").exists():
    services.add_remote_subnet(tunnel, IPv4Network("192.168.20.0/24"), user)
new = services.TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.20.15"), "backup")
services.set_translations(tunnel, [new], user)
"""
FIRST_REKEY = 'say(Revision.objects.filter(outcome="live").latest("number").first_rekey)'


def configure(portal: RunningPortal) -> None:
    """Configure the device from the export, as its first lines explain; terminate the old SA."""
    file = portal.state / "lab" / "peer" / "swanctl.conf"
    key = portal.device_key()
    load_device(portal, file, portal.do(EXPORT).replace(f'"{KEY}"', f'"{key}"'))
    terminate = ("swanctl", "--terminate", "--ike", "ctx1", "--force", "--uri", vici_uri(portal))
    portal.run(*terminate)


@pytest.mark.parametrize("version", [1, 2])
def test_a_device_configured_from_the_export_alone_carries_the_example(portal, version):
    portal.apply(f'services.edit(tunnel, "ike_version", {version}, user)' + translate())
    configure(portal)

    assert wait_for(portal.ping, 20)
    assert portal.ping("10.2.0.10", host="customer")
    listed = portal.run("swanctl", "--list-sas", "--uri", vici_uri(portal)).stdout
    assert re.findall(r"ctx1: #\d+, ESTABLISHED, IKEv(\d)", listed) == [str(version)]
    assert version == 1 or wait_for(lambda: portal.do(FIRST_REKEY) == "agreed", 30)


def test_a_device_configured_from_the_export_can_initiate_the_tunnel(portal):
    starts = 'services.edit(tunnel, "starts", "{}", user)'
    portal.apply(starts.format("other") + translate())
    configure(portal)
    uri = f"unix://{portal.state}/lab/peer/charon.vici"

    started = portal.run("swanctl", "--initiate", "--child", "ipsec001-1", "--uri", uri)

    assert started.returncode == 0, started.stdout
    assert wait_for(portal.ping, 20)
    portal.apply(starts.format("either"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_device_configured_from_the_export_carries_two_subnets(portal, version):
    portal.apply(
        f'services.edit(tunnel, "ike_version", {version}, user)' + translate() + SECOND_SUBNET
    )
    configure(portal)

    assert wait_for(lambda: portal.ping() and portal.ping("10.1.255.93"), 20)
    assert portal.ping("10.2.0.10", host="customer")
