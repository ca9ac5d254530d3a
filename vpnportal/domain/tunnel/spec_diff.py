"""Changes between two specifications, field by field, with the labels of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import (
    Starts,
    Translation,
    TunnelSpec,
    translation_address,
    translation_field,
)

PHASES = ("phase_one", "phase_two")
EMPTY = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a field; `before` and `after` are "" for no value.

    For the preshared key, `before` is "" and `after` is "changed" or "removed". During a rotation,
    the next key counts.
    """

    field: str
    label: str
    before: str
    after: str


def diff_specs(before: TunnelSpec | None, after: TunnelSpec) -> tuple[Change, ...]:
    """Return the changes that an apply of `after` makes, in the order of the page."""
    return (
        *_field_changes(before, after),
        *_key_change(before, after),
        *_translation_changes(before, after),
    )


def with_field_from(spec: TunnelSpec, other: TunnelSpec, field: str) -> TunnelSpec:
    """Return `spec` with the value that `field`, a `Change.field`, has in `other`."""
    if (address := translation_address(field)) is not None:
        internal = IPv4Address(address)
        remaining = (row for row in spec.translations if row.internal != internal)
        copied = (row for row in other.translations if row.internal == internal)
        return replace(spec, translations=(*remaining, *copied))
    if field == "preshared_key":
        return replace(spec, preshared_key=other.newest_key, next_key="")
    phase, _, name = field.rpartition("_")
    if phase in PHASES:
        changed_phase = replace(getattr(spec, phase), **{name: value_of(other, field)})
        return replace(spec, **{phase: changed_phase})
    return replace(spec, **{field: value_of(other, field)})


def with_rotation(draft: TunnelSpec, applied: TunnelSpec) -> TunnelSpec:
    """Return a draft with the rotation of an applied specification, unless it has another key.

    The lineage counts only as long as it fits the key and the IKE settings.
    """
    spec = replace(draft, lineage=applied.lineage)
    if not applied.next_key or draft.preshared_key != applied.next_key:
        return spec
    return replace(spec, preshared_key=applied.preshared_key, next_key=applied.next_key)


def value_of(spec: TunnelSpec, field: str) -> Any:
    """Return the value of a field, such as `starts` or, of a phase, `phase_one_group`."""
    phase, _, name = field.rpartition("_")
    return getattr(getattr(spec, phase), name) if phase in PHASES else getattr(spec, field)


def in_words(field: str, value: object) -> str:
    """Return a value of a field as the lists on the pages show it; a dash for no value."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if field == "ike_version" and isinstance(value, int):
        return IKE_VERSIONS.get(value, str(value))
    if field == "dpd_seconds":
        return f"{value} seconds" if value else "off"
    if field == "starts":
        return Starts(str(value)).label
    return EMPTY if value in (None, "") else str(value)


def _field_changes(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old_values = _labelled_values(before) if before else {}
    for (field, label), value in _labelled_values(after).items():
        old_value = old_values.get((field, label), "")
        if old_value != value:
            yield Change(field, label, old_value, value)


def _key_change(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old_key = before.newest_key if before else ""
    if old_key != after.newest_key:
        change = "changed" if after.newest_key else "removed"
        yield Change("preshared_key", "Preshared Key", "", change)


def _translation_changes(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old_rows = {row.internal: row for row in before.translations} if before else {}
    new_rows = {row.internal: row for row in after.translations}
    for internal in sorted(old_rows.keys() | new_rows.keys()):
        old_row, new_row = old_rows.get(internal), new_rows.get(internal)
        if old_row != new_row:
            yield Change(
                translation_field(internal),
                f"Customer IP for {internal}",
                _customer(old_row),
                _customer(new_row),
            )


def _customer(row: Translation | None) -> str:
    return f"{row.customer} {row.name}".rstrip() if row else ""


def _labelled_values(spec: TunnelSpec) -> dict[tuple[str, str], str]:
    """Return texts of fields by (name, label), without the preshared key and translations."""
    phase_one, phase_two = spec.phase_one, spec.phase_two
    return {
        ("hosted_peer", "Hosted Peer Address"): str(spec.hosted_peer),
        ("remote_peer", "Remote Peer Address"): str(spec.remote_peer or ""),
        ("ike_version", "IKE version"): in_words("ike_version", spec.ike_version),
        ("phase_one_encryption", "Phase One Encryption"): phase_one.encryption,
        ("phase_one_authentication", "Phase One Authentication"): phase_one.authentication,
        ("phase_one_group", "Phase One Diffie-Hellman Group (DH)"): str(phase_one.group),
        ("phase_one_keylife", "Phase One Key Life (in seconds)"): str(phase_one.keylife),
        ("phase_two_encryption", "Phase Two Encryption"): phase_two.encryption,
        ("phase_two_authentication", "Phase Two Authentication"): phase_two.authentication,
        ("phase_two_pfs", "Perfect Forward Secrecy (PFS)"): in_words(
            "phase_two_pfs", phase_two.pfs
        ),
        ("phase_two_group", "Phase Two Diffie-Hellman Group (DH)"): str(phase_two.group),
        ("phase_two_keylife", "Phase Two Key Life (in seconds)"): str(phase_two.keylife),
        ("one_child_per_pair", "One CHILD_SA per subnet pair"): in_words(
            "one_child_per_pair", spec.one_child_per_pair
        ),
        ("dpd_seconds", "Dead Peer Detection (DPD)"): in_words("dpd_seconds", spec.dpd_seconds),
        ("starts", "Initiation"): in_words("starts", spec.starts),
        ("translated_only", "Translated access only"): in_words(
            "translated_only", spec.translated_only
        ),
        ("remote_subnets", "Protected Customer (Remote) Subnet"): _sorted_text(spec.remote_subnets),
        ("hosted_subnets", "Protected private (hosted) subnets"): _sorted_text(spec.hosted_subnets),
        ("static_nat_subnets", "Assigned Static NAT subnets"): _sorted_text(
            spec.static_nat_subnets
        ),
    }


def _sorted_text(networks: tuple[IPv4Network, ...]) -> str:
    return ", ".join(str(network) for network in sorted(networks))
