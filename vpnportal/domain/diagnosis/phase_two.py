"""Findings about phase two beside its proposals: PFS, subnets, and what the gateway lacks."""

from __future__ import annotations

from vpnportal.domain.diagnosis.attempts import Stage
from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.diagnosis.local_settings import pfs_of, subnets_of
from vpnportal.domain.diagnosis.proposal_parser import in_words
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.domain.tunnel.spec import TunnelSpec


def pfs_differs(
    spec: TunnelSpec, theirs: str = "", lines: tuple[str, ...] = (), version: int = 2
) -> Finding:
    """Perfect Forward Secrecy, or its group, is not the same at both ends."""
    ours = pfs_of(spec)
    differs = theirs == "no PFS" or not spec.phase_two.pfs
    later = " The tunnel is up until its keys are to be renewed." if version == 2 else ""
    return Finding(
        Cause.PFS,
        "phase_two_pfs" if differs else "phase_two_group",
        f"The two ends differ in Perfect Forward Secrecy or its group.{later}",
        f"Choose {theirs} in phase two here, or {ours} at the other end."
        if theirs
        else f"Set {ours} in phase two at both ends.",
        theirs,
        ours,
        lines,
        f"Perfect Forward Secrecy of phase two differs. Please set {ours}.",
    )


def pfs(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """Only the group of phase two differs."""
    theirs = in_words(shown.symptom.theirs) or shown.symptom.theirs
    # Of "AES256, SHA256, group 14" only the last part is the difference.
    each = dict.fromkeys(one.rpartition(", ")[2] for one in theirs.split(" or "))
    return pfs_differs(spec, " or ".join(each), shown.lines, spec.ike_version or shown.version)


def subnets(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The traffic selectors differ."""
    theirs, ours = shown.symptom.theirs, subnets_of(spec)
    if theirs:
        text = "The other end asks for other networks than this tunnel has."
        advice = f"Protect {theirs} here, or set {ours} at the other end."
    else:
        text = "The other end does not protect the networks that this tunnel has."
        advice = f"Set the same networks at both ends: {ours}."
    mirrored = (
        f"remote {', '.join(map(str, sorted(spec.hosted_subnets)))},"
        f" local {', '.join(map(str, sorted(spec.remote_subnets)))}"
    )
    return Finding(
        shown.symptom.cause,
        "remote_subnets",
        text,
        advice,
        theirs,
        ours,
        shown.lines,
        f"The protected networks differ. Please set {mirrored}, with the same masks.",
    )


def algorithm(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """This end lacks what both agreed on."""
    # Only of a group charon does not always tell the name.
    what = shown.symptom.ours or f"group {spec.phase_one.group}"
    return Finding(
        shown.symptom.cause,
        _field_of(what, two=shown.symptom.beyond > Stage.AUTHENTICATED),
        f"The gateway's strongSwan cannot do {what}, which both ends agreed on.",
        "Choose another one at both ends, or have the operator load the plugin that brings it.",
        ours=what,
        lines=shown.lines,
    )


def _field_of(what: str, two: bool) -> str:
    phase = "phase_two" if two else "phase_one"
    if what in ENCRYPTIONS:
        return f"{phase}_encryption"
    if what in AUTHENTICATIONS:
        return f"{phase}_authentication"
    return f"{phase}_group" if what in {f"group {number}" for number in GROUPS} else ""
