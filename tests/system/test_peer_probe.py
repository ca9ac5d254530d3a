"""Ask the peer: the answer is what the customer's device has in its file, and Apply then works."""

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

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate
from tests.system.test_example import load

# The limit of questions in ten minutes is for people.
BEGIN = """
import time
from vpnportal.services.peer_probe import learned_values, start_probe
tunnel.peer_probes.all().delete()
question = start_probe(Tunnel.objects.get(pk=tunnel.pk), user)
"""
ASK = (
    BEGIN
    + """
while question.state in ("queued", "asking"):
    time.sleep(0.05)
    question.refresh_from_db()
took = (question.finished_at - question.created_at).total_seconds()
say({"state": question.state, "reason": question.reason, "learnt": learned_values(question),
     "took": took, "row": str(question.__dict__)})
"""
)
FILL_IN = """
from vpnportal.services.peer_probe import fill_in, newest
fill_in(tunnel, newest(tunnel), user)
"""


def settings(version: int, one: tuple[str, str, int], two: tuple[str, str, int]) -> dict[str, Any]:
    """The fields of the draft; group 0 in phase two is no PFS."""
    group = {"phase_two_group": two[2]} if two[2] else {}
    return {
        "ike_version": version,
        "phase_one_encryption": one[0],
        "phase_one_authentication": one[1],
        "phase_one_group": one[2],
        "phase_two_encryption": two[0],
        "phase_two_authentication": two[1],
        "phase_two_pfs": bool(two[2]),
        **group,
    }


