"""The customer's device, configured by nothing but the export for strongSwan and the key."""

from __future__ import annotations

import re

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.test_example import load, vici
from vpnportal.domain.exports import KEY

EXPORT = """
from vpnportal.domain.exports import EXPORTS, peer_view
live = services.state_of(tunnel).live
say(EXPORTS["strongswan"].write(peer_view(live.spec(), tunnel.name, "Head office\\n} x {")))
"""
SECOND = """
if not tunnel.subnets.filter(network="192.168.20.0/24").exists():
    services.add_remote_subnet(tunnel, IPv4Network("192.168.20.0/24"), user)
new = services.TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.20.15"), "backup")
services.set_translations(tunnel, [new], user)
"""
PFS = 'say(Revision.objects.filter(outcome="live").latest("number").first_rekey)'


def configure(portal: RunningPortal) -> None:
    """As an admin does who reads the first lines of the file; what ran before ends."""
    device = portal.state / "lab" / "peer" / "swanctl.conf"
    key = portal.device_key()
    load(portal, device, portal.do(EXPORT).replace(f'"{KEY}"', f'"{key}"'))
    terminate = ("swanctl", "--terminate", "--ike", "ctx1", "--force", "--uri", vici(portal))
    portal.run(*terminate)


@pytest.mark.parametrize("version", [1, 2])
def test_a_device_that_is_configured_by_the_export_alone_carries_the_example(portal, version):
    portal.apply(f'services.edit(tunnel, "ike_version", {version}, user)' + translate())
    configure(portal)

    assert wait_for(portal.ping, 20)
    assert portal.ping("10.2.0.10", host="customer")
    listed = portal.run("swanctl", "--list-sas", "--uri", vici(portal)).stdout
    assert re.findall(r"ctx1: #\d+, ESTABLISHED, IKEv(\d)", listed) == [str(version)]
    assert version == 1 or wait_for(lambda: portal.do(PFS) == "agreed", 30)


def test_such_a_device_starts_the_tunnel_itself(portal):
    starts = 'services.edit(tunnel, "starts", "{}", user)'
    portal.apply(starts.format("other") + translate())
    configure(portal)
    uri = f"unix://{portal.state}/lab/peer/charon.vici"

    started = portal.run("swanctl", "--initiate", "--child", "ipsec001-1", "--uri", uri)

    assert started.returncode == 0, started.stdout
    assert wait_for(portal.ping, 20)
    portal.apply(starts.format("either"))


@pytest.mark.parametrize("version", [1, 2])
def test_several_subnets_are_carried_in_the_children_that_it_has(portal, version):
    portal.apply(f'services.edit(tunnel, "ike_version", {version}, user)' + translate() + SECOND)
    configure(portal)

    assert wait_for(lambda: portal.ping() and portal.ping("10.1.255.93"), 20)
    assert portal.ping("10.2.0.10", host="customer")
