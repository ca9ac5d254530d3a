"""Changes between two specifications are told in the panel's words, and never a key."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from tests.unit.samples import EXAMPLE, KEY, example, specs, translation
from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs


def test_equal_specifications_have_no_changes():
    assert diff_specs(EXAMPLE, EXAMPLE) == ()


def test_a_change_says_before_and_after():
    after = example(phase_one=replace(EXAMPLE.phase_one, encryption="AES128"))

    assert diff_specs(EXAMPLE, after) == (
        Change("phase_one_encryption", "Phase One Encryption", "AES256", "AES128"),
    )


def test_a_changed_key_is_only_changed():
    assert diff_specs(EXAMPLE, example(preshared_key="another")) == (
        Change("preshared_key", "Preshared Key", "", "changed"),
    )


def test_a_removed_translation_is_a_change_of_its_address():
    after = example(translations=(translation("10.1.255.93", "192.168.10.16"),))

    assert diff_specs(EXAMPLE, after) == (
        Change(
            "translation 10.1.255.92", "Customer IP for 10.1.255.92", "192.168.10.15 database", ""
        ),
        Change("translation 10.1.255.93", "Customer IP for 10.1.255.93", "", "192.168.10.16"),
    )


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_two_digests_are_equal_exactly_when_nothing_changes(one, other):
    for a, b in ((one, other), (one, one)):
        shuffled = replace(
            b,
            translations=b.translations[::-1],
            remote_subnets=b.remote_subnets[::-1],
            hosted_subnets=b.hosted_subnets[::-1],
        )
        assert (spec_digest(a, KEY) == spec_digest(shuffled, KEY)) is (diff_specs(a, b) == ())


def test_a_digest_is_another_one_under_another_key():
    assert spec_digest(EXAMPLE, KEY) != spec_digest(EXAMPLE, b"another key")
