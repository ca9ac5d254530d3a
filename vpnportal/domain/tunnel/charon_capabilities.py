"""Capabilities of a charon, and the problems of a specification that exceeds them."""

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

# strongSwan builds IKEv1 only on request from this version on.
WITHOUT_IKEV1 = (6, 1)
NEEDS_KERNEL_ESP = (
    "This concentrator cannot keep tunnels with equal remote subnets apart: its ESP runs in user "
    "space. Switch it off, or ask the service operators for a concentrator with ESP in the kernel."
)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class CharonCapabilities:
    """Algorithms and version that a charon reports.

    `names` are charon's names of its algorithms. If `names` is empty, all algorithms count as
    supported. Ciphers and hashes of phase two are checked only with `userland_esp`, where
    charon encrypts ESP instead of the kernel. `version` is strongSwan's, such as 5.9.8.
    """

    names: frozenset[str] = frozenset()
    userland_esp: bool = False
    version: str = ""

    def has_encryption(self, encryption: Encryption, phase: int) -> bool:
        """Return True if the cipher is supported in `phase` (1 or 2), or the support is unknown."""
        return self._has_all(phase, encryption.charon_name.partition("-")[0])

    def has_authentication(
        self, authentication: Authentication, phase: int, aead: bool = False
    ) -> bool:
        """Return True if the hash is supported in `phase` (1 or 2), or the support is unknown.

        IKE needs the hash as PRF and, without an AEAD, as integrity algorithm.
        """
        if phase == 2:
            return aead or self._has_all(phase, authentication.charon_name)
        names = {authentication.prf} if aead else {authentication.charon_name, authentication.prf}
        return self._has_all(phase, *names)

    def has_group(self, group: Group) -> bool:
        """Return True for group 0, for a group that charon supports, or if the support is unknown.

        charon itself computes the group in both phases.
        """
        return not group.number or self._has_all(1, group.charon_name)

    @property
    def may_lack_ikev1(self) -> bool:
        """Return True if the version of strongSwan has no IKEv1 by default."""
        match = _VERSION.match(self.version)
        return match is not None and (int(match[1]), int(match[2])) >= WITHOUT_IKEV1

    def problems(self, spec: TunnelSpec) -> Iterator[Problem]:
        """Yield a problem for each setting that this charon, or its plane of ESP, cannot do."""
        if spec.translated_only and self.userland_esp:
            yield Problem("translated_only", NEEDS_KERNEL_ESP)
        phase_one, phase_two = spec.phase_one, spec.phase_two
        yield from self._phase_problems(1, phase_one.encryption, phase_one.authentication)
        if not self.has_group(GROUPS[phase_one.group]):
            yield _problem("phase_one_group", f"group {phase_one.group}")
        yield from self._phase_problems(2, phase_two.encryption, phase_two.authentication)
        if phase_two.pfs and not self.has_group(GROUPS[phase_two.group]):
            yield _problem("phase_two_group", f"group {phase_two.group}")

    def _phase_problems(
        self, phase: int, encryption: str, authentication: str
    ) -> Iterator[Problem]:
        prefix = {1: "phase_one", 2: "phase_two"}[phase]
        cipher = ENCRYPTIONS[encryption]
        if not self.has_encryption(cipher, phase):
            yield _problem(f"{prefix}_encryption", encryption)
        if not self.has_authentication(AUTHENTICATIONS[authentication], phase, cipher.aead):
            yield _problem(f"{prefix}_authentication", authentication)

    def _has_all(self, phase: int, *names: str) -> bool:
        is_unknown = not self.names or (phase == 2 and not self.userland_esp)
        return is_unknown or self.names.issuperset(names)


def _problem(field: str, algorithm: str) -> Problem:
    text = f"This concentrator does not support {algorithm}. Choose another"
    return Problem(field, f"{text} on both devices, or ask the service operators.")
