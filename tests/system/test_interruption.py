"""The interruption that the review announces for a change, measured with pings."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.test_example import load_device
from tests.system.test_stale_sas import device_file, sa_status

# Not tried on kernel ESP yet.
pytestmark = pytest.mark.own_kernel

# The device's connection for the other addresses of the provider, and before it a connection
# from the device's second address.
OTHERS = "    others : connections.customer {"
SECOND_ADDRESS = """    moved : connections.customer {
        local_addrs = 203.0.113.3
        local {
            id = 203.0.113.3
        }
    }
"""
PING_INTERVAL_SECONDS = 0.01
# A machine that is busy with tests has gaps of this length without any change.
MAX_GAP_SECONDS = 0.5
# The review announces less than 1 second if the peer is ready.
MAX_INTERRUPTION_SECONDS = 1

TRANSLATE = """
rows = [
    services.TranslationRow(IPv4Address(internal), IPv4Address(customer) if customer else None)
    for internal, customer in ROWS.items()
]
services.set_translations(tunnel, rows, user)
"""
ADD = 'services.add_remote_subnet(tunnel, IPv4Network("192.168.20.0/24"), user)\n'
REMOVE = """
subnet = tunnel.subnets.get(network="192.168.20.0/24").pk
services.remove_remote_subnet(tunnel, subnet, user)
"""
FORECAST = """
from vpnportal.services import review_of
fresh = Tunnel.objects.get(pk=tunnel.pk)
review = review_of(fresh, services.state_of(fresh))
say([review.whole.extent.name, review.summary])
"""


def edits(**values: object) -> str:
    return "".join(f"services.edit(tunnel, {k!r}, {v!r}, user)\n" for k, v in values.items())


TRANSLATED = TRANSLATE.replace("ROWS", repr({"10.1.255.93": "192.168.20.15"}))
CLEARED = TRANSLATE.replace("ROWS", repr({"10.1.255.93": None}))
# Changes and their reversal, each with its extents in IKEv1 and in IKEv2.
CHANGES = {
    "a remote subnet is removed and added": (
        (REMOVE, ("PAIRS", "TUNNEL")),
        (ADD, ("NOTHING", "NOTHING")),
    ),
    "key lives": (
        (edits(phase_one_keylife=14000, phase_two_keylife=3500), ("NOTHING", "NOTHING")),
        (edits(phase_one_keylife=14400, phase_two_keylife=3600), ("NOTHING", "NOTHING")),
    ),
    "PFS": (
        (edits(phase_two_pfs=False), ("NOTHING", "NOTHING")),
        (edits(phase_two_pfs=True), ("NOTHING", "NOTHING")),
    ),
    "the remote peer": (
        (edits(remote_peer="203.0.113.3"), ("TUNNEL", "TUNNEL")),
        (edits(remote_peer="203.0.113.2"), ("TUNNEL", "TUNNEL")),
    ),
    "a translation is added and removed": (
        (TRANSLATED, ("NOTHING", "NOTHING")),
        (CLEARED, ("FLOWS", "FLOWS")),
    ),
}


@pytest.fixture(scope="module")
def both(portal: RunningPortal) -> RunningPortal:
    """Return a portal with the example, whose device accepts all settings of this module."""
    portal.on("peer", "ip", "address", "add", "203.0.113.3/24", "dev", "public")
    text = device_file(portal).read_text()
    text = text.replace("version = 1", "version = 0")
    assert OTHERS in text
    text = text.replace(OTHERS, SECOND_ADDRESS + OTHERS)
    text = text.replace("id-3 =", "id-4 = 203.0.113.3\n        id-3 =")
    text = re.sub(r"local_ts = .*", "local_ts = 192.168.10.0/24, 192.168.20.0/24", text)
    text = re.sub(r"(\n\s*proposals = .*)", r"\1, aes128-sha1-modp1024", text)
    text = re.sub(r"(\n\s*esp_proposals = .*)", r"\1, aes128-sha1-modp1536, aes256-sha256", text)
    load_device(portal, device_file(portal), text)
    portal.apply(ADD + TRANSLATE.replace("ROWS", repr({"10.1.255.92": "192.168.10.15"})))
    wait_for(portal.ping, 15)
    return portal


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def up(request, both: RunningPortal) -> RunningPortal:
    both.ike_version = request.param
    both.apply(edits(ike_version=request.param))
    wait_for(both.ping, 15)
    return both


@contextlib.contextmanager
def longest_gap(portal: RunningPortal, target: str = "10.1.255.92") -> Iterator[list[float]]:
    """Ping 100 times a second during the block; the list gets the longest time without answer."""
    gaps: list[float] = []
    ping = ["ping", "-n", "-D", "-i", str(PING_INTERVAL_SECONDS), target]
    on_server = ["ip", "netns", "exec", f"{portal.prefix}-server"]
    with subprocess.Popen([*on_server, *ping], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield gaps
        finally:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", output)]
    gaps.append(max(after - before for before, after in pairwise(answered)))


def measure(portal: RunningPortal, change: str) -> tuple[str, float]:
    """Return the extent that the review announces, and the seconds without an answer."""
    extent, summary = portal.do(change + FORECAST)
    with longest_gap(portal) as gaps:
        revision = portal.apply()
        # The worker terminates an old SA some seconds after its successor carries traffic.
        time.sleep(3)
        wait_for(portal.ping, 15)
    assert revision["outcome"] == "live", revision
    print(f"{summary}: {gaps[0]:.3f} s without an answer")
    return extent, gaps[0]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_interrupts_as_the_review_announces(up, name):
    for change, extents in CHANGES[name]:
        extent, seconds = measure(up, change)

        assert extent == extents[up.ike_version - 1]
        assert seconds < (MAX_INTERRUPTION_SECONDS if extent == "TUNNEL" else MAX_GAP_SECONDS)


def test_the_other_ike_version_is_negotiated_beside_the_running_sa(up):
    for version in (3 - up.ike_version, up.ike_version):
        extent, seconds = measure(up, edits(ike_version=version))

        assert extent == "NOTHING"
        assert seconds < MAX_GAP_SECONDS


def test_removing_a_network_interrupts_only_its_own_traffic(up):
    up.apply(TRANSLATED)
    wait_for(lambda: up.ping("10.1.255.93"), 10)

    measure(up, CLEARED + REMOVE)

    assert up.ping()
    assert not up.ping("10.1.255.93")
    up.apply(ADD)


# A phase two that the device refuses, alone and with a phase one that it accepts.
REFUSED = {
    "phase two": {"phase_two_encryption": "3DES"},
    "both phases": {"phase_one_keylife": 14100, "phase_two_encryption": "3DES"},
}
ACCEPTED = edits(phase_one_keylife=14400, phase_two_encryption="AES256")


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_the_peer_refuses_do_not_end_running_sas(up, name):
    with longest_gap(up) as gaps:
        up.apply(edits(**REFUSED[name]))
        wait_for(lambda: sa_status(up) == "Up \N{EN DASH} settings out of date", 15)
        time.sleep(3)

    print(f"{name} refused: {gaps[0]:.3f} s without an answer")
    assert gaps[0] < MAX_GAP_SECONDS
    up.apply(ACCEPTED)
    wait_for(lambda: sa_status(up) == "Up", 15)
