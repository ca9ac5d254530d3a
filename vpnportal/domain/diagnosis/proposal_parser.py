"""charon's proposals in the customers' words, and in which parts those of two ends differ.

charon writes `IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536, IKE:…` for phase one
and `ESP:…` for phase two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

# So many proposals of a peer are told; some send dozens.
SHOWN = 5
PARTS = ("encryption", "authentication", "groups")
_ENCRYPTIONS = {one.charon_name.replace("-", "_"): name for name, one in ENCRYPTIONS.items()}
_INTEGRITY = {one.charon_name: name for name, one in AUTHENTICATIONS.items()}
_PRF = {one.prf: name for name, one in AUTHENTICATIONS.items()}
_GROUPS = {one.charon_name: str(one.number) for one in GROUPS.values() if one.charon_name}
_OTHER_GROUPS = ("MODP_", "ECP_", "CURVE_", "KE_")
_OTHER_INTEGRITY = ("HMAC_", "AES_XCBC_96", "AES_CMAC_96")
_LEFT_OUT = ("NO_EXT_SEQ", "EXT_SEQ", "ESN")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal; each part holds the words of the alternatives, none where it names none."""

    phase: int
    encryption: tuple[str, ...]
    authentication: tuple[str, ...]
    groups: tuple[str, ...]

    def in_words(self) -> str:
        """Such as "AES256, SHA256, group 5"; phase two without a group has no PFS."""
        group = "no PFS" if self.phase == 2 else ""
        if self.groups:
            group = "group " + "/".join(self.groups)
        parts = ("/".join(self.encryption), "/".join(self.authentication), group)
        return ", ".join(part for part in parts if part)

    def differs_in(self, other: Proposal) -> tuple[str, ...]:
        """The parts for which the two have no alternative in common."""
        return tuple(
            part
            for part in PARTS
            if (getattr(self, part) or getattr(other, part))
            and not set(getattr(self, part)) & set(getattr(other, part))
        )


def parse(text: str) -> tuple[Proposal, ...]:
    """The proposals of a line; what is no proposal is left out."""
    return tuple(_proposal(part.strip()) for part in text.split(", ") if ":" in part)


def differences(theirs: str, ours: str, without_group: bool = False) -> tuple[str, ...]:
    """In which parts two lists of proposals differ, taking the two that differ least.

    The exchange that makes the first CHILD_SA of IKEv2 leaves the group out on purpose.
    """
    each = [
        tuple(part for part in one.differs_in(other) if not (without_group and part == "groups"))
        for one in parse(theirs)
        for other in parse(ours)
    ]
    return min(each, key=len, default=())


def in_words(text: str, without_group: bool = False) -> str:
    """Several proposals for people, the first of them if there are many."""
    proposals = parse(text)
    if without_group:
        proposals = tuple(replace(one, phase=1, groups=()) for one in proposals)
    each = list(dict.fromkeys(one.in_words() for one in proposals))
    more = len(each) - SHOWN
    return " or ".join(each[:SHOWN]) + (f" or {more} more" if more > 0 else "")


def word(token: str) -> str:
    """The customers' word for one of charon's, or charon's own."""
    if token in _GROUPS:
        return f"group {_GROUPS[token]}"
    for table in (_ENCRYPTIONS, _INTEGRITY, _PRF):
        if token in table:
            return table[token]
    return token.removeprefix("HASH_").replace("SHA2_", "SHA")


def _proposal(text: str) -> Proposal:
    protocol, _, transforms = text.partition(":")
    encryption, integrity, prf, groups = [], [], [], []
    for token in transforms.split("/"):
        if token in _GROUPS or token.startswith(_OTHER_GROUPS):
            groups.append(_GROUPS.get(token, token))
        elif token.startswith("PRF_"):
            prf.append(_PRF.get(token, token))
        elif token in _INTEGRITY or token.startswith(_OTHER_INTEGRITY):
            integrity.append(_INTEGRITY.get(token, token))
        elif token and token not in _LEFT_OUT:
            encryption.append(_ENCRYPTIONS.get(token, token))
    phase = 1 if protocol == "IKE" else 2
    return Proposal(phase, tuple(encryption), tuple(integrity or prf), tuple(groups))
