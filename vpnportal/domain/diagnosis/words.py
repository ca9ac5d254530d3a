"""What a symptom means for this tunnel: the finding of each cause, in words."""

from __future__ import annotations

from collections.abc import Callable

from vpnportal.domain.diagnosis import authentication, offers, phase_two, reach
from vpnportal.domain.diagnosis.evidence import Shown
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.spec import TunnelSpec

_WORDS: dict[Cause, Callable[[TunnelSpec, Shown], Finding]] = {
    Cause.ALGORITHM: phase_two.algorithm,
    Cause.NO_KEY: authentication.no_key,
    Cause.KEY: authentication.key,
    Cause.IDENTITY: authentication.identity,
    Cause.KEY_OR_IDENTITY: authentication.key_or_identity,
    Cause.IKE_VERSION: offers.ike_version,
    Cause.PHASE_ONE: offers.phase_one,
    Cause.PHASE_TWO: offers.phase_two,
    Cause.PFS: phase_two.pfs,
    Cause.SUBNETS: phase_two.subnets,
    Cause.DOS_LIMIT: reach.dos_limit,
    Cause.REFUSED: reach.refused,
    Cause.NAT_T: reach.nat_t,
    Cause.NO_ANSWER: reach.no_answer,
}


def finding(spec: TunnelSpec, shown: Shown) -> Finding:
    """The finding for a symptom."""
    return _WORDS[shown.symptom.cause](spec, shown)
