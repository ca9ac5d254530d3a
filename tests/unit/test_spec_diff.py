"""Changes between two specifications: labels and values, but no preshared key."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from tests.unit.samples import EXAMPLE, KEY, example, specs, translation
from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs


def test_equal_specifications_have_no_changes():
    assert diff_specs(EXAMPLE, EXAMPLE) == ()


def test_a_change_has_the_values_before_and_after():
    after = example(phase_one=replace(EXAMPLE.phase_one, encryption="AES128"))

    assert diff_specs(EXAMPLE, after) == (
        Change("phase_one_encryption", "Phase One Encryption", "AES256", "AES128"),
    )


def test_a_change_of_the_key_does_not_show_the_key():
    assert diff_specs(EXAMPLE, example(preshared_key="another")) == (
        Change("preshared_key", "Preshared Key", "", "changed"),
    )


def test_translations_are_changes_by_internal_address():
    after = example(translations=(translation("10.1.255.93", "192.168.10.16"),))

    assert diff_specs(EXAMPLE, after) == (
        Change(
            "translation 10.1.255.92", "Customer IP for 10.1.255.92", "192.168.10.15 database", ""
        ),
        Change("translation 10.1.255.93", "Customer IP for 10.1.255.93", "", "192.168.10.16"),
    )


@given(specs(tunnel_id=1), specs(tunnel_id=1))
def test_digests_are_equal_exactly_if_there_are_no_changes(spec, other_spec):
    for before, after in ((spec, other_spec), (spec, spec)):
        reordered = replace(
            after,
            translations=after.translations[::-1],
            remote_subnets=after.remote_subnets[::-1],
            hosted_subnets=after.hosted_subnets[::-1],
        )
        is_equal = spec_digest(before, KEY) == spec_digest(reordered, KEY)
        assert is_equal is (diff_specs(before, after) == ())


def test_a_digest_depends_on_the_key():
    assert spec_digest(EXAMPLE, KEY) != spec_digest(EXAMPLE, b"another key")
