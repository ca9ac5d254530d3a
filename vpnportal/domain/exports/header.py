"""The first lines of every export: what it is, what it lacks, and where the key goes."""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks, comments


def head(sign: str, end: PeerView, remarks: Remarks, *how: str) -> list[str]:
    """Lines of comment; `how` are sentences about this device, `sign` begins its comments."""
    return [*comments(sign, _sentences(end, remarks, how)), sign]


def _sentences(end: PeerView, remarks: Remarks, how: tuple[str, ...]) -> Iterator[str]:
    called = f"{end.name} ({end.title})" if end.title else end.name
    yield f"{remarks.device}: the remote end of the IPsec tunnel {called}."
    if end.of:
        yield f"Made from {end.of}."
    yield from (f"NOT COMPLETE: {sentence}" for sentence in end.missing)
    yield from (f"ATTENTION: {sentence}" for sentence in remarks)
    yield f"The preshared key is exchanged separately. Put it in the place of {KEY}."
    if end.static_nat:
        yield (
            f"{', '.join(end.static_nat)}: addresses that only the hosted end uses. They are"
            " translated there and never in the tunnel: this device needs nothing for them."
        )
    if end.either_version:
        yield "The concentrator answers IKEv1 and IKEv2. This file uses IKEv2."
    yield from how


def pairs_remark(end: PeerView, remarks: Remarks) -> None:
    """For devices whose children have one network at each side, whatever the IKE version."""
    if end.one_child:
        remarks.add(
            f"{remarks.device} negotiates one child for each pair of networks, and the concentrator"
            " offers all of them in one: set one child per pair for this tunnel at the hosted end."
        )
