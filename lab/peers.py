"""Thousands of peers: their addresses and subnets, and the swanctl file of their one device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lab.customer_device import new_key

# The subnet behind the concentrator, and the subnets if each tunnel has one of its own.
HOSTED = IPv4Network("10.2.0.0/24")
OWN_HOSTED_NETWORKS = IPv4Network("10.16.0.0/12")
# The peers' addresses (RFC 2544) and their subnets (RFC 1918).
HOSTED_PEERS = IPv4Address("198.18.0.1")
REMOTE_PEERS = IPv4Address("198.19.0.1")
REMOTE_NETWORKS = IPv4Network("10.64.0.0/10")
# The number of /24 in REMOTE_NETWORKS, and in OWN_HOSTED_NETWORKS.
MAX_PEERS, MAX_PEERS_WITH_OWN_HOSTED = 2**14, 2**12

CONNECTION_TEXT = """\
connections {{
    p{peer.number} {{
        version = {version}
        local_addrs = {peer.remote_peer}
        remote_addrs = {peer.hosted_peer}
        proposals = {proposal}
        local {{
            auth = psk
            id = {peer.remote_peer}
        }}
        remote {{
            auth = psk
            id = {peer.hosted_peer}
        }}
        children {{
            p{peer.number} {{
                local_ts = {peer.remote_network}
                remote_ts = {peer.hosted_network}
                esp_proposals = {proposal}
{marks}            }}
        }}
    }}
}}
secrets {{
    ike-p{peer.number} {{
        id-1 = {peer.hosted_peer}
        id-2 = {peer.remote_peer}
        secret = "{peer.preshared_key}"
    }}
}}
"""


# Tells peers with the same network apart. Their device answers with the mark of what it answers
# (net.ipv4.fwmark_reflect and net.ipv4.tcp_fwmark_accept).
MARKS_TEXT = """\
                mark_in = {mark}/0xffff
                mark_out = {mark}/0xffff
                set_mark_in = {mark}/0xffff
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """The parameters of tunnel `number`, counted from 0, that both peers share.

    `shared_network` is the subnet behind the device if all peers have the same one. `own_hosted`
    is true if the tunnel has a subnet of its own behind the concentrator.
    """

    number: int
    preshared_key: str = field(repr=False)
    shared_network: IPv4Network | None = None
    own_hosted: bool = False

    @property
    def hosted_peer(self) -> IPv4Address:
        """The concentrator's IPv4 address for this tunnel."""
        return HOSTED_PEERS + self.number

    @property
    def remote_peer(self) -> IPv4Address:
        """The device's IPv4 address for this tunnel."""
        return REMOTE_PEERS + self.number

    @property
    def hosted_network(self) -> IPv4Network:
        """The subnet behind the concentrator."""
        return _slash_24(OWN_HOSTED_NETWORKS, self.number) if self.own_hosted else HOSTED

    @property
    def server(self) -> IPv4Address:
        """The server's address in that subnet."""
        return self.hosted_network[10]

    @property
    def remote_network(self) -> IPv4Network:
        """The subnet behind the device."""
        return self.shared_network or _slash_24(REMOTE_NETWORKS, self.number)

    @property
    def computer(self) -> IPv4Address:
        """An address behind the device; all addresses of the subnet answer."""
        return self.remote_network[15]


def make_peers(
    count: int, shared_network: IPv4Network | None = None, *, own_hosted: bool = False
) -> tuple[Peer, ...]:
    """Return peers with random preshared keys. Raises ValueError if there are too many."""
    most = MAX_PEERS_WITH_OWN_HOSTED if own_hosted else MAX_PEERS
    if not 0 <= count <= most:
        raise ValueError(f"There are addresses for {most} peers, not for {count}.")
    return tuple(Peer(number, new_key(), shared_network, own_hosted) for number in range(count))


def _slash_24(network: IPv4Network, number: int) -> IPv4Network:
    """Return the subnet of this number, counted from 0."""
    return IPv4Network((int(network.network_address) + 256 * number, 24))


def swanctl_file(peers: Iterable[Peer], ike_version: int, proposal: str) -> str:
    """Return the text of one swanctl.conf that answers as all these peers and never initiates.

    The proposal, such as aes128-sha1-modp1024, is for both phases.
    """
    return "".join(
        CONNECTION_TEXT.format(
            peer=peer,
            version=ike_version,
            proposal=proposal,
            marks=MARKS_TEXT.format(mark=peer.number + 1) if peer.shared_network else "",
        )
        for peer in peers
    )
