"""Findings about proposals: what each end offers, and which part of it differs."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.diagnosis.local_settings import phase_one_of, phase_two_of
from vpnportal.domain.diagnosis.proposal_parser import differences, in_words
from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.domain.tunnel.spec import TunnelSpec

_FIELDS = {"encryption": "encryption", "authentication": "authentication", "groups": "group"}


def ike_version(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The ends use different versions of IKE."""
    if spec.ike_version == 0:
        return _begins_with_ikev2(spec, shown)
    ours, theirs = IKE_VERSIONS[spec.ike_version], shown.symptom.theirs
    uses = f"uses {theirs}" if theirs else f"does not accept {ours}"
    return Finding(
        shown.symptom.cause,
        "ike_version",
        f"The other end {uses}, and this tunnel is set to {ours}.",
        f"Choose {theirs or 'the other version'} here, or {ours} at the other end.",
        theirs,
        ours,
        shown.lines,
        f"Please set the tunnel to {ours}.",
    )


def _begins_with_ikev2(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """This end takes both, but must begin with one of them."""
    return Finding(
        shown.symptom.cause,
        "ike_version",
        "The other end does not accept IKEv2, with which this end begins.",
        "Choose IKEv1 only here, or let the other end begin.",
        ours=IKE_VERSIONS[spec.ike_version],
        lines=shown.lines,
        request=f"Please set the tunnel to {IKE_VERSIONS[2]}, or let your device begin it.",
    )


def phase_one(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The proposals for IKE differ."""
    symptom = shown.symptom
    ours = phase_one_of(spec)
    if not symptom.theirs:
        version = IKE_VERSIONS[spec.ike_version or shown.version]
        ikev1 = " One that speaks IKEv1 only does so, too: then choose IKEv1 only here."
        return Finding(
            symptom.cause,
            "phase_one_encryption",
            "The other end refuses our proposal for phase one, and does not tell its own.",
            f"Set {version}, {ours} at both ends. A device that does not know this gateway's"
            " address, or does not do this IKE version with it, answers the same."
            + (ikev1 if spec.ike_version == 0 and shown.version == 2 else ""),
            ours=ours,
            lines=shown.lines,
            request=f"Your device answers NO_PROPOSAL_CHOSEN in phase one. Please set {version},"
            f" {ours} for the peer {spec.hosted_peer}.",
        )
    parts = differences(symptom.theirs, symptom.ours)
    part = _FIELDS[parts[0]] if parts else "group"
    return _proposal(shown, f"phase_one_{part}", "phase one", ours)


def phase_two(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The proposals for ESP differ."""
    symptom, version = shown.symptom, shown.version or spec.ike_version
    ours = phase_two_of(spec)
    if not symptom.theirs:
        return Finding(
            symptom.cause,
            "phase_two_encryption",
            "The other end refuses our proposal for phase two, and does not tell its own.",
            f"Set {ours} in phase two at both ends"
            + ("." if version == 2 else ", the group of Perfect Forward Secrecy included."),
            ours=ours,
            lines=shown.lines,
            request=f"Your device answers NO_PROPOSAL_CHOSEN in phase two. Please set {ours}.",
        )
    # The first CHILD_SA of IKEv2 is proposed without a group; later ones show it as PFS.
    without = version == 2
    parts = differences(symptom.theirs, symptom.ours, without)
    part = next((_FIELDS[part] for part in parts), "encryption")
    return _proposal(shown, f"phase_two_{part}", "phase two", ours, without)


def _proposal(
    shown: ActiveSymptom, field: str, phase: str, ours: str, without_group: bool = False
) -> Finding:
    theirs = in_words(shown.symptom.theirs, without_group) or shown.symptom.theirs
    if without_group:
        ours = in_words(shown.symptom.ours, without_group)
    return Finding(
        shown.symptom.cause,
        field,
        f"The two ends propose different algorithms for {phase}.",
        f"Choose {theirs} for {phase} here, or {ours} at the other end.",
        theirs,
        ours,
        shown.lines,
        f"The algorithms of {phase} differ. Please set {ours}, or tell us to take yours.",
    )
