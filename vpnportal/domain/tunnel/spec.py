"""Specification of a tunnel: the customer's settings as an immutable value, and their problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from vpnportal.domain import addresses
from vpnportal.domain.tunnel.algorithms import ENCRYPTIONS, KEYLIFE_SECONDS

DPD_SECONDS = range(5, 3_600 + 1)
PFS_WITHOUT_GROUP = "Perfect Forward Secrecy needs a group: choose one, or switch PFS off."
_TRANSLATION = "translation "


class Starts(StrEnum):
    """The side that initiates: both with EITHER, only the peer with OTHER."""

    EITHER = "either"
    OTHER = "other"

    @property
    def label(self) -> str:
        """The initiator as text on the pages: "both" or "peer only"."""
        return "peer only" if self is Starts.OTHER else "both"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a draft: the field, and a text with the correction."""

    field: str
    text: str


def translation_field(address: IPv4Address | str) -> str:
    """Return the name of the draft field that holds the translation of an internal address.

    The format of the name must not change: the database stores names in `LastEdit.field`.
    """
    return f"{_TRANSLATION}{address}"


def translation_address(field: str) -> str | None:
    """Return the internal address in a field name, or None if it names no translation."""
    return field.removeprefix(_TRANSLATION) if field.startswith(_TRANSLATION) else None


@dataclass(frozen=True, slots=True)
class PhaseOne:
    """Settings of phase one (IKE): names from `algorithms`, key life in seconds."""

    encryption: str
    authentication: str
    group: int
    keylife: int


@dataclass(frozen=True, slots=True)
class PhaseTwo:
    """Settings of phase two (ESP), key life in seconds; `group` is used only if `pfs` is True."""

    encryption: str
    authentication: str
    pfs: bool
    group: int
    keylife: int


@dataclass(frozen=True, slots=True)
class Translation:
    """A one-to-one translation: servers use `internal`, the tunnel carries `customer`."""

    internal: IPv4Address
    customer: IPv4Address
    name: str = ""


