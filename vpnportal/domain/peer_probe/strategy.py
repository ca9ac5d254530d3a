"""Strategy of a probe: the next offer, given the replies so far.

Phase 1 needs no key: the peer selects in its first answer (RFC 7296, 1.2; RFC 2409, 5). Phase 2 is
negotiated only after both devices have proved the preshared key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vpnportal.domain.gateway_config.proposals import ike_proposal
from vpnportal.domain.peer_probe import offers
from vpnportal.domain.peer_probe.connection import ProbeOffer
from vpnportal.domain.peer_probe.offers import ProbeAlgorithms
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.peer_probe.result import Value, learned_fields
from vpnportal.domain.tunnel.spec import TunnelSpec

# The probe ends after this many offers of one kind without an answer, because each takes seconds.
MAX_SILENT_OFFERS = 2
GOOD, ALL = "IKEv2, good algorithms", "IKEv2, all algorithms"
FINAL = {OfferResult.SELECTED, OfferResult.KEY, OfferResult.SUBNETS}

_Results = Mapping[str, OfferResult]


def next_offer(
    replies: Sequence[OfferReply], algorithms: ProbeAlgorithms, with_phase_two: bool
) -> ProbeOffer | None:
    """Return the next offer, or None if nothing more can be detected."""
    fields = learned_fields(replies)
    results = {reply.offer: reply.heard for reply in replies}
    if not fields:
        candidates = _phase_one(algorithms, results)
    elif with_phase_two and not any(r.phase == 2 and r.heard in FINAL for r in replies):
        candidates = _phase_two(algorithms, results, fields)
    else:
        return None
    for offer in candidates:
        if offer.ike and offer.name not in results:
            return offer
        is_unclear = results.get(offer.name) is OfferResult.UNCLEAR
        if is_unclear and offer.retry.name not in results:
            return offer.retry
    return None


def wants_phase_two(spec: TunnelSpec) -> bool:
    """Return True if the draft has all values that a negotiation of phase 2 needs."""
    return bool(spec.preshared_key and spec.hosted_subnets and spec.remote_subnets)


def _phase_one(algorithms: ProbeAlgorithms, results: _Results) -> Iterator[ProbeOffer]:
    """Yield offers of IKEv2, then of IKEv1.

    If the peer does not answer IKEv2, likely combinations of IKEv1 come first. All combinations
    of IKEv1 follow, the strongest first.
    """
    yield ProbeOffer(GOOD, 2, offers.ikev2(algorithms.only_good()))
    is_silent = results.get(GOOD) is OfferResult.SILENT
    if not is_silent:
        yield ProbeOffer(ALL, 2, offers.ikev2(algorithms))
    yield from _until_silent(_ikev1(algorithms, likely_first=is_silent), results)


def _ikev1(algorithms: ProbeAlgorithms, likely_first: bool) -> Iterator[ProbeOffer]:
    if likely_first:
        common = offers.ikev1(algorithms, offers.COMMON)
        yield ProbeOffer("IKEv1, common combinations", 1, common)
        legacy = offers.ikev1(algorithms, offers.LEGACY)
        yield ProbeOffer("IKEv1, legacy combinations", 1, legacy)
    for number, proposals in enumerate(offers.ikev1_parts(algorithms), start=1):
        yield ProbeOffer(f"IKEv1, part {number} of all combinations", 1, proposals)


def _phase_two(
    algorithms: ProbeAlgorithms, results: _Results, fields: Mapping[str, Value]
) -> Iterator[ProbeOffer]:
    """Yield offers with the detected phase 1; in IKEv1 one per group."""
    version, group = int(fields["ike_version"]), int(fields["phase_one_group"])
    digest = str(fields["phase_one_authentication"])
    ike = (ike_proposal(str(fields["phase_one_encryption"]), digest, group),)
    if version == 2:
        yield ProbeOffer("phase 2", 2, ike, offers.esp_of_ikev2(algorithms, group))
        return
    candidates = (
        ProbeOffer(_phase_two_name(pfs), 1, ike, offers.esp_of_ikev1(algorithms, pfs))
        for pfs in offers.groups_of_ikev1(algorithms, group)
    )
    yield from _until_silent(candidates, results)


def _until_silent(candidates: Iterator[ProbeOffer], results: _Results) -> Iterator[ProbeOffer]:
    """Yield offers until `MAX_SILENT_OFFERS` of them had no answer."""
    silent = 0
    for offer in candidates:
        if silent >= MAX_SILENT_OFFERS:
            return
        yield offer
        silent += results.get(offer.name) is OfferResult.SILENT


def _phase_two_name(pfs_group: int) -> str:
    return f"phase 2, PFS group {pfs_group}" if pfs_group else "phase 2, PFS off"
