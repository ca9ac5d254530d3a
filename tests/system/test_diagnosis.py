"""Every cause of the diagnosis with two charons, in both roles and in each IKE version it has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.running_portal import wait_for
from tests.system.conftest import translate
from tests.system.diagnosis_scene import Scene

pytestmark = pytest.mark.debian13

OTHER_PHASE_ONE, OTHER_PHASE_TWO = "aes128-sha1-modp1024", "aes128-sha1-modp1536"
OUR_PROPOSAL = "AES256 / SHA256 / group 5"
SUBNETS = "hosted {}, remote {}"
ROLES = ("initiator", "responder")


@pytest.fixture(scope="module")
def applied(portal) -> Iterator[Scene]:
    """Yield a portal whose tunnel was up once."""
    scene = Scene(portal)
    portal.apply(translate())
    wait_for(portal.ping, 20)
    yield scene
    scene.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def scene(request, applied: Scene) -> Iterator[Scene]:
    """Yield the tunnel in an IKE version; only the test initiates."""
    if applied.evaluate("tunnel().ike_version") != request.param:
        applied.portal.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
    applied.version = request.param
    with applied.worker_stopped():
        yield applied


@pytest.fixture
def any_version(applied: Scene) -> Iterator[Scene]:
    """Yield the tunnel in the IKE version of the last test; only the test initiates."""
    with applied.worker_stopped():
        yield applied


# Wrong settings of the device, and by IKE version and role of the concentrator: the cause, the
# field, and the values of the device and of the tunnel.
WRONG = {
    "key": (
        {"key": "not the key"},
        {
            (1, "initiator"): ("KEY", "preshared_key", "", ""),
            (1, "responder"): ("KEY", "preshared_key", "", ""),
            (2, "initiator"): ("KEY_OR_IDENTITY", "preshared_key", "", ""),
            (2, "responder"): ("KEY", "preshared_key", "", ""),
        },
    ),
    "device without a key": (
        {"key_of": "192.0.2.1"},
        {
            (1, "initiator"): ("NO_KEY", "preshared_key", "", ""),
            (1, "responder"): ("NO_KEY", "preshared_key", "", ""),
            (2, "initiator"): ("KEY_OR_IDENTITY", "preshared_key", "", ""),
            (2, "responder"): ("NAT_T", "remote_peer", "", ""),
        },
    ),
    "identity": (
        {"id": "customer.example"},
        {
            (1, "initiator"): ("IDENTITY", "remote_peer", "customer.example", "203.0.113.2"),
            (1, "responder"): ("IDENTITY", "remote_peer", "customer.example", "203.0.113.2"),
            (2, "initiator"): ("KEY_OR_IDENTITY", "preshared_key", "", ""),
            (2, "responder"): ("IDENTITY", "remote_peer", "customer.example", "203.0.113.2"),
        },
    ),
    "identity that the device expects": (
        {"remote_id": "gateway.example", "key_of": "gateway.example"},
        {
            (1, "initiator"): ("IDENTITY", "remote_peer", "", "203.0.113.1"),
            (1, "responder"): ("IDENTITY", "remote_peer", "", "203.0.113.1"),
            (2, "initiator"): ("KEY_OR_IDENTITY", "preshared_key", "", ""),
            (2, "responder"): ("IDENTITY", "remote_peer", "gateway.example", "203.0.113.1"),
        },
    ),
    "IKE version": (
        {"version": "the other"},
        {
            # strongSwan replies as to a wrong proposal.
            (1, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OUR_PROPOSAL),
            (1, "responder"): ("IKE_VERSION", "ike_version", "IKEv2", "IKEv1"),
            (2, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OUR_PROPOSAL),
            (2, "responder"): ("IKE_VERSION", "ike_version", "IKEv1", "IKEv2"),
        },
    ),
    "phase one": (
        {"proposals": OTHER_PHASE_ONE},
        {
            (1, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OUR_PROPOSAL),
            (1, "responder"): (
                "PHASE_ONE",
                "phase_one_encryption",
                "AES128 / SHA1 / group 2",
                OUR_PROPOSAL,
            ),
            (2, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OUR_PROPOSAL),
            (2, "responder"): (
                "PHASE_ONE",
                "phase_one_encryption",
                "AES128 / SHA1 / group 2",
                OUR_PROPOSAL,
            ),
        },
    ),
    "group of phase one": (
        {"proposals": "aes256-sha256-modp2048"},
        {
            (version, role): (
                "PHASE_ONE",
                "phase_one_group" if role == "responder" else "phase_one_encryption",
                "AES256 / SHA256 / group 14" if role == "responder" else "",
                OUR_PROPOSAL,
            )
            for version in (1, 2)
            for role in ROLES
        },
    ),
    "phase two": (
        {"esp_proposals": OTHER_PHASE_TWO},
        {
            (1, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OUR_PROPOSAL),
            (1, "responder"): (
                "PHASE_TWO",
                "phase_two_encryption",
                "AES128 / SHA1 / group 5",
                OUR_PROPOSAL,
            ),
            (2, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OUR_PROPOSAL),
            # Without the group, which IKE_AUTH does not negotiate (RFC 7296, 1.2).
            (2, "responder"): (
                "PHASE_TWO",
                "phase_two_encryption",
                "AES128 / SHA1",
                "AES256 / SHA256",
            ),
        },
    ),
    "subnets": (
        {"local_ts": "192.168.20.0/24"},
        {
            (version, role): (
                "SUBNETS",
                "remote_subnets",
                SUBNETS.format("10.2.0.0/24", "192.168.20.0/24") if role == "responder" else "",
                SUBNETS.format("10.2.0.0/24", "192.168.10.0/24"),
            )
            for version in (1, 2)
            for role in ROLES
        },
    ),
    "narrower subnets": (
        {"local_ts": "192.168.10.0/25"},
        {
            (version, role): (
                "NARROWED",
                "remote_subnets",
                SUBNETS.format("10.2.0.0/24", "192.168.10.0/25"),
                SUBNETS.format("10.2.0.0/24", "192.168.10.0/24"),
            )
            for version in (1, 2)
            for role in ROLES
        },
    ),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", WRONG)
def test_an_attempt_shows_the_wrong_setting_of_the_device(scene, name, role):
    wrong, expected = WRONG[name]
    cause, field, theirs, ours = expected[scene.version, role]
    device = {"version": scene.version, **wrong}
    if name == "IKE version":
        device["version"] = 3 - scene.version
    scene.set_device(**device)
    scene.reset()

    scene.initiate(role)

    scene.expect_finding(cause, field=field, theirs=theirs, ours=ours, roles=[role])


def test_a_key_missing_at_the_gateway_is_a_finding(scene):
    for role in ROLES:
        scene.set_device(version=scene.version)
        scene.reset()
        scene.evaluate("unload_secrets()")

        scene.initiate(role)

        finding = scene.expect_finding("NO_KEY", roles=[role])
        assert finding["texts"][0].startswith("The concentrator has no preshared key")


# The refusal of a Quick Mode does not name the wrong part of the proposal.
OTHER_PFS = {
    (1, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OUR_PROPOSAL),
    (1, "responder"): ("PFS", "phase_two_group", "group 14", "group 5"),
    (2, "initiator"): ("PFS", "phase_two_group", "", "group 5"),
    (2, "responder"): ("PFS", "phase_two_group", "group 14", "group 5"),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_wrong_pfs_group_is_a_finding_in_ikev2_after_a_rekey_of_a_running_tunnel(scene, role):
    scene.set_device(version=scene.version, esp_proposals="aes256-sha256-modp2048")
    scene.reset()

    scene.initiate(role)
    if scene.version == 2:
        wait_for(scene.is_up, 5)
        scene.rekey(role)

    cause, field, theirs, ours = OTHER_PFS[scene.version, role]
    scene.expect_finding(cause, field=field, theirs=theirs, ours=ours, roles=[role])
    assert scene.is_up() == (scene.version == 2)


SILENCE = {
    "NO_ANSWER": "udp dport { 500, 4500 } drop",
    "REFUSED": "udp dport 500 reject",
    "NAT_T": "udp dport 4500 drop",
}


@pytest.mark.parametrize("cause", SILENCE)
def test_the_findings_distinguish_no_answer_from_a_refused_or_blocked_port(scene, cause):
    scene.set_device(version=scene.version, encap="yes")
    scene.reset()
    with scene.rules("peer", SILENCE[cause]):
        scene.initiate("initiator")

        scene.expect_finding(cause, field="remote_peer", roles=["initiator"])


def test_the_finding_of_a_refused_port_4500_has_its_number(scene):
    scene.set_device(version=scene.version, encap="yes")
    scene.reset()
    with scene.rules("peer", "udp dport 4500 reject"):
        scene.initiate("initiator")

        assert "UDP port 4500 of" in scene.expect_finding("REFUSED")["texts"][0]


@pytest.mark.parametrize(
    ("host", "ports", "cause"),
    [("peer", "{ 500, 4500 }", "NO_ANSWER"), ("concentrator", "4500", "NAT_T")],
)
def test_packets_lost_in_either_direction_are_a_finding(scene, host, ports, cause):
    scene.set_device(version=scene.version, encap="yes")
    scene.reset()
    with scene.rules(host, f"udp dport {ports} drop"):
        scene.initiate("responder")

        scene.expect_finding(cause, roles=["responder"])


def test_duplicate_ike_sas_of_a_tunnel_are_a_finding(scene):
    scene.set_device(version=scene.version, connections=3)
    scene.reset()
    for number in range(3):
        scene.initiate("responder", f"c{number}")
        wait_for(partial(scene.has_established, number + 1), 5)

    scene.expect_finding("DUPLICATES")


def test_too_many_half_open_ike_sas_of_a_device_are_a_finding(scene):
    scene.set_device(version=scene.version, connections=8, encap="yes")
    scene.reset()
    with scene.rules("concentrator", "udp dport 4500 drop"):
        for number in range(8):
            scene.initiate("responder", f"c{number}")

        scene.expect_finding("DOS_LIMIT")


def test_a_working_tunnel_has_no_findings(scene):
    scene.set_device(version=scene.version)
    for role in ROLES:
        scene.reset()
        scene.initiate(role)
        wait_for(lambda: scene.portal.ping(), 10)
        wait_for(scene.has_logged_child_sa, 5)

        assert scene.evaluate("diagnosis()")["findings"] == []


def test_an_algorithm_missing_at_the_gateway_is_a_finding(scene):
    scene.set_device(version=scene.version)
    scene.reset()
    scene.restart_gateway(without="aes openssl gcrypt")
    try:
        for role in ROLES:
            scene.evaluate("load()")
            scene.initiate(role)

            scene.expect_finding("ALGORITHM", ours="AES_CBC", roles=[role])
    finally:
        scene.restart_gateway()


def test_a_tunnel_that_goes_up_and_down_is_flapping(any_version):
    any_version.set_device(version=any_version.version)
    any_version.reset()
    for _ in range(4):
        any_version.initiate("responder")
        wait_for(any_version.is_up, 5)
        any_version.terminate_at_device()
        time.sleep(2.1)

    any_version.expect_finding("FLAPPING")


def test_traffic_without_replies_is_one_way(any_version):
    any_version.set_device(version=any_version.version)
    any_version.reset()
    # On port 4500, ESP starts with an SPI and IKE with four zeros (RFC 3948).
    in_udp = "udp dport 4500 @th,64,32 != 0 drop"
    esp = "meta l4proto esp drop" if any_version.portal.kernel_esp else in_udp
    with any_version.rules("concentrator", esp):
        any_version.initiate("initiator")
        wait_for(any_version.is_up, 5)
        any_version.portal.on("server", "ping", "-c", "6", "-i", "0.2", "-W", "1", "10.1.255.92")

        any_version.expect_finding("ONE_WAY", 30)


def test_a_wrong_key_is_a_finding_soon_after_its_apply_while_the_old_sas_are_up(applied):
    version = applied.evaluate("tunnel().ike_version")
    applied.set_device(version=version)
    applied.reset()
    applied.initiate("initiator")
    wait_for(applied.portal.ping, 10)
    try:
        applied.portal.apply('services.set_preshared_key(tunnel, "not the key", user)')

        applied.expect_finding("KEY" if version == 1 else "KEY_OR_IDENTITY", field="preshared_key")
        assert applied.portal.ping()
    finally:
        applied.portal.apply(f"services.set_preshared_key(tunnel, {applied.key!r}, user)")