@dataclass(frozen=True, slots=True)
class TunnelSpec:
    """All settings of a tunnel that the concentrator needs.

    With `ike_version` 0, the concentrator responds to both versions and initiates IKEv2.
    `dpd_seconds` is the DPD interval; 0 disables DPD. With `translated_only`, the remote networks
    are reached only through translations, and the tunnel claims none of them. During a rotation
    of the preshared key, the concentrator accepts `next_key`, too. `lineage` keeps the names of the
    tunnel's CHILD_SAs after a rotation; see `names.lineage`.
    """

    tunnel_id: int
    hosted_peer: IPv4Address
    remote_peer: IPv4Address | None
    preshared_key: str = field(repr=False)
    ike_version: int
    phase_one: PhaseOne
    phase_two: PhaseTwo
    hosted_subnets: tuple[IPv4Network, ...]
    remote_subnets: tuple[IPv4Network, ...]
    static_nat_subnets: tuple[IPv4Network, ...]
    translations: tuple[Translation, ...]
    one_child_per_pair: bool = False
    dpd_seconds: int = 15
    starts: Starts = Starts.EITHER
    translated_only: bool = False
    next_key: str = field(default="", repr=False)
    lineage: str = ""

    @property
    def newest_key(self) -> str:
        """The key of the draft: during a rotation of the preshared key, the next one."""
        return self.next_key or self.preshared_key

    @property
    def has_child_per_pair(self) -> bool:
        """Return True if each pair of subnets has its own CHILD_SA.

        A Quick Mode of IKEv1 negotiates one pair (RFC 2409, 5.5); version 0 allows IKEv1.
        """
        return self.one_child_per_pair or self.ike_version != 2

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems that prevent an apply; empty if the tunnel can be applied."""
        return (
            *_peer_problems(self),
            *_phase_problems(self),
            *_option_problems(self),
            *_subnet_problems(self),
            *_translation_problems(self),
        )


def _peer_problems(spec: TunnelSpec) -> Iterator[Problem]:
    if spec.remote_peer is None:
        yield Problem("remote_peer", "Enter the static address of the customer's VPN device.")
    elif spec.remote_peer == spec.hosted_peer:
        yield Problem(
            "remote_peer",
            f"{spec.remote_peer} is the Hosted Peer Address. Enter the address of the peer.",
        )
    elif objection := addresses.peer_objection(spec.remote_peer):
        yield Problem("remote_peer", objection)
    if not spec.preshared_key:
        yield Problem("preshared_key", "Enter the preshared key.")


def _phase_problems(spec: TunnelSpec) -> Iterator[Problem]:
    if spec.phase_one.group == 0:
        yield Problem(
            "phase_one_group", "IKE needs a Diffie-Hellman group in phase one: choose one, not 0."
        )
    if spec.phase_two.pfs and spec.phase_two.group == 0:
        yield Problem("phase_two_group", PFS_WITHOUT_GROUP)
    for name, keylife in (
        ("phase_one_keylife", spec.phase_one.keylife),
        ("phase_two_keylife", spec.phase_two.keylife),
    ):
        if keylife not in KEYLIFE_SECONDS:
            yield Problem(name, "Enter a key life from 120 to 172800 seconds.")


def _option_problems(spec: TunnelSpec) -> Iterator[Problem]:
    ike_encryption, esp_encryption = spec.phase_one.encryption, spec.phase_two.encryption
    if spec.ike_version != 2 and ENCRYPTIONS[ike_encryption].aead:
        yield Problem("phase_one_encryption", _not_in_ikev1(ike_encryption, "phase one"))
    if spec.ike_version != 2 and not ENCRYPTIONS[esp_encryption].ikev1:
        yield Problem("phase_two_encryption", _not_in_ikev1(esp_encryption, "phase two"))
    if spec.dpd_seconds and spec.dpd_seconds not in DPD_SECONDS:
        yield Problem("dpd_seconds", "Enter 0, or a time from 5 to 3600 seconds.")


def _not_in_ikev1(encryption: str, phase: str) -> str:
    return f"IKEv1 has no {encryption} in {phase}: choose IKEv2 only, or another encryption."


def _subnet_problems(spec: TunnelSpec) -> Iterator[Problem]:
    if not spec.hosted_subnets:
        yield Problem("hosted_subnets", "Select at least one hosted subnet for the tunnel.")
    if not spec.remote_subnets:
        yield Problem("remote_subnets", "Add at least one remote subnet.")
    for network in spec.remote_subnets:
        if objection := addresses.subnet_objection(network):
            yield Problem("remote_subnets", objection)
    for network, other in combinations(spec.remote_subnets, 2):
        if network.overlaps(other):
            yield Problem("remote_subnets", f"{network} and {other} overlap: remove one of them.")
    own_subnets = (*spec.hosted_subnets, *spec.static_nat_subnets)
    for remote, own in addresses.overlaps(spec.remote_subnets, own_subnets):
        yield Problem(
            "remote_subnets",
            f"{remote} overlaps {own}, a hosted or static NAT subnet. Use another remote subnet.",
        )


def _translation_problems(spec: TunnelSpec) -> Iterator[Problem]:
    for row in spec.translations:
        if problem := translation_problem(row, spec.static_nat_subnets, spec.remote_subnets):
            yield problem
    rows_of_customer = Counter(row.customer for row in spec.translations)
    for row in spec.translations:
        if rows_of_customer[row.customer] > 1:
            yield Problem(
                translation_field(row.internal),
                f"{row.customer} is entered more than once. A translation is one to one.",
            )
    for internal, rows in Counter(row.internal for row in spec.translations).items():
        if rows > 1:
            yield Problem(translation_field(internal), f"{internal} is translated more than once.")


def translation_problem(
    row: Translation, static_nat: tuple[IPv4Network, ...], remote: tuple[IPv4Network, ...]
) -> Problem | None:
    """Return the problem of a translation whose addresses do not fit the subnets, or None."""
    field = translation_field(row.internal)
    if not addresses.inside(row.internal, static_nat):
        return Problem(field, f"{row.internal} is in no static NAT subnet of this tunnel.")
    if not remote:
        return Problem(field, f"Add the remote subnet of {row.customer} first.")
    if not addresses.is_host(row.customer, remote):
        subnets = ", ".join(str(network) for network in remote)
        text = f"{row.customer} is not a host address in the remote subnets ({subnets})."
        return Problem(field, text)
    return None
