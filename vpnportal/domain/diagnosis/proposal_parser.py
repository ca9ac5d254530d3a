"""Parser of charon's proposals; it compares and describes them with the portal's algorithm names.

charon writes `IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536, IKE:…` for phase 1
and `ESP:…` for phase 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.diagnosis.local_settings import PFS_OFF
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

# Proposals of a peer in a text; some peers send dozens.
MAX_PROPOSALS = 5
MAX_COMPARED = 100
PARTS = ("encryption", "authentication", "groups")
_ENCRYPTIONS = {cipher.charon_name.replace("-", "_"): name for name, cipher in ENCRYPTIONS.items()}
_INTEGRITY = {digest.charon_name: name for name, digest in AUTHENTICATIONS.items()}
_PRF = {digest.prf: name for name, digest in AUTHENTICATIONS.items()}
_GROUPS = {group.charon_name: str(group.number) for group in GROUPS.values() if group.charon_name}
_OTHER_GROUPS = ("MODP_", "ECP_", "CURVE_", "KE_")
_OTHER_INTEGRITY = ("HMAC_", "AES_XCBC_96", "AES_CMAC_96")
_IGNORED = ("NO_EXT_SEQ", "EXT_SEQ", "ESN")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal; each part is a tuple of alternative algorithm names, and may be empty."""

    phase: int
    encryption: tuple[str, ...]
    authentication: tuple[str, ...]
    groups: tuple[str, ...]

    def describe(self) -> str:
        """Return the proposal as text, such as "AES256 / SHA256 / group 5".

        A phase 2 proposal without a group ends with "PFS off".
        """
        group = PFS_OFF if self.phase == 2 else ""
        if self.groups:
            group = "group " + ", ".join(self.groups)
        parts = (", ".join(self.encryption), ", ".join(self.authentication), group)
        return " / ".join(part for part in parts if part)

    def differing_parts(self, other: Proposal) -> tuple[str, ...]:
        """Return the `PARTS` in which both proposals have no common alternative."""
        return tuple(
            part
            for part in PARTS
            if (getattr(self, part) or getattr(other, part))
            and not set(getattr(self, part)) & set(getattr(other, part))
        )


def parse(text: str) -> tuple[Proposal, ...]:
    """Return the proposals of a comma-separated list; items without a protocol are skipped."""
    return tuple(_proposal(part.strip()) for part in text.split(", ") if ":" in part)


def differences(theirs: str, ours: str, without_group: bool = False) -> tuple[str, ...]:
    """Return the `PARTS` in which the two most similar proposals of both lists differ.

    Compares the first MAX_COMPARED of each list.

    `without_group` ignores the group, for the exchange that creates the first CHILD_SA of IKEv2.
    """
    ours_parsed = parse(ours)[:MAX_COMPARED]
    candidates = [
        tuple(
            part
            for part in proposal.differing_parts(other)
            if not (without_group and part == "groups")
        )
        for proposal in parse(theirs)[:MAX_COMPARED]
        for other in ours_parsed
    ]
    return min(candidates, key=len, default=())


def describe(text: str, without_group: bool = False) -> str:
    """Return the proposals of a line as text, at most `MAX_PROPOSALS`, without duplicates."""
    proposals = parse(text)
    if without_group:
        proposals = tuple(replace(proposal, phase=1, groups=()) for proposal in proposals)
    texts = list(dict.fromkeys(proposal.describe() for proposal in proposals))
    more = len(texts) - MAX_PROPOSALS
    return " or ".join(texts[:MAX_PROPOSALS]) + (f" or {more} more" if more > 0 else "")


def algorithm_name(token: str) -> str:
    """Return the portal's name for an algorithm of charon, or charon's name if it has none."""
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
        elif token and token not in _IGNORED:
            encryption.append(_ENCRYPTIONS.get(token, token))
    phase = 1 if protocol == "IKE" else 2
    return Proposal(phase, tuple(encryption), tuple(integrity or prf), tuple(groups))
