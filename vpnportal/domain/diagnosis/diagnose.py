"""Diagnosis of one tunnel: each active symptom becomes a finding, the most decisive cause first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from vpnportal.domain.diagnosis import phase_two, proposal_mismatch, psk_and_identity, reachability
from vpnportal.domain.diagnosis.evidence import ActiveSymptom, Evidence, active_symptoms
from vpnportal.domain.diagnosis.findings import DECISIVE, Cause, Finding
from vpnportal.domain.diagnosis.log_lines import Role
from vpnportal.domain.diagnosis.running_tunnel import running_findings
from vpnportal.domain.tunnel.spec import TunnelSpec

FINDINGS: dict[Cause, Callable[[TunnelSpec, ActiveSymptom], Finding]] = {
    Cause.ALGORITHM: phase_two.algorithm,
    Cause.NO_KEY: psk_and_identity.no_key,
    Cause.KEY: psk_and_identity.key,
    Cause.IDENTITY: psk_and_identity.identity,
    Cause.KEY_OR_IDENTITY: psk_and_identity.key_or_identity,
    Cause.IKE_VERSION: proposal_mismatch.ike_version,
    Cause.PHASE_ONE: proposal_mismatch.phase_one,
    Cause.PHASE_TWO: proposal_mismatch.phase_two,
    Cause.PFS: phase_two.pfs,
    Cause.SUBNETS: phase_two.subnets,
    Cause.DOS_LIMIT: reachability.dos_limit,
    Cause.REFUSED: reachability.refused,
    Cause.NAT_T: reachability.nat_t,
    Cause.NO_ANSWER: reachability.no_answer,
}
# A vague cause is dropped if an attempt of the other role showed one of these exact causes.
_EXACT_CAUSES = {
    Cause.KEY_OR_IDENTITY: {Cause.KEY, Cause.IDENTITY, Cause.NO_KEY},
    Cause.PHASE_ONE: {Cause.IKE_VERSION},
    Cause.PHASE_TWO: {Cause.PFS},
    Cause.NO_ANSWER: {Cause.REFUSED, Cause.NAT_T},
    Cause.NAT_T: {Cause.REFUSED, Cause.NO_KEY},
}


def diagnose(spec: TunnelSpec, evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of a tunnel, one per cause, the most decisive first.

    Causes that only unproven packets show come after those of our own attempts. The result is empty
    if nothing is wrong, and if no rule matches the evidence.
    """
    findings: list[Finding] = []
    has_own = False
    for active in active_symptoms(evidence) if spec.remote_peer else ():
        finding = FINDINGS[active.symptom.cause](spec, active)
        findings.append(replace(finding, is_unproven=active.is_unproven))
        has_own |= active.role is Role.INITIATOR and not active.symptom.is_inferred
    causes = {finding.cause for finding in findings}
    if evidence.rekey_refused and not causes & {Cause.PFS, Cause.PHASE_TWO}:
        findings.append(phase_two.pfs_differs(spec))
    findings += running_findings(spec, evidence)
    proven = {finding.cause for finding in findings if not finding.is_unproven}

    def rank(finding: Finding) -> tuple[bool, int]:
        return has_own and finding.cause not in proven, DECISIVE.index(finding.cause)

    return tuple(sorted(_one_per_cause(findings, proven), key=rank))


def _one_per_cause(findings: Iterable[Finding], proven: set[Cause]) -> Iterable[Finding]:
    """Return the newest finding of each cause, or the newest that shows the peer's settings.

    A vague cause without the peer's settings is dropped if another finding has an exact cause. An
    unproven exact cause drops no cause of `proven`.
    """
    best: dict[Cause, Finding] = {}
    for finding in findings:
        newest = best.setdefault(finding.cause, finding)
        if finding.theirs and not newest.theirs:
            best[finding.cause] = finding
    return (
        finding
        for finding in best.values()
        if finding.theirs
        or not _EXACT_CAUSES.get(finding.cause, set())
        & (proven if finding.cause in proven else best.keys())
    )
