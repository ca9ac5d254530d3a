"""What a peer's replies mean in the fields of a draft, and what they leave open.

Key lives are never told in full: each end has its own (RFC 7296, 2.8), or the shorter one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.tunnel.algorithms import names_of
from vpnportal.domain.tunnel.spec import TunnelSpec

Value: TypeAlias = "str | int | bool"

_PFS_UNKNOWN = "Whether it wants Perfect Forward Secrecy could not be learnt."
_SILENT_ABOUT_PHASE_TWO = "Phase two was not learnt: the other end did not answer."
_PHASE_TWO_UNKNOWN = {
    OfferResult.KEY: "Phase two was not learnt: the preshared key does not fit. Enter the right one, and "
    "ask again.",
    OfferResult.SUBNETS: "Phase two was not learnt: the key fits, but the other end knows no tunnel "
    "between these subnets.",
    OfferResult.REFUSED: "Phase two was not learnt: the other end refused every offer.",
    OfferResult.SILENT: _SILENT_ABOUT_PHASE_TWO,
    OfferResult.UNCLEAR: _SILENT_ABOUT_PHASE_TWO,
}


def learned_fields(replies: Iterable[OfferReply]) -> dict[str, Value]:
    """The fields of the draft that are known, and their values."""
    known: dict[str, Value] = {}
    for reply in replies:
        if reply.heard is OfferResult.SELECTED:
            known.update(_phase_two(reply) if reply.phase == 2 else _phase_one(reply))
    return known


def in_words(reply: OfferReply) -> str:
    """What was offered and how the peer took it, in one line."""
    if reply.heard is not OfferResult.SELECTED:
        return f"{reply.offer}: {_HEARD[reply.heard]}"
    encryption, authentication, group = names_of(reply.suite)
    parts = [
        part for part in (encryption, authentication, f"group {group}" if group else "") if part
    ]
    return f"{reply.offer}: selected {', '.join(parts) or 'something unknown here'}"


def summary(replies: Sequence[OfferReply], spec: TunnelSpec) -> str:
    """What was not learnt and what would help, or ""."""
    known = learned_fields(replies)
    if not known:
        return _no_phase_one(replies, spec)
    two = [reply for reply in replies if reply.phase == 2]
    if not two:
        return _not_asked(spec)
    last = two[-1].heard
    if last is OfferResult.SELECTED:
        return "" if "phase_two_pfs" in known else _PFS_UNKNOWN
    return _PHASE_TWO_UNKNOWN[last]


_HEARD = {
    OfferResult.REFUSED: "refused",
    OfferResult.SILENT: "no answer",
    OfferResult.UNCLEAR: "no decision in time",
    OfferResult.KEY: "the preshared key does not fit",
    OfferResult.SUBNETS: "the key fits, the subnets do not",
}


def _phase_one(reply: OfferReply) -> dict[str, Value]:
    """Nothing when it selected what nobody offered."""
    encryption, authentication, group = names_of(reply.suite)
    if not (encryption and authentication and group):
        return {}
    return {
        "ike_version": reply.version,
        "phase_one_encryption": encryption,
        "phase_one_authentication": authentication,
        "phase_one_group": group,
    }


def _phase_two(reply: OfferReply) -> dict[str, Value]:
    encryption, authentication, group = names_of(reply.suite)
    known: dict[str, Value] = {"phase_two_encryption": encryption} if encryption else {}
    if authentication:
        known["phase_two_authentication"] = authentication
    if reply.tells_pfs:
        known["phase_two_pfs"] = bool(group)
        if group:
            known["phase_two_group"] = group
    return known


def _no_phase_one(replies: Sequence[OfferReply], spec: TunnelSpec) -> str:
    if all(reply.heard is OfferResult.SILENT for reply in replies):
        return (
            f"No answer from {spec.remote_peer} on UDP port 500. Check the address, and that the "
            f"device expects {spec.hosted_peer}."
        )
    return (
        f"{spec.remote_peer} answers and refuses everything that can be offered here. Perhaps it "
        f"does not know {spec.hosted_peer}, or wants aggressive mode."
    )


def _not_asked(spec: TunnelSpec) -> str:
    missing = [
        words
        for words, there in (
            ("the preshared key", spec.preshared_key),
            ("a hosted subnet", spec.hosted_subnets),
            ("a subnet of the customer's end", spec.remote_subnets),
        )
        if not there
    ]
    listed = " and ".join(", ".join(missing).rsplit(", ", 1))
    return f"Phase two can be asked too once the tunnel has {listed}." if missing else ""
