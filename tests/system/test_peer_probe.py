"""The peer probe: it finds the algorithms in the device's file, and Apply then works."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import kill
from typing import Any

import pytest
import vici
from vici.exception import CommandException

from tests.running_portal import PATIENCE, RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.test_example import load_device

# Deletes the earlier probes, because the portal limits the probes in ten minutes.
START_PROBE = """
import time
from vpnportal.services import learned_values, start_probe
tunnel.peer_probes.all().delete()
probe = start_probe(Tunnel.objects.get(pk=tunnel.pk), user)
"""
PROBE = (
    START_PROBE
    + """
while probe.state in ("queued", "asking"):
    time.sleep(0.05)
    probe.refresh_from_db()
took = (probe.finished_at - probe.created_at).total_seconds()
say({"state": probe.state, "reason": probe.reason, "learnt": learned_values(probe),
     "took": took, "row": str(probe.__dict__)})
"""
)
FILL_IN = """
from vpnportal.services import newest_probe, use_learned_values
use_learned_values(tunnel, newest_probe(tunnel), user)
"""


def settings(
    version: int, phase_one: tuple[str, str, int], phase_two: tuple[str, str, int]
) -> dict[str, Any]:
    """Return the fields of the draft; group 0 in phase two means no PFS."""
    group = {"phase_two_group": phase_two[2]} if phase_two[2] else {}
    return {
        "ike_version": version,
        "phase_one_encryption": phase_one[0],
        "phase_one_authentication": phase_one[1],
        "phase_one_group": phase_one[2],
        "phase_two_encryption": phase_two[0],
        "phase_two_authentication": phase_two[1],
        "phase_two_pfs": bool(phase_two[2]),
        **group,
    }


# strongSwan's proposals beside the portal's fields, independent of the portal's own table.
AES, DES = ("AES256", "SHA256", 5), ("DES", "MD5", 1)
DEVICE_SETTINGS = {
    "IKEv1, DES": (1, "des-md5-modp768", "des-md5-modp768", settings(1, DES, DES)),
    "IKEv1, AES": (
        1,
        "aes256-sha256-modp1536",
        "aes256-sha256-modp1536",
        settings(1, AES, AES),
    ),
    "IKEv1, AES, no PFS": (
        1,
        "aes256-sha256-modp1536",
        "aes256-sha256",
        settings(1, AES, ("AES256", "SHA256", 0)),
    ),
    "IKEv1, two groups": (
        1,
        "3des-sha1-modp1024",
        "aes128-sha1-modp2048",
        settings(1, ("3DES", "SHA1", 2), ("AES128", "SHA1", 14)),
    ),
    "IKEv2, DES": (2, "des-md5-modp768", "des-md5-modp768", settings(2, DES, DES)),
    "IKEv2, AES": (
        2,
        "aes256-sha256-modp1536",
        "aes256-sha256-modp1536",
        settings(2, AES, AES),
    ),
    "IKEv2, AES, no PFS": (
        2,
        "aes256-sha256-modp1536",
        "aes256-sha256",
        settings(2, AES, ("AES256", "SHA256", 0)),
    ),
}


@contextmanager
def charon(portal: RunningPortal, host: str) -> Iterator[vici.Session]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(portal.state / "lab" / host / "charon.vici"))
        yield vici.Session(connection)


def set_device(portal: RunningPortal, version: int, ike: str, esp: str) -> None:
    """Load these proposals, and terminate half-open IKE_SAs, which else expire after 30 s."""
    file = portal.state / "lab" / "peer" / "swanctl.conf"
    text = re.sub(r"version = \d", f"version = {version}", file.read_text())
    text = re.sub(r"\n(\s*)proposals = .*", rf"\n\1proposals = {ike}", text)
    load_device(portal, file, re.sub(r"esp_proposals = .*", f"esp_proposals = {esp}", text))
    with charon(portal, "peer") as session:
        unique_ids = [sa["uniqueid"] for item in session.list_sas() for sa in item.values()]
        for unique_id in unique_ids:
            with suppress(CommandException):
                list(session.terminate({"ike-id": unique_id, "force": "yes", "timeout": "500"}))


def key_of(portal: RunningPortal) -> str:
    """Return the key from the device's file, which is faster than `lab status`."""
    text = (portal.state / "lab" / "peer" / "swanctl.conf").read_text()
    return re.findall(r'secret = "(.*)"', text)[0]


def probe_objects(portal: RunningPortal) -> list[str]:
    """Return the connections, secrets and IKE_SAs of probes in the concentrator's charon."""
    with charon(portal, "concentrator") as session:
        names = [name.decode() for name in session.get_conns()["conns"]]
        names += [name.decode() for name in session.get_shared().get("keys", [])]
        names += [name for item in session.list_sas() for name in item]
    return [name for name in names if name.startswith("ask")]


@pytest.mark.parametrize("name", DEVICE_SETTINGS)
def test_a_probe_finds_the_settings_in_the_file_of_the_device(portal, name):
    version, ike, esp, expected = DEVICE_SETTINGS[name]
    set_device(portal, version, ike, esp)

    answer = portal.do(PROBE)

    print(f"{name}: {answer['took']:.1f} s")
    assert (answer["state"], answer["reason"]) == ("answered", "")
    assert answer["learnt"] == expected
    assert key_of(portal) not in answer["row"]
    assert probe_objects(portal) == []


