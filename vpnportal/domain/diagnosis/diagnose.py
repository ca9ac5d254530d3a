"""All findings of one tunnel, each cause once, the most decisive first."""

from __future__ import annotations

from collections.abc import Iterable

from vpnportal.domain.diagnosis.evidence import Evidence, symptoms
from vpnportal.domain.diagnosis.findings import DECISIVE, Cause, Finding
from vpnportal.domain.diagnosis.phase_two import pfs_differs
from vpnportal.domain.diagnosis.running import running
from vpnportal.domain.diagnosis.words import finding
from vpnportal.domain.spec import TunnelSpec

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
