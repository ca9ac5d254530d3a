"""One tunnel as the customer's device has to see it: what is remote here is its own.

A value of this kind has no preshared key, so no export can let one out. Translations are done at
the hosted end before ESP and after it, so no address of a static NAT subnet is ever in the tunnel:
the device sees its own networks and the hosted ones, as charon's selectors have them
(`compile.py`).
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

# Where the draft has no value yet; no device takes these for one.
NO_ADDRESS = "YOUR_PUBLIC_ADDRESS"


class PeerSubnet(NamedTuple):
    """A network in the ways in which devices write one."""

    cidr: str
    address: str
    mask: str
    wildcard: str

    @classmethod
    def of(cls, network: IPv4Network) -> PeerSubnet:
        """As the domain has it."""
        ends = (network.network_address, network.netmask, network.hostmask)
        return cls(str(network), *(str(one) for one in ends))


NO_NETWORK = PeerSubnet("YOUR_NETWORK", "YOUR_NETWORK", "YOUR_NETMASK", "YOUR_WILDCARD")
NO_HOSTED_NETWORK = PeerSubnet(
    "HOSTED_NETWORK", "HOSTED_NETWORK", "HOSTED_NETMASK", "HOSTED_WILDCARD"
)


class PeerChild(NamedTuple):
    """The selectors of one child: the device's own networks, and those behind the concentrator."""

    own: tuple[PeerSubnet, ...]
    hosted: tuple[PeerSubnet, ...]


@dataclass(frozen=True, slots=True)
class PeerView:
    """What the customer's device is told. Key lives and DPD are seconds; `dpd` 0 is off.

    `of` says which specification this is, `missing` what it still lacks. `children` are those that
    the concentrator has. `must_start` is whether no other end starts the tunnel.
    """

    name: str
    title: str
    of: str
    address: str
    concentrator: str
    ikev2: bool
    either_version: bool
    phase_one: PhaseOne
    phase_two: PhaseTwo
    own: tuple[PeerSubnet, ...]
    hosted: tuple[PeerSubnet, ...]
    children: tuple[PeerChild, ...]
    static_nat: tuple[str, ...]
    translations: tuple[Translation, ...]
    dpd: int
    must_start: bool
    missing: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version of IKE that the device uses."""
        return "IKEv2" if self.ikev2 else "IKEv1"

    @property
    def pairs(self) -> tuple[tuple[PeerSubnet, PeerSubnet], ...]:
        """Each of its own networks with each hosted one."""
        return tuple(product(self.own, self.hosted))

    @property
    def one_child(self) -> bool:
        """Whether the concentrator has several pairs in one child."""
        return len(self.children) < len(self.pairs)


def peer_view(spec: TunnelSpec, name: str, title: str = "", of: str = "") -> PeerView:
    """The specification without its key, mirrored; `name` is the device's, `title` people's."""
    own = tuple(PeerSubnet.of(one) for one in sorted(spec.remote_subnets)) or (NO_NETWORK,)
    hosted = tuple(PeerSubnet.of(one) for one in sorted(spec.hosted_subnets)) or (
        NO_HOSTED_NETWORK,
    )
    return PeerView(
        name=identifier(name),
        title=plain(title),
        of=of,
        address=str(spec.remote_peer or NO_ADDRESS),
        concentrator=str(spec.hosted_peer),
        ikev2=spec.ike_version != 1,
        either_version=spec.ike_version == 0,
        phase_one=spec.phase_one,
        phase_two=spec.phase_two,
        own=own,
        hosted=hosted,
        children=_children(spec, own, hosted),
        static_nat=tuple(str(one) for one in sorted(spec.static_nat_subnets)),
        translations=tuple(sorted(spec.translations, key=lambda row: row.internal)),
        dpd=spec.dpd_seconds,
        must_start=spec.starts is Starts.OTHER,
        missing=_missing(spec),
    )


def _children(
    spec: TunnelSpec, own: tuple[PeerSubnet, ...], hosted: tuple[PeerSubnet, ...]
) -> tuple[PeerChild, ...]:
    if spec.has_child_per_pair:
        return tuple(PeerChild((one,), (other,)) for other, one in product(hosted, own))
    return (PeerChild(own, hosted),)


def _missing(spec: TunnelSpec) -> tuple[str, ...]:
    """The key is in no export, and translations are not the device's business."""
    return tuple(
        one.text
        for one in spec.problems()
        if one.field != "preshared_key" and translation_address(one.field) is None
    )
