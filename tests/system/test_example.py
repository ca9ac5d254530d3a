"""The example tunnel through real IKE, ESP and nftables."""

from __future__ import annotations

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.packet_capture import capture, sent

pytestmark = [pytest.mark.userland, pytest.mark.debian13]


def test_the_customer_host_answers_at_10_1_255_92_once_applied_and_not_before(portal):
    with sent(portal, "concentrator") as before:
        assert not portal.ping()
    assert not [line for line in before if "ICMP" in line]

    revision = portal.apply(translate())

    assert (revision["outcome"], revision["reason"]) == ("live", "")
    assert wait_for(portal.ping, 10) < 5


def test_packets_of_the_customer_host_arrive_from_10_1_255_92(live):
    with capture(live, "server", "hosted") as packets:
        assert live.ping("10.2.0.10", host="customer")

    requests = [line for line in packets if "echo request" in line]
    assert [line.split()[2:5] for line in requests] == [["10.1.255.92", ">", "10.2.0.10:"]]


def test_the_public_network_carries_esp_and_no_plaintext(live):
    with sent(live, "concentrator") as from_gateway, sent(live, "peer") as from_device:
        assert live.ping()

    esp = "ESP(spi=" if live.kernel_esp else "UDP-encap: ESP"
    for lines in (from_gateway, from_device):
        packets = [line for line in lines if " IP " in line]
        assert all(esp in line or "isakmp" in line or ".4500 >" in line for line in packets)
        assert any(esp in line for line in packets)


def test_a_change_of_a_translation_keeps_the_ike_sa_and_deletes_the_flows(live):
    before = live.run("swanctl", "--list-sas", "--uri", vici_uri(live)).stdout.split(",")[0]
    flows = ("conntrack", "-L", "--any-nat")
    assert "10.1.255.92" in live.on("concentrator", *flows).stdout

    live.apply(translate("10.1.255.93"))

    assert live.ping("10.1.255.93")
    assert not live.ping("10.1.255.92")
    assert "10.1.255.92" not in live.on("concentrator", *flows).stdout
    assert live.run("swanctl", "--list-sas", "--uri", vici_uri(live)).stdout.split(",")[0] == before
    live.apply(translate())


@pytest.mark.parametrize("target", ["10.1.255.92", "192.168.10.15"])
def test_no_packet_leaves_in_the_clear_while_the_tunnel_is_down(live, target):
    revision = live.apply('services.set_preshared_key(tunnel, "not the key", user)')
    assert revision["outcome"] == "live"
    # The SAs that were negotiated with the right key stay until they are terminated.
    live.run("swanctl", "--terminate", "--ike", "ctx1", "--force", "--uri", vici_uri(live))
    try:
        with sent(live, "concentrator") as packets:
            assert not live.ping(target)
    finally:
        live.apply(f"services.set_preshared_key(tunnel, {live.device_key()!r}, user)")

    assert not [line for line in packets if "ICMP" in line or "192.168.10.15" in line]
    assert wait_for(live.ping, 10) < 10


def test_ikev1_has_a_child_sa_for_each_subnet_pair_and_a_hosted_subnet_needs_no_address(live):
    file = live.state / "lab" / "peer" / "swanctl.conf"
    shipped = file.read_text()
    load_device(live, file, shipped.replace("        children {", SECOND_CHILD, 1))
    hosted = 'kind=Subnet.Kind.HOSTED, network=IPv4Network("10.3.0.0/24")'
    try:
        live.apply(f"tunnel.subnets.add(Subnet.objects.create(account=tunnel.account, {hosted}))")
        wait_for(lambda: live.ping("10.3.0.10", host="customer"), 10)

        listed = live.run("swanctl", "--list-sas", "--uri", vici_uri(live)).stdout
        assert listed.count("INSTALLED") == 2
        assert live.ping()
    finally:
        live.apply('tunnel.subnets.filter(network="10.3.0.0/24").delete()')
        load_device(live, file, shipped)
    listed = live.run("swanctl", "--list-sas", "--uri", vici_uri(live)).stdout
    assert listed.count("INSTALLED") == 1


SECOND_CHILD = """        children {
            more {
                local_ts = 192.168.10.0/24
                remote_ts = 10.3.0.0/24
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
            }"""


def vici_uri(portal: RunningPortal) -> str:
    return f"unix://{portal.state}/lab/concentrator/charon.vici"


def load_device(portal: RunningPortal, file, text: str) -> None:
    """Write the configuration of the customer's device and load it."""
    file.write_text(text)
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    portal.run("swanctl", "--load-all", "--uri", uri, "--file", str(file), check=True)
