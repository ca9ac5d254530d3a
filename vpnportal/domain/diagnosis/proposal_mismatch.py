"""Findings about IKE versions and proposals: both settings, and the part that differs."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.diagnosis.local_settings import phase_one_text, phase_two_text
from vpnportal.domain.diagnosis.proposal_parser import describe, differences
from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import TunnelSpec

_FIELDS = {"encryption": "encryption", "authentication": "authentication", "groups": "group"}


def ike_version(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    if spec.ike_version == 0:
        return _ikev2_rejected(spec, active)
    ours, theirs = IKE_VERSIONS[spec.ike_version], active.symptom.theirs
    peer = f"uses {theirs}" if theirs else f"does not accept {ours}"
    return Finding(
        active.symptom.cause,
        "ike_version",
        f"IKE version mismatch: the peer {peer}, this tunnel uses {ours}",
        f"Select {theirs or 'the other version'} here, or configure {ours} on the peer.",
        theirs,
        ours,
        active.lines,
        f"Please set the IKE version to {ours}.",
    )


def _ikev2_rejected(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    """Return the finding for a tunnel that allows IKEv1 and IKEv2, but whose peer rejects IKEv2."""
    return Finding(
        active.symptom.cause,
        "ike_version",
        "The peer does not accept IKEv2, which this tunnel tries first",
        "Select IKEv1 only here, or let the peer initiate.",
        ours=IKE_VERSIONS[spec.ike_version],
        lines=active.lines,
        request=f"Please set the IKE version to {IKE_VERSIONS[2]}, or initiate the tunnel from your"
        " device.",
    )


def phase_one(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    symptom, ours = active.symptom, phase_one_text(spec)
    if not symptom.theirs:
        settings = f"{IKE_VERSIONS[spec.ike_version or active.version]} / {ours}"
        ikev1 = " A peer that supports IKEv1 only does the same: then select IKEv1 only here."
        return Finding(
            symptom.cause,
            "phase_one_encryption",
            "The peer rejected the phase 1 proposal (NO_PROPOSAL_CHOSEN)",
            f"Use {settings} on both devices. A peer that does not know the address of this"
            " concentrator, or expects another IKE version from it, sends the same notify."
            + (ikev1 if spec.ike_version == 0 and active.version == 2 else ""),
            ours=ours,
            lines=active.lines,
            request="Your device answers NO_PROPOSAL_CHOSEN in phase 1. Please set"
            f" {settings} for the peer {spec.hosted_peer}.",
        )
    parts = differences(symptom.theirs, symptom.ours)
    part = _FIELDS[parts[0]] if parts else "group"
    return _mismatch(active, f"phase_one_{part}", "phase 1", ours)


def phase_two(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    symptom, ours = active.symptom, phase_two_text(spec)
    if not symptom.theirs:
        return Finding(
            symptom.cause,
            "phase_two_encryption",
            "The peer rejected the phase 2 proposal (NO_PROPOSAL_CHOSEN)",
            f"Use {ours} on both devices.",
            ours=ours,
            lines=active.lines,
            request=f"Your device answers NO_PROPOSAL_CHOSEN in phase 2. Please set {ours}.",
        )
    # IKEv2 proposes the first CHILD_SA without a group (RFC 7296, 1.2); a rekey shows it as PFS.
    without_group = (active.version or spec.ike_version) == 2
    parts = differences(symptom.theirs, symptom.ours, without_group)
    part = _FIELDS[parts[0]] if parts else "encryption"
    return _mismatch(active, f"phase_two_{part}", "phase 2", ours, without_group)


def _mismatch(
    active: ActiveSymptom, field: str, phase: str, ours: str, without_group: bool = False
) -> Finding:
    theirs = describe(active.symptom.theirs, without_group) or active.symptom.theirs
    if without_group:
        ours = describe(active.symptom.ours, without_group)
    return Finding(
        active.symptom.cause,
        field,
        f"The {phase} proposals do not match",
        f"Select {theirs} for {phase} here, or configure {ours} on the peer.",
        theirs,
        ours,
        active.lines,
        f"The {phase} proposals do not match. Please set {ours}, or ask us to use yours.",
    )
