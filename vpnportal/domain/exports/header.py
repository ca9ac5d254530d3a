"""The first lines of every export: its specification, missing values, warnings and instructions."""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks, comments


def head(sign: str, peer: PeerView, remarks: Remarks, *instructions: str) -> list[str]:
    """Return comment lines that start with `sign`; `instructions` are those of the device."""
    return [*comments(sign, _sentences(peer, remarks, instructions)), sign]


def _sentences(peer: PeerView, remarks: Remarks, instructions: tuple[str, ...]) -> Iterator[str]:
    yield f"{remarks.device} configuration for the IPsec tunnel {peer.full_name}."
    if peer.source:
        yield f"Generated from {peer.source}."
    yield from (f"INCOMPLETE: {sentence}" for sentence in peer.missing)
    yield from (f"WARNING: {sentence}" for sentence in remarks)
    yield f"The preshared key is exchanged separately. Replace {KEY} with it."
    if peer.static_nat:
        yield (
            f"{', '.join(peer.static_nat)}: static NAT on the concentrator. These addresses are"
            " never in the tunnel and need no configuration on this device."
        )
    if peer.accepts_both_versions:
        yield "The concentrator accepts IKEv1 and IKEv2. This file uses IKEv2."
    yield from instructions


def pairs_remark(peer: PeerView, remarks: Remarks) -> None:
    """Add a remark if the concentrator offers all subnet pairs in one CHILD_SA.

    The remark is for devices that negotiate one CHILD_SA per subnet pair.
    """
    if peer.has_shared_child:
        remarks.add(
            f"{remarks.device} negotiates one CHILD_SA per subnet pair, but the concentrator offers"
            " all pairs in one CHILD_SA. Enable the option One CHILD_SA per subnet pair of this"
            " tunnel on the concentrator."
        )
