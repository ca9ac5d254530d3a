"""What a concentrator's charon can do, and what of a choice it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vpnportal.domain.tunnel.algorithms import (
    AUTHENTICATIONS,
    ENCRYPTIONS,
    GROUPS,
    Authentication,
    Encryption,
    Group,
)
from vpnportal.domain.tunnel.spec import Problem, TunnelSpec

# From this version on strongSwan is built without IKEv1 unless somebody asks for it.
WITHOUT_IKEV1 = (6, 1)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class CharonCapabilities:
    """`names` are charon's words for its algorithms; where there are none, nothing is known yet.

    With `userland_esp` charon carries ESP itself, so that its ciphers count for phase two as well;
    a kernel has its own. `version` is strongSwan's, such as 5.9.8.
    """

    names: frozenset[str] = frozenset()
    userland_esp: bool = False
    version: str = ""

    def encrypts(self, one: Encryption, phase: int) -> bool:
        """Whether it can do a cipher, as far as is known."""
        return self._has(phase, one.charon_name.partition("-")[0])

    def authenticates(self, one: Authentication, phase: int, aead: bool = False) -> bool:
        """Whether it can do a hash: IKE needs it as PRF, and as integrity except beside an AEAD."""
        words = (
            {one.charon_name} if phase == 2 else {one.prf} if aead else {one.charon_name, one.prf}
        )
        return (phase == 2 and aead) or self._has(phase, *words)

    def agrees(self, group: Group) -> bool:
        """Whether it can do a Diffie-Hellman group, which is charon's own in both phases."""
        return not group.number or self._has(1, group.charon_name)

    @property
    def may_lack_ikev1(self) -> bool:
        """Whether its strongSwan is so new that IKEv1 is probably not built in."""
        found = _VERSION.match(self.version)
        return found is not None and (int(found[1]), int(found[2])) >= WITHOUT_IKEV1

    def problems(self, spec: TunnelSpec) -> Iterator[Problem]:
        """What this specification asks of it and it cannot do."""
        one, two = spec.phase_one, spec.phase_two
        yield from self._phase(1, one.encryption, one.authentication)
        if not self.agrees(GROUPS[one.group]):
            yield _problem("phase_one_group", f"group {one.group}")
        yield from self._phase(2, two.encryption, two.authentication)
        if two.pfs and not self.agrees(GROUPS[two.group]):
            yield _problem("phase_two_group", f"group {two.group}")

    def _phase(self, phase: int, encryption: str, authentication: str) -> Iterator[Problem]:
        word = {1: "phase_one", 2: "phase_two"}[phase]
        cipher = ENCRYPTIONS[encryption]
        if not self.encrypts(cipher, phase):
            yield _problem(f"{word}_encryption", encryption)
        if not self.authenticates(AUTHENTICATIONS[authentication], phase, cipher.aead):
            yield _problem(f"{word}_authentication", authentication)

    def _has(self, phase: int, *words: str) -> bool:
        unknown = not self.names or (phase == 2 and not self.userland_esp)
        return unknown or self.names.issuperset(words)


def _problem(field: str, what: str) -> Problem:
    text = f"This concentrator's charon cannot do {what}: choose another one here and at the"
    return Problem(field, f"{text} other end, or ask the operators of the service for it.")
