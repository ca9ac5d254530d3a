"""What the review says that a change interrupts is what it interrupts, measured with pings."""

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
from tests.system.test_example import load as load_device
from tests.system.test_stale_sas import device, sight

# The device answers from two addresses, and protects both of its networks.
SECOND = """    moved : connections.customer {
        local_addrs = 203.0.113.3
        local {
            id = 203.0.113.3
        }
    }
    # The same"""
EVERY_SECONDS = 0.01
# Nobody notices less than this, and a machine that is busy with tests loses as much by itself.
UNNOTICED = 0.5
# The review says less than 1 second if the peer is ready.
BROKEN = 1

TRANSLATE = """
rows = [services.TranslationRow(IPv4Address(a), IPv4Address(b) if b else None) for a, b in ROWS.items()]
services.set_translations(tunnel, rows, user)
"""
ADD = 'services.add_remote_subnet(tunnel, IPv4Network("192.168.20.0/24"), user)\n'
REMOVE = """
gone = tunnel.subnets.get(network="192.168.20.0/24").pk
services.remove_remote_subnet(tunnel, gone, user)
"""
FORECAST = """
from vpnportal.services.review import review_of
fresh = Tunnel.objects.get(pk=tunnel.pk)
found = review_of(fresh, services.state_of(fresh))
say([found.whole.extent.name, found.summary])
"""


def edits(**values: object) -> str:
    return "".join(f"services.edit(tunnel, {k!r}, {v!r}, user)\n" for k, v in values.items())


TRANSLATED = TRANSLATE.replace("ROWS", repr({"10.1.255.93": "192.168.20.15"}))
CLEARED = TRANSLATE.replace("ROWS", repr({"10.1.255.93": None}))
# What is changed, and back again; how far each interrupts in IKEv1 and in IKEv2.
CHANGES = {
    "a remote subnet goes and comes": (
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
    "a translation comes and goes": (
        (TRANSLATED, ("NOTHING", "NOTHING")),
        (CLEARED, ("FLOWS", "FLOWS")),
    ),
}


@pytest.fixture(scope="module")
def both(portal: RunningPortal) -> RunningPortal:
    """A device that is ready for whatever is tried here, with two translations through it."""
    portal.on("peer", "ip", "address", "add", "203.0.113.3/24", "dev", "public")
    text = device(portal).read_text()
    text = text.replace("version = 1", "version = 0").replace("    # The same", SECOND)
    text = text.replace("id-3 =", "id-4 = 203.0.113.3\n        id-3 =")
    text = re.sub(r"local_ts = .*", "local_ts = 192.168.10.0/24, 192.168.20.0/24", text)
    text = re.sub(r"(\n\s*proposals = .*)", r"\1, aes128-sha1-modp1024", text)
    text = re.sub(r"(\n\s*esp_proposals = .*)", r"\1, aes128-sha1-modp1536, aes256-sha256", text)
    load_device(portal, device(portal), text)
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
def silence(portal: RunningPortal, target: str = "10.1.255.92") -> Iterator[list[float]]:
    """Asks a hundred times a second meanwhile; the list gets the longest time without answer."""
    longest: list[float] = []
    ask = ["ping", "-n", "-D", "-i", str(EVERY_SECONDS), target]
    where = ["ip", "netns", "exec", f"{portal.prefix}-server"]
    with subprocess.Popen([*where, *ask], stdout=subprocess.PIPE, text=True) as asking:
        try:
            yield longest
        finally:
            asking.send_signal(signal.SIGINT)
            said, _ = asking.communicate()
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", said)]
    longest.append(max(after - before for before, after in pairwise(answered)))


def measured(portal: RunningPortal, change: str) -> tuple[str, float]:
    """How far the review says that a change interrupts, and how long an apply of it did."""
    extent, words = portal.do(change + FORECAST)
    with silence(portal) as longest:
        revision = portal.apply()
        # An old association ends some seconds after its successor carries.
        time.sleep(3)
        wait_for(portal.ping, 15)
    assert revision["outcome"] == "live", revision
    print(f"{words}: {longest[0]:.3f} s without an answer")
    return extent, longest[0]


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_interrupts_what_the_review_says(up, what):
    for change, extents in CHANGES[what]:
        extent, seconds = measured(up, change)

        assert extent == extents[up.ike_version - 1]
        assert seconds < (BROKEN if extent == "TUNNEL" else UNNOTICED)


def test_the_other_ike_version_is_negotiated_beside_the_one_that_runs(up):
    for version in (3 - up.ike_version, up.ike_version):
        extent, seconds = measured(up, edits(ike_version=version))

        assert extent == "NOTHING"
        assert seconds < UNNOTICED


def test_a_network_that_goes_takes_only_its_own_traffic_along(up):
    up.apply(TRANSLATED)
    wait_for(lambda: up.ping("10.1.255.93"), 10)

    measured(up, CLEARED + REMOVE)

    assert up.ping()
    assert not up.ping("10.1.255.93")
    up.apply(ADD)


# No phase two that the device takes, alone and with a phase one that it does take.
REFUSED = {
    "phase two": {"phase_two_encryption": "3DES"},
    "both phases": {"phase_one_keylife": 14100, "phase_two_encryption": "3DES"},
}
AGREED = edits(phase_one_keylife=14400, phase_two_encryption="AES256")


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_other_end_refuses_does_not_end_what_runs(up, what):
    with silence(up) as longest:
        up.apply(edits(**REFUSED[what]))
        wait_for(lambda: sight(up) == "Up \N{EN DASH} settings out of date", 15)
        time.sleep(3)

    print(f"{what} refused: {longest[0]:.3f} s without an answer")
    assert longest[0] < UNNOTICED
    up.apply(AGREED)
    wait_for(lambda: sight(up) == "Up", 15)
