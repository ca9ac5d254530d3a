"""Every parameter that both ends have to agree on, but the key, as plain lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vpnportal.domain.exports.algorithm_names import is_aead
from vpnportal.domain.exports.peer_view import PeerSubnet, PeerView
from vpnportal.domain.tunnel.algorithms import GROUPS
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo

WIDTH = 28


def parameters(end: PeerView) -> str:
    """Lines such as `Encryption: 3DES` with their values in one column."""
    one, two = end.phase_one, end.phase_two
    version = "IKEv1 or IKEv2" if end.either_version else end.version
    lines = (
        *_head(end),
        *_part(
            "Phase One",
            ("Hosted Peer Address", end.concentrator),
            ("Remote Peer Address", end.address),
            ("IKE version", version),
            *_algorithms(one),
            ("Diffie-Hellman Group (DH)", _group(one.group)),
            ("Key Life (in seconds)", str(one.keylife)),
            ("Preshared Key", "exchanged separately"),
        ),
        *_part(
            "Phase Two",
            *_algorithms(two),
            ("Perfect Forward Secrecy", "on" if two.pfs else "off"),
            *([("Diffie-Hellman Group (DH)", _group(two.group))] if two.pfs else []),
            ("Key Life (in seconds)", str(two.keylife)),
        ),
        *_listed("Hosted subnets (this end)", end.hosted),
        *_listed("Remote subnets (your end)", end.own),
    )
    return "\n".join((*lines, ""))


def _head(end: PeerView) -> Iterator[str]:
    yield f"IPsec tunnel {end.name}" + (f" ({end.title})" if end.title else "")
    if end.of:
        yield f"Made from {end.of}."
    yield from (f"NOT COMPLETE: {sentence}" for sentence in end.missing)


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
    yield from (f"  {one.cidr}" for one in networks)
