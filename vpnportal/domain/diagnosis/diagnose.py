"""All findings of one tunnel, each cause once, the most decisive first."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vpnportal.domain.diagnosis import phase_two, proposal_mismatch, psk_and_identity, reachability
from vpnportal.domain.diagnosis.evidence import ActiveSymptom, Evidence, symptoms
from vpnportal.domain.diagnosis.findings import DECISIVE, Cause, Finding
from vpnportal.domain.diagnosis.phase_two import pfs_differs
from vpnportal.domain.diagnosis.running_tunnel import running
from vpnportal.domain.tunnel.spec import TunnelSpec

# What the other role told more exactly needs no vague word beside it.
_VAGUE = {
    Cause.KEY_OR_IDENTITY: {Cause.KEY, Cause.IDENTITY, Cause.NO_KEY},
    Cause.PHASE_ONE: {Cause.IKE_VERSION},
    Cause.PHASE_TWO: {Cause.PFS},
    Cause.NO_ANSWER: {Cause.REFUSED, Cause.NAT_T},
    Cause.NAT_T: {Cause.REFUSED, Cause.NO_KEY},
}


def diagnose(spec: TunnelSpec, evidence: Evidence) -> tuple[Finding, ...]:
    """What is wrong with a tunnel; empty when nothing is, or nothing that is known."""
    found = [finding(spec, one) for one in symptoms(evidence)] if spec.remote_peer else []
    told = {one.cause for one in found}
    if evidence.rekey_refused and not told & {Cause.PFS, Cause.PHASE_TWO}:
        found.append(pfs_differs(spec))
    found += running(spec, evidence)
    return tuple(sorted(_once(found), key=lambda one: DECISIVE.index(one.cause)))


def _once(found: Iterable[Finding]) -> Iterable[Finding]:
    """Of each cause the newest finding, or the one that knows what the peer has."""
    best: dict[Cause, Finding] = {}
    for one in found:
        kept = best.setdefault(one.cause, one)
        if one.theirs and not kept.theirs:
            best[one.cause] = one
    return (
        one for one in best.values() if one.theirs or not _VAGUE.get(one.cause, set()) & best.keys()
    )


_WORDS: dict[Cause, Callable[[TunnelSpec, ActiveSymptom], Finding]] = {
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


def finding(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The finding for a symptom."""
    return _WORDS[shown.symptom.cause](spec, shown)
