"""What differs between two specifications, field by field, in the panel's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec, translation_address, translation_field

STARTS = {Starts.EITHER: "either end", Starts.OTHER: "the other end only"}
PHASES = ("phase_one", "phase_two")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `before` is "" where there was nothing. A preshared key is only "changed"."""

    field: str
    label: str
    before: str
    after: str


def diff_specs(before: TunnelSpec | None, after: TunnelSpec) -> tuple[Change, ...]:
    """Everything that applying `after` would change, in the order of the page."""
    return (*_plain(before, after), *_key(before, after), *_translations(before, after))


def with_field_from(spec: TunnelSpec, other: TunnelSpec, field: str) -> TunnelSpec:
    """The specification with one field, as a `Change` names it, as the other one has it."""
    if (address := translation_address(field)) is not None:
        at = IPv4Address(address)
        stay = (row for row in spec.translations if row.internal != at)
        come = (row for row in other.translations if row.internal == at)
        return replace(spec, translations=(*stay, *come))
    phase, _, name = field.rpartition("_")
    if phase in PHASES:
        part = replace(getattr(spec, phase), **{name: value_of(other, field)})
        return replace(spec, **{phase: part})
    return replace(spec, **{field: value_of(other, field)})


def value_of(spec: TunnelSpec, field: str) -> Any:
    """What a specification has in one field; a phase's fields have its name before theirs."""
    phase, _, name = field.rpartition("_")
    return getattr(getattr(spec, phase), name) if phase in PHASES else getattr(spec, field)


def in_words(field: str, value: object) -> str:
    """A value of one field as the panel's lists have it; "nothing" for none."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if field == "ike_version" and isinstance(value, int):
        return IKE_VERSIONS.get(value, str(value))
    if field == "dpd_seconds":
        return f"after {value} seconds" if value else "never"
    if field == "starts":
        return STARTS[Starts(str(value))]
    return "nothing" if value in (None, "") else str(value)


def _plain(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old = _words(before) if before else {}
    for (field, label), value in _words(after).items():
        was = old.get((field, label), "")
        if was != value:
            yield Change(field, label, was, value)


def _key(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old = before.preshared_key if before else ""
    if old != after.preshared_key:
        word = "changed" if after.preshared_key else "removed"
        yield Change("preshared_key", "Preshared Key", "", word)


def _translations(before: TunnelSpec | None, after: TunnelSpec) -> Iterator[Change]:
    old = {row.internal: row for row in before.translations} if before else {}
    new = {row.internal: row for row in after.translations}
    for internal in sorted(old.keys() | new.keys()):
        was, now = old.get(internal), new.get(internal)
        if was != now:
            yield Change(
                translation_field(internal),
                f"Customer IP for {internal}",
                f"{was.customer} {was.name}".rstrip() if was else "",
                f"{now.customer} {now.name}".rstrip() if now else "",
            )


def _words(spec: TunnelSpec) -> dict[tuple[str, str], str]:
    one, two = spec.phase_one, spec.phase_two
    return {
        ("hosted_peer", "Hosted Peer Address"): str(spec.hosted_peer),
        ("remote_peer", "Remote Peer Address"): str(spec.remote_peer or ""),
        ("ike_version", "IKE version"): in_words("ike_version", spec.ike_version),
        ("phase_one_encryption", "Phase One Encryption"): one.encryption,
        ("phase_one_authentication", "Phase One Authentication"): one.authentication,
        ("phase_one_group", "Phase One Diffie-Hellman Group (DH)"): str(one.group),
        ("phase_one_keylife", "Phase One Key Life (in seconds)"): str(one.keylife),
        ("phase_two_encryption", "Phase Two Encryption"): two.encryption,
        ("phase_two_authentication", "Phase Two Authentication"): two.authentication,
        ("phase_two_pfs", "Perfect Forward Secrecy (PFS)"): in_words("phase_two_pfs", two.pfs),
        ("phase_two_group", "Phase Two Diffie-Hellman Group (DH)"): str(two.group),
        ("phase_two_keylife", "Phase Two Key Life (in seconds)"): str(two.keylife),
        ("one_child_per_pair", "One child per subnet pair"): in_words(
            "one_child_per_pair", spec.one_child_per_pair
        ),
        ("dpd_seconds", "Dead Peer Detection (DPD)"): in_words("dpd_seconds", spec.dpd_seconds),
        ("starts", "Who starts"): in_words("starts", spec.starts),
        ("remote_subnets", "Protected Customer (Remote) Subnet"): _listed(spec.remote_subnets),
        ("hosted_subnets", "Protected private (hosted) subnets"): _listed(spec.hosted_subnets),
        ("static_nat_subnets", "Assigned Static NAT subnets"): _listed(spec.static_nat_subnets),
    }


def _listed(networks: tuple[IPv4Network, ...]) -> str:
    return ", ".join(str(network) for network in sorted(networks))
