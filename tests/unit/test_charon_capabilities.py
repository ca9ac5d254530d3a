"""Problems of specifications that exceed the capabilities of a charon."""

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


def problem_fields(spec: TunnelSpec, names: frozenset[str], userland_esp: bool = True) -> list[str]:
    problems = CharonCapabilities(names, userland_esp).problems(spec)
    return [problem.field for problem in problems]


def phases(phase_one: tuple, phase_two: tuple, pfs: bool = True) -> TunnelSpec:
    encryption, authentication, group = phase_two
    return example(
        phase_one=PhaseOne(*phase_one, 14_400),
        phase_two=PhaseTwo(encryption, authentication, pfs, group, 900),
    )


def test_a_charon_that_has_not_reported_forbids_nothing():
    assert problem_fields(phases(("DES", "MD5", 1), ("DES", "MD5", 1)), frozenset()) == []


def test_supported_algorithms_are_no_problem():
    assert problem_fields(EXAMPLE, OLD) == []


@pytest.mark.parametrize(
    ("phase_one", "phase_two", "expected"),
    [
        (("DES", "SHA256", 5), ("AES256", "SHA256", 5), ["phase_one_encryption"]),
        # charon has HMAC-MD5 as integrity algorithm, but not as PRF, which only IKE needs.
        (("AES256", "MD5", 5), ("AES256", "MD5", 5), ["phase_one_authentication"]),
        (("AES256", "SHA256", 31), ("AES256", "SHA256", 5), ["phase_one_group"]),
        (("AES256", "SHA256", 5), ("3DES", "SHA1", 31), [
            "phase_two_encryption", "phase_two_authentication", "phase_two_group"]),
    ],
)  # fmt: skip
def test_an_unsupported_algorithm_is_a_problem_of_its_field(phase_one, phase_two, expected):
    assert problem_fields(phases(phase_one, phase_two), OLD) == expected


def test_with_an_aead_a_hash_is_needed_only_as_prf_of_phase_one():
    spec = phases(("AES256-GCM", "SHA256", 19), ("AES256-GCM", "MD5", 19))

    assert problem_fields(spec, AEAD_ONLY) == []


def test_without_pfs_the_group_of_phase_two_does_not_count():
    spec = phases(("AES256", "SHA256", 5), ("AES256", "SHA256", 31), pfs=False)

    assert problem_fields(spec, OLD) == []


def test_a_kernel_has_its_own_ciphers_for_phase_two_but_no_groups():
    spec = phases(("AES256", "SHA256", 5), ("3DES", "SHA1", 31))

    assert problem_fields(spec, OLD, userland_esp=False) == ["phase_two_group"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("5.9.8", False), ("6.0.3", False), ("6.1.0", True), ("10.0", True), ("", False)],
)
def test_strongswan_may_lack_ikev1_from_version_6_1(version, expected):
    assert CharonCapabilities(version=version).may_lack_ikev1 is expected


def test_the_text_of_a_problem_says_what_to_do():
    spec = example(phase_one=replace(EXAMPLE.phase_one, encryption="DES"))

    assert [problem.text for problem in CharonCapabilities(OLD, True).problems(spec)] == [
        "This concentrator does not support DES. Choose another on both devices, "
        "or ask the service operators."
    ]
