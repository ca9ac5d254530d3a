"""Very many peers: where each is, what it protects, and the swanctl file that plays them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lab.customer_device import new_key

# Behind the concentrator; RFC 2544 has the addresses of the two ends, RFC 1918 the networks.
HOSTED = IPv4Network("10.2.0.0/24")
HOSTED_PEERS = IPv4Address("198.18.0.1")
REMOTE_PEERS = IPv4Address("198.19.0.1")
REMOTE_NETWORKS = IPv4Network("10.64.0.0/10")
# As many /24 as there are in REMOTE_NETWORKS.
MOST = 2**14

# aes128-sha1-modp1024 is AES128, SHA1 and group 2 in the customers' words.
TEXT = """\
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
                remote_ts = {hosted}
                esp_proposals = {proposal}
            }}
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


@dataclass(frozen=True, slots=True)
class Peer:
    """What both ends of tunnel `number`, counted from 0, have to agree on."""

    number: int
    preshared_key: str = field(repr=False)

    @property
    def hosted_peer(self) -> IPv4Address:
        """The concentrator's end."""
        return HOSTED_PEERS + self.number

    @property
    def remote_peer(self) -> IPv4Address:
        """The device's end."""
        return REMOTE_PEERS + self.number

    @property
    def remote_network(self) -> IPv4Network:
        """What the device protects."""
        return IPv4Network((int(REMOTE_NETWORKS.network_address) + 256 * self.number, 24))

    @property
    def computer(self) -> IPv4Address:
        """An address behind the device; it answers, like all others of the network."""
        return self.remote_network[15]


def strangers(count: int) -> tuple[Peer, ...]:
    """So many peers with random keys; ValueError where the addresses do not reach."""
    if not 0 <= count <= MOST:
        raise ValueError(f"There are addresses for {MOST} peers, not for {count}.")
    return tuple(Peer(number, new_key()) for number in range(count))


def swanctl_file(peers: Iterable[Peer], ike_version: int, proposal: str) -> str:
    """The file for the device; it answers, and starts no tunnel by itself."""
    return "".join(
        TEXT.format(peer=peer, version=ike_version, proposal=proposal, hosted=HOSTED)
        for peer in peers
    )
