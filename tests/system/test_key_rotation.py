"""A rotation of a preshared key, with pings: nothing is lost at its begin and at its end.

The device changes its key in between, and authenticates again in one of two ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.pings import pinging
from tests.system.test_stale_sas import device_file, has_single_child, list_sas, load

PING_SECONDS = 0.2
NEW_KEY = "a new key for both"
BEGIN = """
from django.conf import settings
services.set_preshared_key(tunnel, KEY, user)
revision = services.begin_rotation(Tunnel.objects.get(pk=tunnel.pk), 7, user)
""" + (
    WAIT := """
import time
while revision.unfinished:
    time.sleep(0.02)
    revision.refresh_from_db()
say(revision.outcome)
"""
)
END = "revision = services.end_rotation(tunnel, user)\n" + WAIT
# (key with which the concentrator authenticates, the one that charon has, that of the peer)
ROTATION = 'say(KeyRotation.objects.values_list("signs_with", "loaded", "used").first())'


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def up(request, live: RunningPortal) -> Iterator[RunningPortal]:
    shipped = device_file(live).read_text()
    load(live, shipped.replace("version = 1", f"version = {request.param}"))
    live.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
    on_device(live, "--terminate", "--ike", "customer", "--force")
    wait_for(lambda: has_single_child(live) and live.ping(), 15)
    yield live
    load(live, shipped)
    key = live.device_key()
    live.apply(
        f"services.set_preshared_key(tunnel, {key!r}, user)\n"
        'services.edit(tunnel, "ike_version", 1, user)'
    )
    wait_for(live.ping, 15)


def on_device(portal: RunningPortal, *arguments: str) -> str:
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    return portal.run("swanctl", *arguments, "--uri", uri).stdout


def ike_sas(portal: RunningPortal) -> list[str]:
    """Return the SPIs of the IKE_SAs of charon."""
    return re.findall(r"IKEv[12], (\w+)_i", list_sas(portal))


def reauthenticate(portal: RunningPortal) -> None:
    """Let the device authenticate again, as after its own key life."""
    on_device(portal, "--rekey", "--ike", "customer", "--reauth")


def reconnect(portal: RunningPortal) -> None:
    """Let the device end its tunnel and begin another one."""
    on_device(portal, "--terminate", "--ike", "customer")
    on_device(portal, "--initiate", "--child", "private", "--timeout", "5")


@pytest.mark.parametrize("authenticate", [reauthenticate, reconnect])
def test_a_rotation_loses_no_ping_at_its_begin_and_its_end(up, authenticate, request):
    before = ike_sas(up)
    with pinging(up, PING_SECONDS) as begin:
        assert up.do(BEGIN, KEY=NEW_KEY) == "live"
    assert ike_sas(up) == before

    key = up.device_key()
    load(up, device_file(up).read_text().replace(key, NEW_KEY))
    with pinging(up, PING_SECONDS) as change:
        authenticate(up)
        took = wait_for(lambda: up.do(ROTATION) == ["new", "new", "new"], 40)
        wait_for(up.ping, 30)
    print(f"{authenticate.__name__}: {change}; the peer was seen after {took:.1f} s")

    after = ike_sas(up)
    with pinging(up, PING_SECONDS) as end:
        assert up.do(END) == "live"
    assert ike_sas(up) == after
    print(f"begin: {begin}; end: {end}")
    assert (begin.lost, end.lost) == (0, 0)
