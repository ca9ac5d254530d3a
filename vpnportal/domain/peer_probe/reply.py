"""What a peer answered to an offer, read from the lines that charon says of the attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from vpnportal.domain.peer_probe.connection import ProbeOffer
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS, UNNAMED, Suite

SELECTED_IKE = "selected proposal: IKE:"
SELECTED_ESP = "selected proposal: ESP:"
TIME_WAS_UP = "not established after"
# The messages with which this end shows that it has the key.
PROOF_SENT = ("generating ID_PROT request 0 [ ID HASH", "generating IKE_AUTH request")


class OfferResult(StrEnum):
    """How a peer took an offer.

    UNCLEAR: something came back, such as a cookie, and then the time was up. KEY: it did not get
    so far, because the two ends did not prove the same preshared key to each other. SUBNETS: it
    knows no tunnel between these networks.
    """

    SELECTED = "selected"
    REFUSED = "refused"
    SILENT = "silent"
    UNCLEAR = "unclear"
    KEY = "key"
    SUBNETS = "subnets"


@dataclass(frozen=True, slots=True)
class OfferReply:
    """The answer to the offer of this name; `suite` is what the peer selected of it.

    `version` is IKE's, `phase` 1 or 2. `renewed` tells that the keys were renewed with the suite.
    """

    offer: str
    version: int
    phase: int
    heard: OfferResult
    suite: Suite = UNNAMED
    renewed: bool = False

    @property
    def tells_pfs(self) -> bool:
        """Whether the suite's group is the one of PFS, or there is none.

        The first child of IKEv2 has its keys from IKE (RFC 7296, 1.2).
        """
        return self.phase == 2 and (self.version == 1 or self.renewed)

    def as_json(self) -> dict[str, Any]:
        """The reply as a row keeps it."""
        return {**asdict(self), "suite": list(self.suite)}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> OfferReply:
        """The reply that `as_json` was made of."""
        return cls(**{**kept, "heard": OfferResult(kept["heard"]), "suite": Suite(*kept["suite"])})


def read(offer: ProbeOffer, lines: Iterable[str]) -> OfferReply:
    """What became of an offer: the last line is why charon gave up, if it did."""
    said = tuple(lines)
    heard, suite = (_phase_two if offer.esp else _phase_one)(said)
    return OfferReply(offer.name, offer.version, 2 if offer.esp else 1, heard, suite)


def ends_phase_one(line: str) -> bool:
    """Whether charon says with this line what the peer has selected for IKE."""
    return line.startswith(SELECTED_IKE)


def renewed(reply: OfferReply, suite: Suite) -> OfferReply:
    """The same after the keys were renewed with this suite."""
    return replace(reply, suite=suite, renewed=True)


def _phase_one(said: tuple[str, ...]) -> tuple[OfferResult, Suite]:
    if suite := _selected(said, SELECTED_IKE):
        return OfferResult.SELECTED, suite
    if not _any(said, "received packet:"):
        return OfferResult.SILENT, UNNAMED
    return (OfferResult.UNCLEAR if _any(said, TIME_WAS_UP) else OfferResult.REFUSED), UNNAMED


def _phase_two(said: tuple[str, ...]) -> tuple[OfferResult, Suite]:
    if suite := _selected(said, SELECTED_ESP):
        return OfferResult.SELECTED, suite
    first, _ = _phase_one(said)
    if first is not OfferResult.SELECTED:
        return first, UNNAMED
    if not _any(said, "established between"):
        # A peer that is far away may not have had its turn to prove anything yet.
        early = _any(said, TIME_WAS_UP) and not _any(said, *PROOF_SENT)
        return (OfferResult.UNCLEAR if early else OfferResult.KEY), UNNAMED
    if _any(said, "TS_UNACCEPTABLE", "INVALID_ID_INFORMATION"):
        return OfferResult.SUBNETS, UNNAMED
    return (
        OfferResult.REFUSED if _any(said, "NO_PROPOSAL_CHOSEN") else OfferResult.SILENT
    ), UNNAMED


def _any(said: tuple[str, ...], *words: str) -> bool:
    return any(word in line for line in said for word in words)


def _selected(said: tuple[str, ...], start: str) -> Suite | None:
    """Such as AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536 of the last such line."""
    found = [line.removeprefix(start) for line in said if line.startswith(start)]
    if not found:
        return None
    words = set(found[-1].split("/"))
    ciphers, digests = ENCRYPTIONS.values(), AUTHENTICATIONS.values()
    return Suite(
        _one(e.charon_name for e in ciphers if e.charon_name.replace("-", "_") in words),
        _one(a.charon_name for a in digests if a.charon_name in words),
        _one(a.prf for a in digests if a.prf in words),
        _one(g.charon_name for g in GROUPS.values() if g.charon_name in words),
    )


def _one(names: Iterable[str]) -> str:
    return next(iter(names), "")
