"""A peer that accepts one proposal of each phase, as the offers know it."""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.peer_probe.connection import ProbeOffer
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult
from vpnportal.domain.tunnel.algorithms import UNNAMED, Suite, esp_suite, ike_suite

One = tuple[str, str, int]


@dataclass
class Peer:
    """`one` and `two` are encryption, authentication and group; group 0 in `two` is no PFS.

    A peer that does not `talk` leaves what it does not accept unanswered.
    """

    version: int
    one: One
    two: One
    key: bool = True
    subnets: bool = True
    talks: bool = True

    def reply(self, offer: ProbeOffer) -> OfferReply:
        heard, suite = self._phase_two(offer) if offer.esp else self._phase_one(offer)
        phase, renewed = (2, offer.version == 2) if offer.esp else (1, False)
        return OfferReply(
            offer.name, offer.version, phase, heard, suite, renewed and bool(suite[0])
        )

    def _phase_one(self, offer: ProbeOffer) -> tuple[OfferResult, Suite]:
        if offer.version == self.version and _within(ike_proposal(*self.one), offer.ike):
            return OfferResult.SELECTED, ike_suite(*self.one)
        return self._no()

    def _phase_two(self, offer: ProbeOffer) -> tuple[OfferResult, Suite]:
        assert offer.ike == (ike_proposal(*self.one),), "phase two goes on with what was selected"
        if not self.key:
            return OfferResult.KEY, UNNAMED
        if not self.subnets:
            return OfferResult.SUBNETS, UNNAMED
        if _within(esp_proposal(*self.two), offer.esp):
            return OfferResult.SELECTED, esp_suite(*self.two)
        return self._no()

    def _no(self) -> tuple[OfferResult, Suite]:
        return (OfferResult.REFUSED if self.talks else OfferResult.SILENT), UNNAMED


def _within(wanted: str, offered: tuple[str, ...]) -> bool:
    """Whether one of the proposals has every word of it, and no group where it has none."""
    words = set(wanted.split("-"))
    return any(
        words <= set(one.split("-")) and bool(_groups(one)) == bool(_groups(wanted))
        for one in offered
    )


def _groups(proposal: str) -> set[str]:
    return {word for word in proposal.split("-") if word.startswith(("modp", "ecp", "curve"))}
