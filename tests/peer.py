"""A simulated peer that accepts one proposal of each phase."""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.peer_probe.connection import ProbeOffer
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite, esp_suite, ike_suite

# Encryption, authentication and group.
Algorithms = tuple[str, str, int]


@dataclass
class Peer:
    """The accepted proposals; group 0 in `phase_two` is PFS off.

    `has_key` and `has_subnets` are set if these match. A peer that is not `is_responsive` ignores
    offers that it does not accept.
    """

    version: int
    phase_one: Algorithms
    phase_two: Algorithms
    has_key: bool = True
    has_subnets: bool = True
    is_responsive: bool = True

    def reply(self, offer: ProbeOffer) -> OfferReply:
        result, suite = self._phase_two(offer) if offer.esp else self._phase_one(offer)
        is_rekeyed = bool(offer.esp and offer.version == 2 and suite[0])
        phase = 2 if offer.esp else 1
        return OfferReply(offer.name, offer.version, phase, result, suite, is_rekeyed)

    def _phase_one(self, offer: ProbeOffer) -> tuple[OfferResult, Suite]:
        if offer.version == self.version and _is_offered(ike_proposal(*self.phase_one), offer.ike):
            return OfferResult.SELECTED, ike_suite(*self.phase_one)
        return self._reject()

    def _phase_two(self, offer: ProbeOffer) -> tuple[OfferResult, Suite]:
        assert offer.ike == (ike_proposal(*self.phase_one),), "phase 2 uses the selected phase 1"
        if not self.has_key:
            return OfferResult.KEY, UNNAMED
        if not self.has_subnets:
            return OfferResult.SUBNETS, UNNAMED
        if _is_offered(esp_proposal(*self.phase_two), offer.esp):
            return OfferResult.SELECTED, esp_suite(*self.phase_two)
        return self._reject()

    def _reject(self) -> tuple[OfferResult, Suite]:
        return (OfferResult.REFUSED if self.is_responsive else OfferResult.SILENT), UNNAMED


def _is_offered(accepted: str, offered: tuple[str, ...]) -> bool:
    """Return True if a proposal has all accepted keywords, and a group only if accepted."""
    keywords = set(accepted.split("-"))
    return any(
        keywords <= set(proposal.split("-")) and bool(_groups(proposal)) == bool(_groups(accepted))
        for proposal in offered
    )


def _groups(proposal: str) -> set[str]:
    return {word for word in proposal.split("-") if word.startswith(("modp", "ecp", "curve"))}
