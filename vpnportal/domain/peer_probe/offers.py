"""Proposals for a probe: all algorithms that this charon supports, the strongest first.

IKEv2 takes many algorithms in one proposal (RFC 7296, 3.3). IKEv1 needs each combination spelled
out, and some devices reject a first message that does not fit in one packet. Combinations of IKEv1
are therefore split over more than one offer. A Quick Mode has one group (RFC 2409, 5.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias, TypeVar

from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.tunnel.algorithms import (
    AUTHENTICATIONS,
    ENCRYPTIONS,
    GROUPS,
    Authentication,
    Encryption,
    Group,
    Strength,
)

Proposals: TypeAlias = "tuple[str, ...]"
_Algorithm = TypeVar("_Algorithm", Encryption, Authentication, Group)

# This many combinations of IKEv1 take about 1,200 bytes, which fits in one packet.
MAX_COMBINATIONS = 27
# Combinations that most IKEv1 devices expect, and those of the oldest devices. They come first for
# devices that do not answer an offer without the right combination, because each silence is slow.
COMMON = (("AES256", "AES128", "3DES"), ("SHA256", "SHA1", "MD5"), (14, 5, 2))
LEGACY = (("AES192", "3DES", "DES"), ("SHA1", "MD5"), (5, 2, 1))
_RANK = {Strength.GOOD: 0, Strength.WEAK: 1, Strength.BROKEN: 2}


@dataclass(frozen=True, slots=True)
class ProbeAlgorithms:
    """The portal's algorithms that a charon supports, each kind strongest first."""

    ciphers: tuple[Encryption, ...]
    aeads: tuple[Encryption, ...]
    digests: tuple[Authentication, ...]
    groups: tuple[Group, ...]

    def only_good(self) -> ProbeAlgorithms:
        """Return the algorithms without weak and broken ones."""
        return ProbeAlgorithms(
            _good(self.ciphers), _good(self.aeads), _good(self.digests), _good(self.groups)
        )


def probe_algorithms(names: Set[str]) -> ProbeAlgorithms:
    """Select algorithms by charon's names, such as AES_CBC, PRF_HMAC_MD5 and MODP_768."""
    encryptions = [e for e in ENCRYPTIONS.values() if e.charon_name.partition("-")[0] in names]
    return ProbeAlgorithms(
        _strongest_first(e for e in encryptions if not e.aead),
        _strongest_first(e for e in encryptions if e.aead),
        _strongest_first(a for a in AUTHENTICATIONS.values() if {a.charon_name, a.prf} <= names),
        _strongest_first(g for g in GROUPS.values() if g.charon_name in names),
    )


def ikev2(algorithms: ProbeAlgorithms) -> Proposals:
    """Return phase 1 of IKEv2: one proposal with integrity algorithms, and one with AEADs."""
    digests, groups = _keywords(algorithms.digests), _keywords(algorithms.groups)
    prfs = [f"prf{keyword}" for keyword in digests]
    return (
        *_proposal(_keywords(algorithms.ciphers), digests, groups),
        *_proposal(_keywords(algorithms.aeads), prfs, groups),
    )


def ikev1(
    algorithms: ProbeAlgorithms,
    names: tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]],
) -> Proposals:
    """Return phase 1 proposals of IKEv1: each combination of the algorithms in `names`."""
    encryptions, authentications, groups = names
    return tuple(
        ike_proposal(e.name, a.name, g.number)
        for e, a, g in _combinations(algorithms)
        if e.name in encryptions and a.name in authentications and g.number in groups
    )


def ikev1_parts(algorithms: ProbeAlgorithms) -> Iterator[Proposals]:
    """Yield all phase 1 proposals of IKEv1, at most `MAX_COMBINATIONS` at once, strongest first."""
    proposals = tuple(
        ike_proposal(e.name, a.name, g.number) for e, a, g in _combinations(algorithms)
    )
    for start in range(0, len(proposals), MAX_COMBINATIONS):
        yield proposals[start : start + MAX_COMBINATIONS]


def esp_of_ikev2(algorithms: ProbeAlgorithms, first: int) -> Proposals:
    """Return phase 2 of IKEv2 with all groups, the group `first` in front, and with PFS off."""
    ciphers, aeads = _keywords(algorithms.ciphers), _keywords(algorithms.aeads)
    digests = _keywords(algorithms.digests)
    groups = _keywords(sorted(algorithms.groups, key=lambda group: group.number != first))
    return (
        *_proposal(ciphers, digests, groups),
        *_proposal(aeads, groups),
        *_proposal(ciphers, digests),
        *_proposal(aeads),
    )


def esp_of_ikev1(algorithms: ProbeAlgorithms, group: int) -> Proposals:
    """Return the phase 2 proposals of IKEv1 with this group: each cipher with each digest.

    Group 0 is PFS off.
    """
    pairs = sorted(product(algorithms.ciphers, algorithms.digests), key=_weakness)
    return (
        *(esp_proposal(e.name, a.name, group) for e, a in pairs),
        *(
            esp_proposal(e.name, algorithms.digests[0].name, group)
            for e in algorithms.aeads
            if e.ikev1 and algorithms.digests
        ),
    )


def groups_of_ikev1(algorithms: ProbeAlgorithms, first: int) -> tuple[int, ...]:
    """Return phase 2 groups, the most likely first: that of phase 1, 0 (PFS off), all others."""
    return tuple(dict.fromkeys((first, 0, *(group.number for group in algorithms.groups))))


def _good(algorithms: tuple[_Algorithm, ...]) -> tuple[_Algorithm, ...]:
    return tuple(algorithm for algorithm in algorithms if algorithm.strength is Strength.GOOD)


def _strongest_first(algorithms: Iterable[_Algorithm]) -> tuple[_Algorithm, ...]:
    """Sort algorithms from strong to weak; the input is ascending within each strength."""
    descending = reversed(list(algorithms))
    return tuple(sorted(descending, key=lambda algorithm: _RANK[algorithm.strength]))


def _combinations(
    algorithms: ProbeAlgorithms,
) -> list[tuple[Encryption, Authentication, Group]]:
    parts = (algorithms.ciphers, algorithms.digests, algorithms.groups)
    return sorted(product(*parts), key=_weakness)


def _weakness(combination: tuple[Encryption | Authentication | Group, ...]) -> tuple[int, int]:
    """Return the sort key of a combination, which is as weak as its weakest part."""
    ranks = [_RANK[part.strength] for part in combination]
    return max(ranks), sum(ranks)


def _keywords(algorithms: Iterable[_Algorithm]) -> list[str]:
    return [algorithm.keyword for algorithm in algorithms]


def _proposal(*kinds: list[str]) -> Proposals:
    """Return one proposal of all keywords, or none if a kind is empty."""
    return ("-".join(keyword for kind in kinds for keyword in kind),) if all(kinds) else ()