@pytest.mark.parametrize("name", ["IKEv1, AES", "IKEv2, AES"])
def test_a_probe_with_a_wrong_key_finds_phase_1_and_reports_the_key(portal, name):
    version, ike, esp, expected = DEVICE_SETTINGS[name]
    set_device(portal, version, ike, esp)
    key = key_of(portal)

    answer = portal.do('services.set_preshared_key(tunnel, "not the key", user)' + PROBE)

    portal.do(f"services.set_preshared_key(tunnel, {key!r}, user)")
    assert answer["state"] == "answered"
    assert answer["learnt"].keys() == {name for name in expected if "two" not in name}
    assert "preshared key mismatch" in answer["reason"]
    assert probe_objects(portal) == []


def test_a_probe_without_a_key_uses_no_key_of_another_tunnel(portal):
    version, ike, esp, expected = DEVICE_SETTINGS["IKEv2, AES"]
    set_device(portal, version, ike, esp)
    log = portal.state / "lab" / "peer" / "charon.log"
    init_requests = log.read_text().count("parsed IKE_SA_INIT request")
    auth_requests = log.read_text().count("parsed IKE_AUTH request")
    key = key_of(portal)
    with another_secret(portal):
        answer = portal.do('services.set_preshared_key(tunnel, "", user)' + PROBE)
    portal.do(f"services.set_preshared_key(tunnel, {key!r}, user)")

    assert answer["learnt"].keys() == {name for name in expected if "two" not in name}
    assert log.read_text().count("parsed IKE_SA_INIT request") > init_requests
    assert log.read_text().count("parsed IKE_AUTH request") == auth_requests


@contextmanager
def another_secret(portal: RunningPortal) -> Iterator[None]:
    """Load a key for the same device and another local address: charon uses it as a last resort."""
    owners = ["203.0.113.9", "203.0.113.2"]
    secret = {"id": "office", "type": "IKE", "owners": owners, "data": b"of another"}
    with charon(portal, "concentrator") as session:
        session.load_shared(secret)
        yield
        session.unload_shared({"id": "office"})


def test_a_probe_of_an_unused_address_fails_within_seconds_and_lets_other_tunnels_apply(portal):
    portal.do(SECOND)
    answer = portal.do(UNUSED_PEER + START_PROBE + APPLY_SECOND)
    portal.do(DEVICE_PEER)

    print(f"no answer: {answer['took']:.1f} s, an apply meanwhile {answer['apply took']:.1f} s")
    assert answer["state"] == "failed"
    assert answer["reason"].startswith("No answer from 203.0.113.77 on UDP port 500.")
    assert answer["took"] < 15 * PATIENCE
    assert answer["applied before"]


SECOND = """
other = Tunnel.objects.create(account=tunnel.account, concentrator=tunnel.concentrator,
    name="ipsec002", hosted_peer="203.0.113.17", remote_peer="203.0.113.78")
other.subnets.add(tunnel.subnets.get(network="10.2.0.0/24"))
services.set_preshared_key(other, "a key", user)
services.add_remote_subnet(other, IPv4Network("192.168.77.0/24"), user)
"""


UNUSED_PEER = 'services.edit(tunnel, "remote_peer", "203.0.113.77", user)'
DEVICE_PEER = 'services.edit(tunnel, "remote_peer", "203.0.113.2", user)'
APPLY_SECOND = """
while probe.state == "queued":
    time.sleep(0.05)
    probe.refresh_from_db()
revision = services.apply(Tunnel.objects.get(name="ipsec002"), user)
while probe.state == "asking" or revision.unfinished:
    time.sleep(0.05)
    probe.refresh_from_db()
    revision.refresh_from_db()
say({"state": probe.state, "reason": probe.reason,
     "took": (probe.finished_at - probe.created_at).total_seconds(),
     "applied before": revision.finished_at < probe.finished_at,
     "apply took": (revision.finished_at - revision.created_at).total_seconds()})
"""


def test_a_restarted_worker_removes_the_probe_objects_of_a_killed_worker(portal):
    portal.do(UNUSED_PEER + START_PROBE)
    wait_for(lambda: probe_objects(portal), 10)
    kill(portal.process("celery", "concentrator"), signal.SIGKILL)

    # A worker starts in four seconds, and in forty in a guest of bin/kernel on a busy machine.
    wait_for(lambda: not probe_objects(portal), 90)

    portal.do(DEVICE_PEER + "\ntunnel.peer_probes.all().delete()")


@pytest.mark.parametrize("name", ["IKEv1, DES", "IKEv2, AES, no PFS"])
def test_the_filled_in_settings_carry_a_ping_and_the_portal_does_not_probe_a_running_tunnel(
    portal, name
):
    version, ike, esp, _ = DEVICE_SETTINGS[name]
    set_device(portal, version, ike, esp)
    wait_for(lambda: sa_status(portal) not in ("up", "older", "partial"), 20)
    assert portal.do(PROBE)["state"] == "answered"
    assert not portal.ping()

    applied = portal.apply(FILL_IN + translate())

    assert applied["outcome"] == "live"
    wait_for(portal.ping, 15)
    wait_for(lambda: sa_status(portal) == "up", 15)
    refused = portal.do(
        "from vpnportal.services import start_probe\n"
        "try: say(start_probe(tunnel, user).pk)\n"
        "except services.Refused as refused: say(str(refused))"
    )
    assert refused == "Not probed while the tunnel is up: its peer accepts the applied settings."
    assert portal.ping()


def sa_status(portal: RunningPortal) -> str:
    return portal.do("say(tunnel.sa_status)")
