"""What the review says that a change interrupts is what it interrupts, measured with pings."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.lab.test_example import load as load_device
from tests.lab.test_in_force import device
from tests.product import Product, wait_for

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
UNNOTICED = 0.25

TRANSLATE = """
rows = [services.Row(IPv4Address(a), IPv4Address(b) if b else None) for a, b in ROWS.items()]
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
# What is changed, and back again; how far either interrupts in IKEv1 and in IKEv2.
CHANGES = {
    "a remote subnet": (ADD, REMOVE, ("NOTHING", "PAIRS"), ("NOTHING", "TUNNEL")),
}


def edits(**values: object) -> str:
    return "".join(f"services.edit(tunnel, {k!r}, {v!r}, user)\n" for k, v in values.items())


@pytest.fixture(scope="module")
def both(product: Product) -> Product:
    """A device that is ready for whatever is tried here, with two translations through it."""
    product.on("peer", "ip", "address", "add", "203.0.113.3/24", "dev", "public")
    text = device(product).read_text()
    text = text.replace("version = 1", "version = 0").replace("    # The same", SECOND)
    text = text.replace("id-3 =", "id-4 = 203.0.113.3\n        id-3 =")
    text = re.sub(r"local_ts = .*", "local_ts = 192.168.10.0/24, 192.168.20.0/24", text)
    text = re.sub(r"(\n\s*proposals = .*)", r"\1, aes128-sha1-modp1024", text)
    text = re.sub(r"(\n\s*esp_proposals = .*)", r"\1, aes128-sha1-modp1536, aes256-sha256", text)
    load_device(product, device(product), text)
    product.apply(ADD + TRANSLATE.replace("ROWS", repr({"10.1.255.92": "192.168.10.15"})))
    wait_for(product.ping, 15)
    return product


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def up(request, both: Product) -> Product:
    both.ike_version = request.param
    both.apply(edits(ike_version=request.param))
    wait_for(both.ping, 15)
    return both


@contextlib.contextmanager
def silence(product: Product, target: str = "10.1.255.92") -> Iterator[list[float]]:
    """Asks a hundred times a second meanwhile; the list gets the longest time without answer."""
    longest: list[float] = []
    ask = ["ping", "-n", "-D", "-i", str(EVERY_SECONDS), target]
    where = ["ip", "netns", "exec", f"{product.prefix}-server"]
    with subprocess.Popen([*where, *ask], stdout=subprocess.PIPE, text=True) as asking:
        try:
            yield longest
        finally:
            asking.send_signal(signal.SIGINT)
            said, _ = asking.communicate()
    answered = [float(at) for at in re.findall(r"\[(\S+)\] .* ttl", said)]
    longest.append(max(after - before for before, after in pairwise(answered)))


def measured(product: Product, change: str) -> tuple[str, str, float]:
    """What the review says of a change, and how long the tunnel was silent when it was applied."""
    import time

    extent, words = product.do(change + FORECAST)
    with silence(product) as longest:
        revision = product.apply()
        assert revision["outcome"] == "live", revision
        time.sleep(3)
        wait_for(product.ping, 15)
    return extent, words, longest[0]


def test_measure(up):
    v = up.ike_version
    for name, change in {
        "remove": REMOVE,
        "add": ADD,
        "p2": edits(phase_two_encryption="AES128", phase_two_authentication="SHA1"),
        "p2back": edits(phase_two_encryption="AES256", phase_two_authentication="SHA256"),
        "p1": edits(
            phase_one_encryption="AES128", phase_one_authentication="SHA1", phase_one_group=2
        ),
        "p1back": edits(
            phase_one_encryption="AES256", phase_one_authentication="SHA256", phase_one_group=5
        ),
        "life": edits(phase_two_keylife=3500),
        "life1": edits(phase_one_keylife=14000),
        "pfs": edits(phase_two_pfs=False),
        "pfsback": edits(phase_two_pfs=True),
        "peer": edits(remote_peer="203.0.113.3"),
        "peerback": edits(remote_peer="203.0.113.2"),
        "version": edits(ike_version=3 - v),
        "versionback": edits(ike_version=v),
        "trans": TRANSLATE.replace("ROWS", repr({"10.1.255.93": "192.168.20.15"})),
        "transgone": TRANSLATE.replace("ROWS", repr({"10.1.255.93": None})),
    }.items():
        print("MEASURED", v, name, *measured(up, change), flush=True)
