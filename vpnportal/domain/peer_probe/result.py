"""Results of a probe: the fields of a draft that it detected, and texts about the rest.

Key lives cannot be detected: each device has its own (RFC 7296, 2.8), or the shorter one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.tunnel.algorithms import names_of
from vpnportal.domain.tunnel.spec import TunnelSpec

Value: TypeAlias = "str | int | bool"

# The fields that a probe can detect, in the order of the page.
LEARNED_FIELDS = (
    "ike_version",
    "phase_one_encryption",
    "phase_one_authentication",
    "phase_one_group",
    "phase_two_encryption",
    "phase_two_authentication",
    "phase_two_pfs",
    "phase_two_group",
)
_RESULT_TEXTS = {
    OfferResult.REFUSED: "refused",
    OfferResult.SILENT: "no answer",
    OfferResult.UNCLEAR: "no decision in time",
    OfferResult.KEY: "preshared key mismatch",
    OfferResult.SUBNETS: "preshared key matches, subnets do not match",
}
_PFS_UNKNOWN = "Perfect Forward Secrecy was not detected."
_TOO_SLOW = "the peer answers too slowly. Try again when it and the line are less busy."
_PHASE_TWO_UNKNOWN = {
    OfferResult.KEY: "Phase 2 was not detected: preshared key mismatch. Enter the correct key and "
    "try again.",
    OfferResult.SUBNETS: "Phase 2 was not detected: the preshared key matches, but the peer has no "
    "tunnel between these subnets.",
    OfferResult.REFUSED: "Phase 2 was not detected: the peer rejected every proposal.",
    OfferResult.SILENT: "Phase 2 was not detected: no answer from the peer.",
    OfferResult.UNCLEAR: f"Phase 2 was not detected: {_TOO_SLOW}",
}


def learned_fields(replies: Iterable[OfferReply]) -> dict[str, Value]:
    """Return the detected fields of the draft with their values."""
    fields: dict[str, Value] = {}
    for reply in replies:
        if reply.heard is OfferResult.SELECTED:
            fields.update(_phase_two(reply) if reply.phase == 2 else _phase_one(reply))
    return fields


def reply_text(reply: OfferReply) -> str:
    """Return an offer and its result as one line."""
    if reply.heard is not OfferResult.SELECTED:
        return f"{reply.offer}: {_RESULT_TEXTS[reply.heard]}"
    encryption, authentication, group = names_of(reply.suite)
    parts = (encryption, authentication, f"group {group}" if group else "")
    selected = " / ".join(part for part in parts if part)
    return f"{reply.offer}: selected {selected or 'unknown algorithms'}"


def summary(replies: Sequence[OfferReply], spec: TunnelSpec) -> str:
    """Return a text about undetected fields with the remedy, or ""."""
    fields = learned_fields(replies)
    if not fields:
        return _phase_one_unknown(replies, spec)
    phase_two = [reply for reply in replies if reply.phase == 2]
    if not phase_two:
        return _phase_two_requirements(spec)
    last = phase_two[-1].heard
    if last is OfferResult.SELECTED:
        return "" if "phase_two_pfs" in fields else _PFS_UNKNOWN
    return _PHASE_TWO_UNKNOWN[last]


def _phase_one(reply: OfferReply) -> dict[str, Value]:
    """Return the fields of phase 1; none if the peer selected an algorithm outside the offer."""
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
    fields: dict[str, Value] = {"phase_two_encryption": encryption} if encryption else {}
    if authentication:
        fields["phase_two_authentication"] = authentication
    if reply.is_pfs_known:
        fields["phase_two_pfs"] = bool(group)
        if group:
            fields["phase_two_group"] = group
    return fields


def _phase_one_unknown(replies: Sequence[OfferReply], spec: TunnelSpec) -> str:
    if all(reply.heard is OfferResult.SILENT for reply in replies):
        return (
            f"No answer from {spec.remote_peer} on UDP port 500. Check the Remote Peer Address, "
            f"and that the peer expects {spec.hosted_peer}."
        )
    if any(reply.heard is OfferResult.UNCLEAR for reply in replies):
        return f"{spec.remote_peer} was not probed to the end: {_TOO_SLOW}"
    return (
        f"{spec.remote_peer} rejects every proposal. It may not know {spec.hosted_peer}, or may "
        "require aggressive mode."
    )


def _phase_two_requirements(spec: TunnelSpec) -> str:
    missing = [
        text
        for text, value in (
            ("the preshared key", spec.preshared_key),
            ("a hosted subnet", spec.hosted_subnets),
            ("a remote subnet", spec.remote_subnets),
        )
        if not value
    ]
    listed = " and ".join(", ".join(missing).rsplit(", ", 1))
    return f"To detect phase 2 as well, add {listed}." if missing else ""
