"""Replies of a peer to offers, read from charon's lines about the attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from vpnportal.domain.peer_probe.connection import ProbeOffer
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS, UNNAMED, Suite

SELECTED_IKE = "selected proposal: IKE:"
SELECTED_ESP = "selected proposal: ESP:"
TIMEOUT = "not established after"
# The messages that prove our preshared key to the peer.
PROOF_SENT = ("generating ID_PROT request 0 [ ID HASH", "generating IKE_AUTH request")


class OfferResult(StrEnum):
    """Result of an offer.

    UNCLEAR: the time was up after a first answer, such as a cookie. KEY: phase 2 was not reached,
    because the preshared keys do not match. SUBNETS: the peer has no tunnel between these networks.
    """

    SELECTED = "selected"
    REFUSED = "refused"
    SILENT = "silent"
    UNCLEAR = "unclear"
    KEY = "key"
    SUBNETS = "subnets"


@dataclass(frozen=True, slots=True)
class OfferReply:
    """The reply to an offer: `offer` is its name, `suite` the algorithms that the peer selected.

    `version` is the IKE version, `phase` is 1 or 2, `heard` is the result. `renewed` is set if
    `suite` is the suite of a rekey. `PeerProbe.steps` stores the fields under these names.
    """

    offer: str
    version: int
    phase: int
    heard: OfferResult
    suite: Suite = UNNAMED
    renewed: bool = False

    @property
    def is_pfs_known(self) -> bool:
        """True if the suite shows PFS and its group.

        The first CHILD_SA of IKEv2 takes its keys from the IKE_SA (RFC 7296, 1.2).
        """
        return self.phase == 2 and (self.version == 1 or self.renewed)

    def as_json(self) -> dict[str, Any]:
        """Return the reply as `PeerProbe.steps` stores it."""
        return {**asdict(self), "suite": list(self.suite)}

    @classmethod
    def of_json(cls, row: Mapping[str, Any]) -> OfferReply:
        """Return the reply from the dict that `as_json` made."""
        return cls(**{**row, "heard": OfferResult(row["heard"]), "suite": Suite(*row["suite"])})


def read(offer: ProbeOffer, lines: Iterable[str]) -> OfferReply:
    """Return the reply in charon's lines; the last line is the reason if charon gave up."""
    log = tuple(lines)
    result, suite = (_phase_two if offer.esp else _phase_one)(log)
    return OfferReply(offer.name, offer.version, 2 if offer.esp else 1, result, suite)


def ends_phase_one(line: str) -> bool:
    """Return True if the line has the peer's selection for IKE."""
    return line.startswith(SELECTED_IKE)


def with_rekeyed_suite(reply: OfferReply, suite: Suite) -> OfferReply:
    """Return the reply with the algorithms of the rekeyed CHILD_SA."""
    return replace(reply, suite=suite, renewed=True)


def _phase_one(log: tuple[str, ...]) -> tuple[OfferResult, Suite]:
    if suite := _selected(log, SELECTED_IKE):
        return OfferResult.SELECTED, suite
    if not _contains(log, "received packet:"):
        return OfferResult.SILENT, UNNAMED
    return (OfferResult.UNCLEAR if _contains(log, TIMEOUT) else OfferResult.REFUSED), UNNAMED


def _phase_two(log: tuple[str, ...]) -> tuple[OfferResult, Suite]:
    if suite := _selected(log, SELECTED_ESP):
        return OfferResult.SELECTED, suite
    phase_one, _ = _phase_one(log)
    if phase_one is not OfferResult.SELECTED:
        return phase_one, UNNAMED
    if not _contains(log, "established between"):
        # With a high latency, the time may be up before either device proves its key.
        is_early = _contains(log, TIMEOUT) and not _contains(log, *PROOF_SENT)
        return (OfferResult.UNCLEAR if is_early else OfferResult.KEY), UNNAMED
    if _contains(log, "TS_UNACCEPTABLE", "INVALID_ID_INFORMATION"):
        return OfferResult.SUBNETS, UNNAMED
    is_refused = _contains(log, "NO_PROPOSAL_CHOSEN")
    return (OfferResult.REFUSED if is_refused else OfferResult.SILENT), UNNAMED


def _contains(log: tuple[str, ...], *texts: str) -> bool:
    return any(text in line for line in log for text in texts)


def _selected(log: tuple[str, ...], start: str) -> Suite | None:
    """Return the suite of the last line that begins with `start`, or None without such a line."""
    proposals = [line.removeprefix(start) for line in log if line.startswith(start)]
    if not proposals:
        return None
    names = set(proposals[-1].split("/"))
    ciphers, digests = ENCRYPTIONS.values(), AUTHENTICATIONS.values()
    return Suite(
        _first(e.charon_name for e in ciphers if e.charon_name.replace("-", "_") in names),
        _first(a.charon_name for a in digests if a.charon_name in names),
        _first(a.prf for a in digests if a.prf in names),
        _first(g.charon_name for g in GROUPS.values() if g.charon_name in names),
    )


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")
