"""What a charon cannot do is known before it is applied, and what is unknown forbids nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.samples import EXAMPLE, example
from vpnportal.domain.tunnel.charon_capabilities import CharonCapabilities
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, TunnelSpec

OLD = frozenset(
    ["AES_CBC", "HMAC_SHA2_256_128", "HMAC_MD5_96", "PRF_HMAC_SHA2_256", "MODP_1536", "MODP_2048"]
)
AEAD_ONLY = frozenset(["AES_GCM_16", "PRF_HMAC_SHA2_256", "ECP_256"])


def fields(spec: TunnelSpec, names: frozenset[str], userland_esp: bool = True) -> list[str]:
    return [one.field for one in CharonCapabilities(names, userland_esp).problems(spec)]


def phases(one: tuple, two: tuple, pfs: bool = True) -> TunnelSpec:
    return example(phase_one=PhaseOne(*one, 14_400), phase_two=PhaseTwo(*two[:2], pfs, two[2], 900))


def test_a_charon_of_which_nothing_is_known_yet_lacks_nothing():
    assert fields(phases(("DES", "MD5", 1), ("DES", "MD5", 1)), frozenset()) == []


def test_what_it_can_do_is_no_problem():
    assert fields(EXAMPLE, OLD) == []


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (("DES", "SHA256", 5), ("AES256", "SHA256", 5), ["phase_one_encryption"]),
        # Its integrity is there, its PRF is not, and only IKE needs that.
        (("AES256", "MD5", 5), ("AES256", "MD5", 5), ["phase_one_authentication"]),
        (("AES256", "SHA256", 31), ("AES256", "SHA256", 5), ["phase_one_group"]),
        (("AES256", "SHA256", 5), ("3DES", "SHA1", 31), [
            "phase_two_encryption", "phase_two_authentication", "phase_two_group"]),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_a_problem_of_its_field(one, two, expected):
    assert fields(phases(one, two), OLD) == expected


def test_beside_an_aead_a_hash_is_a_prf_only_and_nothing_in_phase_two():
    spec = phases(("AES256-GCM", "SHA256", 19), ("AES256-GCM", "MD5", 19))

    assert fields(spec, AEAD_ONLY) == []


def test_without_pfs_the_group_of_phase_two_is_not_asked_of_it():
    assert fields(phases(("AES256", "SHA256", 5), ("AES256", "SHA256", 31), pfs=False), OLD) == []


def test_a_kernel_has_ciphers_of_its_own_for_phase_two_and_no_groups():
    spec = phases(("AES256", "SHA256", 5), ("3DES", "SHA1", 31))

    assert fields(spec, OLD, userland_esp=False) == ["phase_two_group"]


@pytest.mark.parametrize(
    ("version", "may"),
    [("5.9.8", False), ("6.0.3", False), ("6.1.0", True), ("10.0", True), ("", False)],
)
def test_from_6_1_on_strongswan_may_lack_ikev1(version, may):
    assert CharonCapabilities(version=version).may_lack_ikev1 is may


def test_a_problem_says_what_would_be_right():
    spec = example(phase_one=replace(EXAMPLE.phase_one, encryption="DES"))

    assert [one.text for one in CharonCapabilities(OLD, True).problems(spec)] == [
        "This concentrator does not support DES. Choose another on both devices, "
        "or ask the service operators."
    ]
