"""Findings about phase 2, except its proposals: PFS, traffic selectors, unsupported algorithms."""

from __future__ import annotations

from vpnportal.domain.diagnosis.attempts import Stage
from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.diagnosis.local_settings import PFS_OFF, pfs_text, subnets_text
from vpnportal.domain.diagnosis.proposal_parser import describe
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.domain.tunnel.spec import TunnelSpec


def pfs_differs(
    spec: TunnelSpec, theirs: str = "", lines: tuple[str, ...] = (), version: int = 2
) -> Finding:
    """Return the finding for a different PFS setting or group; IKEv2 negotiates both at a rekey."""
    ours = pfs_text(spec)
    is_switch = theirs == PFS_OFF or not spec.phase_two.pfs
    return Finding(
        Cause.PFS,
        "phase_two_pfs" if is_switch else "phase_two_group",
        "PFS settings do not match" + (": the next rekey will fail" if version == 2 else ""),
        f"Select {theirs} in phase 2 here, or configure {ours} on the peer."
        if theirs
        else f"Use {ours} in phase 2 on both devices.",
        theirs,
        ours,
        lines,
        f"The PFS settings of phase 2 do not match. Please set {ours}.",
    )


def pfs(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    theirs = describe(active.symptom.theirs) or active.symptom.theirs
    # Only the last part of "AES256 / SHA256 / group 14" differs.
    groups = dict.fromkeys(text.rpartition(" / ")[2] for text in theirs.split(" or "))
    return pfs_differs(spec, " or ".join(groups), active.lines, spec.ike_version or active.version)


def subnets(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    theirs, ours = active.symptom.theirs, subnets_text(spec)
    mirrored = (
        f"remote {', '.join(map(str, sorted(spec.hosted_subnets)))},"
        f" local {', '.join(map(str, sorted(spec.remote_subnets)))}"
    )
    return Finding(
        active.symptom.cause,
        "remote_subnets",
        "Traffic selectors do not match",
        f"Configure {theirs} here, or {ours} on the peer."
        if theirs
        else f"Configure the same subnets on both devices: {ours}.",
        theirs,
        ours,
        active.lines,
        f"The traffic selectors do not match. Please set {mirrored}, with the same masks.",
    )


def algorithm(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    # charon does not always name a group.
    name = active.symptom.ours or f"group {spec.phase_one.group}"
    return Finding(
        active.symptom.cause,
        _field_of(name, is_phase_two=active.symptom.cleared_by > Stage.AUTHENTICATED),
        f"strongSwan on the concentrator does not support the negotiated {name}",
        "Select another algorithm on both devices, or ask the operator to load the plugin that"
        " provides it.",
        ours=name,
        lines=active.lines,
    )


def _field_of(name: str, is_phase_two: bool) -> str:
    phase = "phase_two" if is_phase_two else "phase_one"
    if name in ENCRYPTIONS:
        return f"{phase}_encryption"
    if name in AUTHENTICATIONS:
        return f"{phase}_authentication"
    return f"{phase}_group" if name in {f"group {number}" for number in GROUPS} else ""
