"""After an apply the running associations are the revision's, made before the old ones break."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.test_example import load as load_device

VICI = "lab/concentrator/charon.vici"
ACCEPTS_BOTH = {
    "proposals = aes256-sha256-modp1536": (
        "proposals = aes256-sha256-modp1536, aes128-sha1-modp1024"
    ),
    "esp_proposals = aes256-sha256-modp1536": (
        "esp_proposals = aes256-sha256-modp1536, aes128-sha1-modp1536, aes256-sha256"
    ),
}


def device(portal: RunningPortal) -> Path:
    return portal.state / "lab" / "peer" / "swanctl.conf"


def load(portal: RunningPortal, text: str) -> None:
    load_device(portal, device(portal), text)


def associations(portal: RunningPortal) -> str:
    return portal.run("swanctl", "--list-sas", "--uri", f"unix://{portal.state}/{VICI}").stdout


def settled(portal: RunningPortal, *words: str) -> bool:
    """Whether exactly one child runs, with these words, and the page says that it is up."""
    listed = associations(portal)
    return listed.count("INSTALLED") == 1 == listed.count("ESTABLISHED") and all(
        word in listed for word in words
    )


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def willing(request, live: RunningPortal) -> Iterator[RunningPortal]:
    """The example in one IKE version, with a device that accepts old and new settings."""
    shipped = device(live).read_text()
    text = shipped.replace("version = 1", f"version = {request.param}")
    for old, new in ACCEPTS_BOTH.items():
        text = re.sub(rf"\n(\s*){old}\n", rf"\n\1{new}\n", text)
    load(live, text)
    live.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
    # strongSwan goes on with the settings that an IKE_SA began with.
    peer = f"unix://{live.state}/lab/peer/charon.vici"
    live.run("swanctl", "--terminate", "--ike", "customer", "--force", "--uri", peer)
    wait_for(lambda: settled(live) and live.ping(), 15)
    yield live
    load(live, shipped)
    live.apply('services.edit(tunnel, "ike_version", 1, user)')
    wait_for(live.ping, 15)


@contextmanager
def lost_pings(portal: RunningPortal) -> Iterator[list[int]]:
    """Pings every 20 ms while the block runs; afterwards the list has how many were lost."""
    lost: list[int] = []
    where = ("ip", "netns", "exec", f"{portal.prefix}-server")
    pinging = subprocess.Popen(
        (*where, "ping", "-q", "-i", "0.02", "10.1.255.92"), stdout=subprocess.PIPE, text=True
    )
    try:
        yield lost
    finally:
        pinging.send_signal(2)
        said, _ = pinging.communicate(timeout=10)
    sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", said)[0])
    # One may be on its way when the pinging ends.
    lost.append(max(0, sent - received - 1))


CHANGES = {
    "phase two": (
        'services.edit(tunnel, "phase_two_encryption", "AES128", user)\n'
        'services.edit(tunnel, "phase_two_authentication", "SHA1", user)',
        "AES_CBC-128/HMAC_SHA1_96",
    ),
    "phase one": (
        'services.edit(tunnel, "phase_one_encryption", "AES128", user)\n'
        'services.edit(tunnel, "phase_one_authentication", "SHA1", user)\n'
        'services.edit(tunnel, "phase_one_group", 2, user)',
        "AES_CBC-128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
    ),
}
BACK = """
for name, value in {
    "phase_one_encryption": "AES256", "phase_one_authentication": "SHA256", "phase_one_group": 5,
    "phase_two_encryption": "AES256", "phase_two_authentication": "SHA256",
}.items():
    services.edit(tunnel, name, value, user)
