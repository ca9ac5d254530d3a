"""Each cause provoked with a real second charon: both roles, both IKE versions where it exists."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.running_portal import wait_for
from tests.system.conftest import translate
from tests.system.diagnosis_scene import Bench

OTHER_ONE, OTHER_TWO = "aes128-sha1-modp1024", "aes128-sha1-modp1536"
OURS_ONE = OURS_TWO = "AES256 / SHA256 / group 5"
SUBNETS = "hosted {}, remote {}"
ROLES = ("initiator", "responder")


@pytest.fixture(scope="module")
def applied(portal) -> Iterator[Bench]:
    """A portal with its tunnel, which ran once."""
    bench = Bench(portal)
    portal.apply(translate())
    wait_for(portal.ping, 20)
    yield bench
    bench.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["IKEv1", "IKEv2"])
def bench(request, applied: Bench) -> Iterator[Bench]:
    """The tunnel set to one IKE version, and nobody who dials but the test."""
    if applied.ask("tunnel().ike_version") != request.param:
        applied.portal.apply(f'services.edit(tunnel, "ike_version", {request.param}, user)')
    applied.version = request.param
    with applied.worker_held():
        yield applied


@pytest.fixture
def last(applied: Bench) -> Iterator[Bench]:
    """The tunnel in the version that it was set to last, for what does not depend on it."""
    with applied.worker_held():
        yield applied


# What is wrong at the device, and by IKE version and role: the cause, the field, what the device
# offers, what this end has.
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
    "no key at the device": (
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
    "identity expected of this end": (
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
            # strongSwan answers as if the proposal were wrong.
            (1, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OURS_ONE),
            (1, "responder"): ("IKE_VERSION", "ike_version", "IKEv2", "IKEv1"),
            (2, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OURS_ONE),
            (2, "responder"): ("IKE_VERSION", "ike_version", "IKEv1", "IKEv2"),
        },
    ),
    "phase one": (
        {"proposals": OTHER_ONE},
        {
            (1, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OURS_ONE),
            (1, "responder"): (
                "PHASE_ONE",
                "phase_one_encryption",
                "AES128 / SHA1 / group 2",
                OURS_ONE,
            ),
            (2, "initiator"): ("PHASE_ONE", "phase_one_encryption", "", OURS_ONE),
            (2, "responder"): (
                "PHASE_ONE",
                "phase_one_encryption",
                "AES128 / SHA1 / group 2",
                OURS_ONE,
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
                OURS_ONE,
            )
            for version in (1, 2)
            for role in ROLES
        },
    ),
    "phase two": (
        {"esp_proposals": OTHER_TWO},
        {
            (1, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OURS_TWO),
            (1, "responder"): (
                "PHASE_TWO",
                "phase_two_encryption",
                "AES128 / SHA1 / group 5",
                OURS_TWO,
            ),
            (2, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OURS_TWO),
            # Without the group, which this exchange leaves out.
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
@pytest.mark.parametrize("what", WRONG)
def test_what_the_device_has_wrong_is_named_a_second_after_an_attempt(bench, what, role):
    wrong, told = WRONG[what]
    cause, field, theirs, ours = told[bench.version, role]
    device = {"version": bench.version, **wrong}
    if what == "IKE version":
        device["version"] = 3 - bench.version
    bench.set_device(**device)
    bench.start_over()

    bench.dial(role)

    bench.finds(cause, field=field, theirs=theirs, ours=ours, roles=[role])


def test_a_key_that_the_gateway_lost_is_named_at_this_end(bench):
    for role in ROLES:
        bench.set_device(version=bench.version)
        bench.start_over()
        bench.ask("forget()")

        bench.dial(role)

        found = bench.finds("NO_KEY", roles=[role])
        assert found["said"][0].startswith("The concentrator has no preshared key")


# The refusal of a Quick Mode does not tell which part of the proposal is wrong.
OTHER_PFS = {
    (1, "initiator"): ("PHASE_TWO", "phase_two_encryption", "", OURS_TWO),
    (1, "responder"): ("PFS", "phase_two_group", "group 14", "group 5"),
    (2, "initiator"): ("PFS", "phase_two_group", "", "group 5"),
    (2, "responder"): ("PFS", "phase_two_group", "group 14", "group 5"),
}


@pytest.mark.parametrize("role", ROLES)
def test_another_group_of_pfs_is_named_in_ikev2_by_a_rekey_though_the_tunnel_is_up(bench, role):
    bench.set_device(version=bench.version, esp_proposals="aes256-sha256-modp2048")
    bench.start_over()

    bench.dial(role)
    if bench.version == 2:
        wait_for(bench.up, 5)
        bench.rekey(role)

    cause, field, theirs, ours = OTHER_PFS[bench.version, role]
    bench.finds(cause, field=field, theirs=theirs, ours=ours, roles=[role])
    assert bench.up() == (bench.version == 2)


SILENCE = {
    "NO_ANSWER": "udp dport { 500, 4500 } drop",
    "REFUSED": "udp dport 500 reject",
    "NAT_T": "udp dport 4500 drop",
}


@pytest.mark.parametrize("cause", SILENCE)
def test_a_device_that_cannot_be_reached_is_told_from_one_that_refuses(bench, cause):
    bench.set_device(version=bench.version)
    bench.start_over()
    with bench.rules("peer", SILENCE[cause]):
        bench.dial("initiator")

        bench.finds(cause, field="remote_peer", roles=["initiator"])


def test_a_refused_port_4500_is_told_with_its_number(bench):
    bench.set_device(version=bench.version)
    bench.start_over()
    with bench.rules("peer", "udp dport 4500 reject"):
        bench.dial("initiator")

        assert "UDP port 4500 of" in bench.finds("REFUSED")["said"][0]


@pytest.mark.parametrize(
    ("host", "ports", "cause"),
    [("peer", "{ 500, 4500 }", "NO_ANSWER"), ("concentrator", "4500", "NAT_T")],
)
def test_a_device_that_does_not_hear_us_or_is_not_heard_is_named(bench, host, ports, cause):
    bench.set_device(version=bench.version)
    bench.start_over()
    with bench.rules(host, f"udp dport {ports} drop"):
        bench.dial("responder")

        bench.finds(cause, roles=["responder"])


def test_a_tunnel_that_is_built_several_times_is_named(bench):
    bench.set_device(version=bench.version, connections=3)
    bench.start_over()
    for number in range(3):
        bench.dial("responder", f"c{number}")
        wait_for(partial(bench.established, number + 1), 5)

    bench.finds("DUPLICATES")


def test_a_device_that_begins_more_than_it_finishes_reaches_the_limit(bench):
    bench.set_device(version=bench.version, connections=8)
    bench.start_over()
    with bench.rules("concentrator", "udp dport 4500 drop"):
        for number in range(8):
            bench.dial("responder", f"c{number}")

        bench.finds("DOS_LIMIT")


def test_a_tunnel_that_is_well_has_no_findings(bench):
    bench.set_device(version=bench.version)
    for role in ROLES:
        bench.start_over()
        bench.dial(role)
        wait_for(lambda: bench.portal.ping(), 10)
        wait_for(bench.carried, 5)

        assert bench.ask("found()")["findings"] == []


def test_an_algorithm_that_the_gateway_lacks_is_named(bench):
    bench.set_device(version=bench.version)
    bench.start_over()
    bench.restart_gateway(without="aes openssl gcrypt")
    try:
        for role in ROLES:
            bench.ask("load()")
            bench.dial(role)

            bench.finds("ALGORITHM", ours="AES_CBC", roles=[role])
    finally:
        bench.restart_gateway()


def test_a_tunnel_that_comes_and_goes_is_flapping(last):
    last.set_device(version=last.version)
    last.start_over()
    for _ in range(4):
        last.dial("responder")
        wait_for(last.up, 5)
        last.hang_up()
        time.sleep(2.1)

    last.finds("FLAPPING")


def test_traffic_that_nothing_answers_is_one_way(last):
    last.set_device(version=last.version)
    last.start_over()
    # Packets of ESP in UDP begin with an SPI, those of IKE with four zeros (RFC 3948).
    with last.rules("concentrator", "udp dport 4500 @th,64,32 != 0 drop"):
        last.dial("initiator")
        wait_for(last.up, 5)
        last.portal.on("server", "ping", "-c", "6", "-i", "0.2", "-W", "1", "10.1.255.92")

        last.finds("ONE_WAY", 30)


def test_a_wrong_key_is_named_soon_after_its_apply_while_the_older_one_still_carries(applied):
    version = applied.ask("tunnel().ike_version")
    applied.set_device(version=version)
    applied.start_over()
    applied.dial("initiator")
    wait_for(applied.portal.ping, 10)
    try:
        applied.portal.apply('services.set_preshared_key(tunnel, "not the key", user)')

        applied.finds("KEY" if version == 1 else "KEY_OR_IDENTITY", field="preshared_key")
        assert applied.portal.ping()
    finally:
        applied.portal.apply(f"services.set_preshared_key(tunnel, {applied.key!r}, user)")
