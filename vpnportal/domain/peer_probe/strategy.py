"""Asking a peer what it accepts: what to offer next, after what it answered so far.

Phase one is learnt without the key: the peer selects in its first answer (RFC 7296, 1.2; RFC 2409,
5). Phase two is negotiated only between those who have the key.
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

# Whoever left so many offers of one kind unanswered is not asked again.
SILENCES = 2
GOOD, EVERY = "IKEv2, good algorithms", "IKEv2, every algorithm"
ENOUGH = {OfferResult.SELECTED, OfferResult.KEY, OfferResult.SUBNETS}


def next_offer(
    replies: Sequence[OfferReply], can: ProbeAlgorithms, with_phase_two: bool
) -> ProbeOffer | None:
    """What to offer after these replies, or None when nothing more can be learnt."""
    known = learned_fields(replies)
    heard = {reply.offer: reply.heard for reply in replies}
    unclear = {name for name, word in heard.items() if word is OfferResult.UNCLEAR}
    if not known:
        every = _phase_one(can, heard)
    elif with_phase_two and not any(r.phase == 2 and r.heard in ENOUGH for r in replies):
        every = _phase_two(can, heard, known)
    else:
        return None
    for offer in every:
        if offer.ike and offer.name not in heard:
            return offer
        if offer.name in unclear and offer.again.name not in heard:
            return offer.again
    return None


def wants_phase_two(spec: TunnelSpec) -> bool:
    """Whether the draft has what a peer must see before it tells of phase two."""
    return bool(spec.preshared_key and spec.hosted_subnets and spec.remote_subnets)


def _phase_one(can: ProbeAlgorithms, heard: Mapping[str, OfferResult]) -> Iterator[ProbeOffer]:
    """IKEv2 first. One that says no at once is offered the strongest of IKEv1 first, too."""
    yield ProbeOffer(GOOD, 2, offers.ikev2(can.only_good()))
    silent = _left(heard, GOOD)
    if not silent:
        yield ProbeOffer(EVERY, 2, offers.ikev2(can))
    yield from _while_answered(_ikev1(can, likely_first=silent), heard)


def _ikev1(can: ProbeAlgorithms, likely_first: bool) -> Iterator[ProbeOffer]:
    if likely_first:
        yield ProbeOffer("IKEv1, the usual combinations", 1, offers.ikev1(can, offers.LIKELY))
        yield ProbeOffer("IKEv1, the oldest combinations", 1, offers.ikev1(can, offers.OLDER))
    for number, some in enumerate(offers.ikev1_in_turns(can), start=1):
        yield ProbeOffer(f"IKEv1, part {number} of all combinations", 1, some)


def _phase_two(
    can: ProbeAlgorithms, heard: Mapping[str, OfferResult], known: Mapping[str, Value]
) -> Iterator[ProbeOffer]:
    """With the phase one that is known; a Quick Mode asks for one group after the other."""
    version, group = int(known["ike_version"]), int(known["phase_one_group"])
    digest = str(known["phase_one_authentication"])
    ike = (ike_proposal(str(known["phase_one_encryption"]), digest, group),)
    if version == 2:
        yield ProbeOffer("phase two", 2, ike, offers.esp_of_ikev2(can, group))
        return
    every = (
        ProbeOffer(f"phase two, {_pfs(one)}", 1, ike, offers.esp_of_ikev1(can, one))
        for one in offers.groups_of_ikev1(can, group)
    )
    yield from _while_answered(every, heard)


def _while_answered(
    every: Iterator[ProbeOffer], heard: Mapping[str, OfferResult]
) -> Iterator[ProbeOffer]:
    """Until too many of them were left unanswered."""
    left = SILENCES
    for offer in every:
        if not left:
            return
        yield offer
        left -= _left(heard, offer.name)


def _left(heard: Mapping[str, OfferResult], name: str) -> bool:
    """Whether the offer was left unanswered."""
    return heard.get(name) is OfferResult.SILENT


def _pfs(group: int) -> str:
    return f"PFS with group {group}" if group else "no PFS"
