"""What a peer is offered when it is asked: all that this charon can do, strongest first, in turns.

IKEv2 takes many algorithms in one proposal (RFC 7296, 3.3). IKEv1 wants each combination spelled
out, and some devices mind a first message that does not fit in one packet: it is told a few at a
time. A Quick Mode has one group (RFC 2409, 5.5).
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

# So many combinations of IKEv1 are about 1,200 bytes, which is one packet everywhere.
COMBINATIONS = 27
# What most devices of IKEv1 expect, and what the oldest do: for those that leave an offer without
# the right combination unanswered, so that every further offer is a long wait.
LIKELY = (("AES256", "AES128", "3DES"), ("SHA256", "SHA1", "MD5"), (14, 5, 2))
OLDER = (("AES192", "3DES", "DES"), ("SHA1", "MD5"), (5, 2, 1))
_RANK = {Strength.GOOD: 0, Strength.WEAK: 1, Strength.BROKEN: 2}


@dataclass(frozen=True, slots=True)
class ProbeAlgorithms:
    """The algorithms of the customers' table that a charon can do, each kind strongest first."""

    ciphers: tuple[Encryption, ...]
    aeads: tuple[Encryption, ...]
    digests: tuple[Authentication, ...]
    groups: tuple[Group, ...]

    def only_good(self) -> ProbeAlgorithms:
        """Without what is weak or broken."""
        return ProbeAlgorithms(
            _good(self.ciphers), _good(self.aeads), _good(self.digests), _good(self.groups)
        )


def probe_algorithms(names: Set[str]) -> ProbeAlgorithms:
    """From charon's names of its algorithms, such as AES_CBC, PRF_HMAC_MD5 and MODP_768."""
    encryptions = [e for e in ENCRYPTIONS.values() if e.charon_name.partition("-")[0] in names]
    return ProbeAlgorithms(
        _strongest_first(e for e in encryptions if not e.aead),
        _strongest_first(e for e in encryptions if e.aead),
        _strongest_first(a for a in AUTHENTICATIONS.values() if {a.charon_name, a.prf} <= names),
        _strongest_first(g for g in GROUPS.values() if g.charon_name in names),
    )


def ikev2(can: ProbeAlgorithms) -> Proposals:
    """Phase one in one or two proposals: with an integrity algorithm, and with an AEAD."""
    digests, groups = _words(can.digests), _words(can.groups)
    pseudorandom = [f"prf{word}" for word in digests]
    return (
        *_joined(_words(can.ciphers), digests, groups),
        *_joined(_words(can.aeads), pseudorandom, groups),
    )


def ikev1(
    can: ProbeAlgorithms, some: tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]
) -> Proposals:
    """Phase one: every combination of these encryptions, authentications and groups."""
    return tuple(
        ike_proposal(e.name, a.name, g.number)
        for e, a, g in _combinations(can)
        if e.name in some[0] and a.name in some[1] and g.number in some[2]
    )


def ikev1_in_turns(can: ProbeAlgorithms) -> Iterator[Proposals]:
    """Phase one: every combination there is, those of good algorithms only before all others."""
    every = tuple(ike_proposal(e.name, a.name, g.number) for e, a, g in _combinations(can))
    for at in range(0, len(every), COMBINATIONS):
        yield every[at : at + COMBINATIONS]


def esp_of_ikev2(can: ProbeAlgorithms, first: int) -> Proposals:
    """Phase two: with any group, and without; the group that is tried at once comes first."""
    ciphers, aeads, digests = _words(can.ciphers), _words(can.aeads), _words(can.digests)
    groups = _words(sorted(can.groups, key=lambda one: one.number != first))
    return (
        *_joined(ciphers, digests, groups),
        *_joined(aeads, groups),
        *_joined(ciphers, digests),
        *_joined(aeads),
    )


def esp_of_ikev1(can: ProbeAlgorithms, group: int) -> Proposals:
    """Phase two with this group, or without one (0): every combination of the rest."""
    pairs = sorted(product(can.ciphers, can.digests), key=_weakness)
    return (
        *(esp_proposal(e.name, a.name, group) for e, a in pairs),
        *(
            esp_proposal(e.name, can.digests[0].name, group)
            for e in can.aeads
            if e.ikev1 and can.digests
        ),
    )


def groups_of_ikev1(can: ProbeAlgorithms, first: int) -> tuple[int, ...]:
    """The group of phase one is nearly always that of phase two, if there is one at all."""
    return tuple(dict.fromkeys((first, 0, *(group.number for group in can.groups))))


def _good(those: tuple[_Algorithm, ...]) -> tuple[_Algorithm, ...]:
    return tuple(one for one in those if one.strength is Strength.GOOD)


def _strongest_first(those: Iterable[_Algorithm]) -> tuple[_Algorithm, ...]:
    """The tables go upwards within each strength."""
    return tuple(sorted(reversed(list(those)), key=lambda one: _RANK[one.strength]))


def _combinations(can: ProbeAlgorithms) -> list[tuple[Encryption, Authentication, Group]]:
    return sorted(product(can.ciphers, can.digests, can.groups), key=_weakness)


def _weakness(one: tuple[Encryption | Authentication | Group, ...]) -> tuple[int, int]:
    """A combination is as weak as its weakest part."""
    ranks = [_RANK[part.strength] for part in one]
    return max(ranks), sum(ranks)


def _words(those: Iterable[_Algorithm]) -> list[str]:
    return [one.keyword for one in those]


def _joined(*kinds: list[str]) -> Proposals:
    """One proposal of all of them, or none where one kind is missing."""
    return ("-".join(word for kind in kinds for word in kind),) if all(kinds) else ()