# The device's words beside the customers', written down apart from the portal's own table.
AES, DES = ("AES256", "SHA256", 5), ("DES", "MD5", 1)
DEVICES = {
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
    """Load the file with these words, and forget half-open IKE_SAs: they only go after 30 s."""
    file = portal.state / "lab" / "peer" / "swanctl.conf"
    text = re.sub(r"version = \d", f"version = {version}", file.read_text())
    text = re.sub(r"\n(\s*)proposals = .*", rf"\n\1proposals = {ike}", text)
    load(portal, file, re.sub(r"esp_proposals = .*", f"esp_proposals = {esp}", text))
    with charon(portal, "peer") as session:
        running = [sa["uniqueid"] for item in session.list_sas() for sa in item.values()]
        for unique_id in running:
            with suppress(CommandException):
                list(session.terminate({"ike-id": unique_id, "force": "yes", "timeout": "500"}))


def key_of(portal: RunningPortal) -> str:
    """The device's key, from its file: sooner than `lab status` tells it."""
    text = (portal.state / "lab" / "peer" / "swanctl.conf").read_text()
    return re.findall(r'secret = "(.*)"', text)[0]


def left_over(portal: RunningPortal) -> list[str]:
    """What the concentrator's charon holds of questions."""
    with charon(portal, "concentrator") as session:
        names = [name.decode() for name in session.get_conns()["conns"]]
        names += [name.decode() for name in session.get_shared().get("keys", [])]
        names += [name for item in session.list_sas() for name in item]
    return [name for name in names if name.startswith("ask")]


@pytest.mark.parametrize("what", DEVICES)
def test_the_answer_is_what_the_file_of_the_device_says(portal, what):
    version, ike, esp, expected = DEVICES[what]
    set_device(portal, version, ike, esp)

    answer = portal.do(ASK)

    print(f"{what}: {answer['took']:.1f} s")
    assert (answer["state"], answer["reason"]) == ("answered", "")
    assert answer["learnt"] == expected
    assert key_of(portal) not in answer["row"]
    assert left_over(portal) == []


@pytest.mark.parametrize("what", ["IKEv1, AES", "IKEv2, AES"])
def test_with_a_wrong_key_phase_one_is_learnt_and_the_key_is_named(portal, what):
    version, ike, esp, expected = DEVICES[what]
    set_device(portal, version, ike, esp)
    key = key_of(portal)

    answer = portal.do('services.set_preshared_key(tunnel, "not the key", user)' + ASK)

    portal.do(f"services.set_preshared_key(tunnel, {key!r}, user)")
    assert answer["state"] == "answered"
    assert answer["learnt"].keys() == {name for name in expected if "two" not in name}
    assert "preshared key mismatch" in answer["reason"]
    assert left_over(portal) == []


def test_without_a_key_no_other_tunnels_key_is_tried_either(portal):
    version, ike, esp, expected = DEVICES["IKEv2, AES"]
    set_device(portal, version, ike, esp)
    log = portal.state / "lab" / "peer" / "charon.log"
    asked = log.read_text().count("parsed IKE_SA_INIT request")
    tried = log.read_text().count("parsed IKE_AUTH request")
    key = key_of(portal)
    with another_secret(portal):
        answer = portal.do('services.set_preshared_key(tunnel, "", user)' + ASK)
    portal.do(f"services.set_preshared_key(tunnel, {key!r}, user)")

    assert answer["learnt"].keys() == {name for name in expected if "two" not in name}
    assert log.read_text().count("parsed IKE_SA_INIT request") > asked
    assert log.read_text().count("parsed IKE_AUTH request") == tried


@contextmanager
def another_secret(portal: RunningPortal) -> Iterator[None]:
    """A key for the same device from another end: charon takes it for want of a better one."""
    owners = ["203.0.113.9", "203.0.113.2"]
    secret = {"id": "office", "type": "IKE", "owners": owners, "data": b"of another"}
    with charon(portal, "concentrator") as session:
        session.load_shared(secret)
        yield
        session.unload_shared({"id": "office"})


def test_where_nobody_is_that_is_said_within_seconds_and_others_get_their_turn(portal):
    portal.do(SECOND)
    answer = portal.do(NOBODY + BEGIN + APPLY_SECOND)
    portal.do(SOMEBODY)

    print(f"nobody there: {answer['took']:.1f} s, an apply meanwhile {answer['apply took']:.1f} s")
    assert answer["state"] == "failed"
    assert answer["reason"].startswith("No answer from 203.0.113.77 on UDP port 500.")
    assert answer["took"] < 15
    assert answer["applied before"]


SECOND = """
other = Tunnel.objects.create(account=tunnel.account, concentrator=tunnel.concentrator,
    name="ipsec002", hosted_peer="203.0.113.17", remote_peer="203.0.113.78")
other.subnets.add(tunnel.subnets.get(network="10.2.0.0/24"))
services.set_preshared_key(other, "a key", user)
services.add_remote_subnet(other, IPv4Network("192.168.77.0/24"), user)
"""


NOBODY = 'services.edit(tunnel, "remote_peer", "203.0.113.77", user)'
SOMEBODY = 'services.edit(tunnel, "remote_peer", "203.0.113.2", user)'
APPLY_SECOND = """
while question.state == "queued":
    time.sleep(0.05)
    question.refresh_from_db()
revision = services.apply(Tunnel.objects.get(name="ipsec002"), user)
while question.state == "asking" or revision.unfinished:
    time.sleep(0.05)
    question.refresh_from_db()
    revision.refresh_from_db()
say({"state": question.state, "reason": question.reason,
     "took": (question.finished_at - question.created_at).total_seconds(),
     "applied before": revision.finished_at < question.finished_at,
     "apply took": (revision.finished_at - revision.created_at).total_seconds()})
"""


def test_what_a_worker_left_that_was_killed_is_gone_when_it_is_back(portal):
    portal.do(NOBODY + BEGIN)
    wait_for(lambda: left_over(portal), 10)
    kill(portal.process("celery", "concentrator"), signal.SIGKILL)

    wait_for(lambda: not left_over(portal), 30)

    portal.do(SOMEBODY + "\ntunnel.peer_probes.all().delete()")


@pytest.mark.parametrize("what", ["IKEv1, DES", "IKEv2, AES, no PFS"])
def test_once_filled_in_and_applied_the_ping_is_answered_and_a_running_tunnel_is_not_asked(
    portal, what
):
    version, ike, esp, _ = DEVICES[what]
    set_device(portal, version, ike, esp)
    wait_for(lambda: association(portal) not in ("up", "older", "partial"), 20)
    assert portal.do(ASK)["state"] == "answered"
    assert not portal.ping()

    applied = portal.apply(FILL_IN + translate())

    assert applied["outcome"] == "live"
    wait_for(portal.ping, 15)
    wait_for(lambda: association(portal) == "up", 15)
    refused = portal.do(
        "from vpnportal.services.peer_probe import start_probe\n"
        "try: say(start_probe(tunnel, user).pk)\n"
        "except services.Refused as refused: say(str(refused))"
    )
    assert refused == "The tunnel is up, so its peer accepts what is applied: it is not asked."
    assert portal.ping()


def association(portal: RunningPortal) -> str:
    return portal.do("say(tunnel.sa_status)")
