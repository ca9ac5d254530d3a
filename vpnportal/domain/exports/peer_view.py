"""One tunnel from the perspective of the peer: its own networks are our remote networks.

A `PeerView` has no preshared key, so no export can disclose one. The concentrator translates
addresses before ESP and after it, so the tunnel carries no address of a static NAT subnet. The
peer sees its own and the hosted networks, as in charon's selectors (`gateway_config/compile.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import product
from typing import NamedTuple

from vpnportal.domain.exports.safe_text import identifier, plain
from vpnportal.domain.tunnel.spec import (
    PhaseOne,
    PhaseTwo,
    Starts,
    Translation,
    TunnelSpec,
    translation_address,
)

# Placeholders for missing values of a draft; no device accepts them as values.
NO_ADDRESS = "YOUR_PUBLIC_ADDRESS"


class PeerSubnet(NamedTuple):
    """A network in the notations of all devices."""

    cidr: str
    address: str
    mask: str
    wildcard: str

    @classmethod
    def of(cls, network: IPv4Network) -> PeerSubnet:
        notations = (network, network.network_address, network.netmask, network.hostmask)
        return cls(*map(str, notations))


NO_NETWORK = PeerSubnet("YOUR_NETWORK", "YOUR_NETWORK", "YOUR_NETMASK", "YOUR_WILDCARD")
NO_HOSTED_NETWORK = PeerSubnet(
    "HOSTED_NETWORK", "HOSTED_NETWORK", "HOSTED_NETMASK", "HOSTED_WILDCARD"
)


class PeerChild(NamedTuple):
    """The selectors of one CHILD_SA: the peer's own networks, and the hosted ones."""

    own: tuple[PeerSubnet, ...]
    hosted: tuple[PeerSubnet, ...]


@dataclass(frozen=True, slots=True)
class PeerView:
    """The settings of the peer; key lives and DPD are in seconds, and `dpd` 0 is off.

    `source` names the specification, `missing` the problems of an incomplete draft. `children`
    are the selectors of the concentrator's CHILD_SAs. `must_initiate` is set if only the peer may
    initiate, `translated_only` if only hosts with a translation may reach the hosted side.
    """

    name: str
    title: str
    source: str
    address: str
    concentrator: str
    ikev2: bool
    accepts_both_versions: bool
    phase_one: PhaseOne
    phase_two: PhaseTwo
    own: tuple[PeerSubnet, ...]
    hosted: tuple[PeerSubnet, ...]
    children: tuple[PeerChild, ...]
    static_nat: tuple[str, ...]
    translations: tuple[Translation, ...]
    dpd: int
    must_initiate: bool
    translated_only: bool
    missing: tuple[str, ...]

    @property
    def version(self) -> str:
        """The IKE version of the export, "IKEv1" or "IKEv2"."""
        return "IKEv2" if self.ikev2 else "IKEv1"

    @property
    def pairs(self) -> tuple[tuple[PeerSubnet, PeerSubnet], ...]:
        """Each own network with each hosted network."""
        return tuple(product(self.own, self.hosted))

    @property
    def full_name(self) -> str:
        """The tunnel ID, with the user's name for the tunnel in parentheses."""
        return f"{self.name} ({self.title})" if self.title else self.name

    @property
    def has_shared_child(self) -> bool:
        """True if a CHILD_SA of the concentrator carries more than one pair."""
        return len(self.children) < len(self.pairs)


def peer_view(spec: TunnelSpec, name: str, title: str = "", source: str = "") -> PeerView:
    """Return the peer's view of a specification.

    `name` is the tunnel ID, `title` the user's name for the tunnel.
    """
    own = tuple(PeerSubnet.of(network) for network in sorted(spec.remote_subnets)) or (NO_NETWORK,)
    hosted = tuple(PeerSubnet.of(network) for network in sorted(spec.hosted_subnets)) or (
        NO_HOSTED_NETWORK,
    )
    return PeerView(
        name=identifier(name),
        title=plain(title),
        source=source,
        address=str(spec.remote_peer or NO_ADDRESS),
        concentrator=str(spec.hosted_peer),
        ikev2=spec.ike_version != 1,
        accepts_both_versions=spec.ike_version == 0,
        phase_one=spec.phase_one,
        phase_two=spec.phase_two,
        own=own,
        hosted=hosted,
        children=_children(spec, own, hosted),
        static_nat=tuple(str(network) for network in sorted(spec.static_nat_subnets)),
        translations=tuple(sorted(spec.translations, key=lambda row: row.internal)),
        dpd=spec.dpd_seconds,
        must_initiate=spec.starts is Starts.OTHER,
        translated_only=spec.translated_only,
        missing=_missing(spec),
    )


def _children(
    spec: TunnelSpec, own: tuple[PeerSubnet, ...], hosted: tuple[PeerSubnet, ...]
) -> tuple[PeerChild, ...]:
    if spec.has_child_per_pair:
        return tuple(
            PeerChild((own_subnet,), (hosted_subnet,))
            for hosted_subnet, own_subnet in product(hosted, own)
        )
    return (PeerChild(own, hosted),)


def _missing(spec: TunnelSpec) -> tuple[str, ...]:
    """Return the problems that concern the peer; the key and translations do not."""
    return tuple(
        problem.text
        for problem in spec.problems()
        if problem.field != "preshared_key" and translation_address(problem.field) is None
    )
