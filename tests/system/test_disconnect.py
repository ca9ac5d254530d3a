"""Disconnect, connect, rekey and reconnect, as the two ends and the traffic see them."""

from __future__ import annotations

import re

from tests.running_portal import RunningPortal, wait_for
from tests.system.test_stale_sas import VICI, associations, lost_pings, spi

WISH = """
wish = tunnel.commands.first()
say({"done": wish.done_at is not None, "ok": wish.ok, "text": wish.text})
"""


def command(portal: RunningPortal, name: str) -> str:
    """Ask for it and wait for its outcome; the answer is what came of it."""
    portal.do(f"services.{name}(tunnel, user)")
    wait_for(lambda: portal.do(WISH)["done"], 15)
    said = portal.do(WISH)
    assert said["ok"], said
    return said["text"]


def loaded(portal: RunningPortal) -> str:
    return portal.run("swanctl", "--list-conns", "--uri", f"unix://{portal.state}/{VICI}").stdout


def test_a_disconnected_tunnel_carries_nothing_and_the_other_end_cannot_start_it(
    live: RunningPortal,
):
    command(live, "disconnect")
    try:
        assert not live.ping()
        assert loaded(live).strip() == associations(live).strip() == ""
        peer = f"unix://{live.state}/lab/peer/charon.vici"
        dial = ("swanctl", "--initiate", "--ike", "customer", "--timeout", "3", "--uri", peer)
        live.run(*dial)
        assert not live.ping()
        assert "INSTALLED" not in associations(live)
    finally:
        command(live, "connect")

    took = wait_for(live.ping, 15)
    print(f"answered {took:.1f} s after it was connected again")


def test_a_disconnected_tunnel_stays_so_when_charon_is_started_again(live: RunningPortal):
    command(live, "disconnect")
    try:
        live.run("kill", "-9", str(live.process("charon", "concentrator")))
        wait_for(lambda: "not running" not in _sight(live), 20)
        live.do("from vpnportal import tasks\ntasks.request_converge(tunnel.concentrator)")
        wait_for(lambda: _sight(live) == "Disconnected", 20)
        assert not live.ping()
        assert loaded(live).strip() == ""
    finally:
        command(live, "connect")
    wait_for(live.ping, 15)


def _sight(portal: RunningPortal) -> str:
    return portal.do("say(services.state_of(Tunnel.objects.get(pk=tunnel.pk)).label)")


def test_a_rekey_gives_both_ends_new_keys_and_loses_no_ping(live: RunningPortal):
    before = set(re.findall(r"\b[0-9a-f]{8}\b", associations(live)))

    with lost_pings(live) as lost:
        assert command(live, "rekey") == "Completed: the tunnel has new keys."

    assert lost[0] <= 1
    assert set(re.findall(r"\b[0-9a-f]{8}\b", associations(live))) - before


def test_a_reconnect_negotiates_anew_and_is_up_again_within_seconds(live: RunningPortal):
    before = spi(associations(live))

    with lost_pings(live) as lost:
        command(live, "reconnect")
        wait_for(live.ping, 15)

    assert spi(associations(live)) not in ("", before)
    print(f"a reconnect lost {lost[0]} pings of 20 ms")
