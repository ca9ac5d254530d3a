"""Plain text of the parameters that both devices share, except the preshared key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vpnportal.domain.exports.algorithm_names import is_aead
from vpnportal.domain.exports.peer_view import PeerSubnet, PeerView
from vpnportal.domain.tunnel.algorithms import GROUPS
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo

WIDTH = 28


def parameters(peer: PeerView) -> str:
    """Return lines such as `Encryption: 3DES`, with the values in one column."""
    version = "IKEv1 or IKEv2" if peer.accepts_both_versions else peer.version
    lines = (
        *_head(peer),
        *_part(
            "Phase One",
            ("Hosted Peer Address", peer.concentrator),
            ("Remote Peer Address", peer.address),
            ("IKE version", version),
            *_algorithms(peer.phase_one),
            ("Diffie-Hellman Group (DH)", _group(peer.phase_one.group)),
            ("Key Life (in seconds)", str(peer.phase_one.keylife)),
            ("Preshared Key", "exchanged separately"),
        ),
        *_part(
            "Phase Two",
            *_algorithms(peer.phase_two),
            ("Perfect Forward Secrecy", "on" if peer.phase_two.pfs else "off"),
            *(
                [("Diffie-Hellman Group (DH)", _group(peer.phase_two.group))]
                if peer.phase_two.pfs
                else []
            ),
            ("Key Life (in seconds)", str(peer.phase_two.keylife)),
        ),
        *_listed("Hosted subnets", peer.hosted),
        *_listed("Remote subnets", peer.own),
    )
    return "\n".join((*lines, ""))


def _head(peer: PeerView) -> Iterator[str]:
    yield f"IPsec tunnel {peer.full_name}"
    if peer.source:
        yield f"Generated from {peer.source}."
    yield from (f"INCOMPLETE: {sentence}" for sentence in peer.missing)


def _algorithms(phase: PhaseOne | PhaseTwo) -> Iterator[tuple[str, str]]:
    yield "Encryption", phase.encryption
    if isinstance(phase, PhaseOne) or not is_aead(phase.encryption):
        yield "Authentication", phase.authentication


def _group(number: int) -> str:
    return f"{number} ({GROUPS[number].words})"


def _part(title: str, *rows: tuple[str, str]) -> Iterator[str]:
    yield from ("", title)
    yield from (f"  {f'{label}:':<{WIDTH}}{value}" for label, value in rows)


def _listed(title: str, networks: Iterable[PeerSubnet]) -> Iterator[str]:
    yield from ("", title)
    yield from (f"  {network.cidr}" for network in networks)
