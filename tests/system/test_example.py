"""The mission's example through real IKE, real ESP and real nftables."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate


@contextlib.contextmanager
def capture(portal: RunningPortal, host: str, interface: str) -> Iterator[list[str]]:
    """The packets that pass an interface meanwhile, a line each, once the block is left."""
    lines: list[str] = []
    where = ["ip", "netns", "exec", f"{portal.prefix}-{host}"]
    process = subprocess.Popen(
        [*where, "tcpdump", "-i", interface, "-n", "-l", "--immediate-mode"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr and process.stdout
    while "listening on" not in process.stderr.readline():
        pass
    yield lines
    process.terminate()
    lines += process.stdout.read().splitlines()
    process.wait()


def test_the_customer_host_answers_at_10_1_255_92_once_applied_and_not_before(portal):
    with capture(portal, "concentrator", "public") as before:
        assert not portal.ping()
    assert not [line for line in before if "ICMP" in line]

    revision = portal.apply(translate())

    assert (revision["outcome"], revision["reason"]) == ("live", "")
    assert wait_for(portal.ping, 10) < 5


def test_what_the_customer_host_starts_arrives_from_10_1_255_92(live):
    with capture(live, "server", "hosted") as arrived:
        assert live.ping("10.2.0.10", host="customer")

    requests = [line for line in arrived if "echo request" in line]
    assert [line.split()[2:5] for line in requests] == [["10.1.255.92", ">", "10.2.0.10:"]]


def test_the_public_side_sees_esp_in_udp_and_no_plaintext(live):
    with capture(live, "peer", "public") as seen:
        assert live.ping()

    packets = [line for line in seen if " IP " in line]
    assert packets
    assert all("UDP-encap: ESP" in line or "isakmp" in line or "4500" in line for line in packets)
    assert any("UDP-encap: ESP" in line for line in packets)


def test_a_translation_only_change_keeps_the_association_and_ends_the_flows(live):
    before = live.run("swanctl", "--list-sas", "--uri", vici(live)).stdout.split(",")[0]
    flows = ("conntrack", "-L", "--any-nat")
    assert "10.1.255.92" in live.on("concentrator", *flows).stdout

    live.apply(translate("10.1.255.93"))

    assert live.ping("10.1.255.93")
    assert not live.ping("10.1.255.92")
    assert "10.1.255.92" not in live.on("concentrator", *flows).stdout
    assert live.run("swanctl", "--list-sas", "--uri", vici(live)).stdout.split(",")[0] == before
    live.apply(translate())


@pytest.mark.parametrize("target", ["10.1.255.92", "192.168.10.15"])
def test_nothing_leaves_in_the_clear_while_the_tunnel_is_down(live, target):
    wrong = live.apply('services.set_preshared_key(tunnel, "not the key", user)')
    assert wrong["outcome"] == "live"
    # What was negotiated with the right key goes on; now it ends.
    live.run("swanctl", "--terminate", "--ike", "ctx1", "--force", "--uri", vici(live))
    try:
        with capture(live, "peer", "public") as seen:
            assert not live.ping(target)
    finally:
        live.apply(f"services.set_preshared_key(tunnel, {live.device_key()!r}, user)")

    assert not [line for line in seen if "ICMP" in line or "192.168.10.15" in line]
    assert wait_for(live.ping, 10) < 10


def test_ikev1_with_two_subnet_pairs_is_two_children_and_a_hosted_subnet_needs_no_address(live):
    device = live.state / "lab" / "peer" / "swanctl.conf"
    shipped = device.read_text()
    more = shipped.replace("        children {", SECOND_CHILD, 1)
    load(live, device, more)
    hosted = 'kind=Subnet.Kind.HOSTED, network=IPv4Network("10.3.0.0/24")'
    try:
        live.apply(f"tunnel.subnets.add(Subnet.objects.create(account=tunnel.account, {hosted}))")
        wait_for(lambda: live.ping("10.3.0.10", host="customer"), 10)

        listed = live.run("swanctl", "--list-sas", "--uri", vici(live)).stdout
        assert listed.count("INSTALLED") == 2
        assert live.ping()
    finally:
        live.apply('tunnel.subnets.filter(network="10.3.0.0/24").delete()')
        load(live, device, shipped)
    listed = live.run("swanctl", "--list-sas", "--uri", vici(live)).stdout
    assert listed.count("INSTALLED") == 1


SECOND_CHILD = """        children {
            more {
                local_ts = 192.168.10.0/24
                remote_ts = 10.3.0.0/24
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
            }"""


def vici(portal: RunningPortal) -> str:
    return f"unix://{portal.state}/lab/concentrator/charon.vici"


def load(portal: RunningPortal, device, text: str) -> None:
    device.write_text(text)
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    portal.run("swanctl", "--load-all", "--uri", uri, "--file", str(device), check=True)
