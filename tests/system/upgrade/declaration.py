"""The declaration of a release in `release.toml`: its predecessor and its interruption."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Renegotiation:
    """One negotiation of every running tunnel, announced to customers beforehand.

    `max_lost_pings` is the limit of one tunnel, at 100 pings a second.
    """

    announcement: str
    max_lost_pings: int

    def __post_init__(self) -> None:
        if not self.announcement.strip():
            raise ValueError("release.toml: a renegotiation needs an announcement.")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A release: its version, its predecessor, its cost, and the way back.

    `upgrades_from` is a commit, a branch or a tag; without `renegotiation` all SAs stay. `way_back`
    is the oldest release that works with the database of this one.
    """

    version: str
    upgrades_from: str
    way_back: str
    renegotiation: Renegotiation | None = None

    @property
    def max_lost_pings(self) -> int:
        """The pings that one tunnel may lose."""
        return self.renegotiation.max_lost_pings if self.renegotiation else 0

    @property
    def max_negotiations(self) -> int:
        """The IKE_SAs that one tunnel may establish."""
        return 1 if self.renegotiation else 0


def parse(text: str) -> Declaration:
    """Return the declaration in the text of `release.toml`.

    Raises TypeError for a name that no declaration has, or one that is missing, and ValueError for
    an empty announcement or text that is not TOML.
    """
    table = tomllib.loads(text)
    renegotiation = table.pop("renegotiation", None)
    return Declaration(**table, renegotiation=renegotiation and Renegotiation(**renegotiation))