"""


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_in_force_within_seconds_and_costs_hardly_a_packet(willing, what):
    change, words = CHANGES[what]
    try:
        with lost_pings(willing) as lost:
            assert willing.apply(change)["outcome"] == "live"
            took = wait_for(lambda: settled(willing, words), 10)
        print(f"{what}: {lost[0]} of the pings lost, in force after {took:.1f} s")
        assert lost[0] <= 10
    finally:
        willing.apply(BACK)
        wait_for(lambda: settled(willing, "AES_CBC-256/HMAC_SHA2_256_128"), 10)


def test_a_new_key_is_in_force_within_seconds(willing):
    key = willing.device_key()
    text = device(willing).read_text()
    try:
        load(willing, text.replace(key, "a new key for both"))
        with lost_pings(willing) as lost:
            before = associations(willing)
            willing.apply('services.set_preshared_key(tunnel, "a new key for both", user)')
            wait_for(lambda: settled(willing) and spi(associations(willing)) != spi(before), 10)
        print(f"key: {lost[0]} of the pings lost")
        assert lost[0] <= 10
    finally:
        load(willing, text)
        willing.apply(f"services.set_preshared_key(tunnel, {key!r}, user)")
        wait_for(lambda: settled(willing) and willing.ping(), 10)


def spi(listed: str) -> str:
    found = re.search(r"([0-9a-f]{16})_i", listed)
    return found[1] if found else ""


def test_what_the_peer_refuses_leaves_the_older_settings_running_and_says_so(live):
    try:
        with lost_pings(live) as lost:
            revision = live.apply('services.edit(tunnel, "phase_two_encryption", "3DES", user)')
            assert revision["outcome"] == "live"
            wait_for(lambda: sight(live) == "Up \N{EN DASH} settings out of date", 15)
        assert lost == [0]
    finally:
        live.apply('services.edit(tunnel, "phase_two_encryption", "AES256", user)')
    wait_for(lambda: sight(live) == "Up", 15)
    wait_for(live.ping, 10)


def sight(portal: RunningPortal) -> str:
    return portal.do("say(services.state_of(Tunnel.objects.get(pk=tunnel.pk)).sa_status)")


def test_a_difference_in_pfs_shows_within_seconds_and_not_at_the_first_rekey(willing):
    first = willing.do("say(tunnel.latest().spec().ike_version)")
    if first == 2:
        wait_for(lambda: rekeyed(willing) == "agreed", 10)
    accepts = device(willing).read_text()
    # IKEv1 negotiates the group in every Quick Mode, so there it is refused at once.
    only = re.sub(r"esp_proposals = .*", "esp_proposals = aes256-sha256-modp2048", accepts)
    try:
        load(willing, only)
        # A new IKE_SA, whose first child hides the difference in IKEv2.
        willing.apply('services.edit(tunnel, "phase_one_keylife", 15000, user)')
        if first == 2:
            wait_for(lambda: rekeyed(willing) == "failed", 10)
            assert sight(willing) == "Up"
        else:
            wait_for(lambda: sight(willing) == "Up \N{EN DASH} settings out of date", 15)
    finally:
        load(willing, accepts)
        willing.apply('services.edit(tunnel, "phase_one_keylife", 14400, user)')


def rekeyed(portal: RunningPortal) -> str:
    return portal.do("say(tunnel.latest().first_rekey)")


def test_a_trial_that_the_peer_refuses_comes_back_by_itself(live):
    number = live.do("say(tunnel.latest().number)")
    live.do(
        'services.edit(tunnel, "remote_peer", "203.0.113.77", user)\n'
        "services.apply(Tunnel.objects.get(pk=tunnel.pk), user, services.Trial(seconds=5))"
    )
    wait_for(lambda: not live.ping(), 10)
    took = wait_for(live.ping, 30)
    print(f"came back by itself after {took:.1f} s")
    outcomes = dict(live.do('say(list(tunnel.revisions.values_list("number", "outcome")))'))
    assert (outcomes[number + 1], outcomes[number + 2]) == ("withdrawn", "live")
    live.do('services.edit(tunnel, "remote_peer", "203.0.113.2", user)')
    live.apply(translate())
