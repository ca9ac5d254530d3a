"""Why a tunnel is not as it should be: what its diagnosis found, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.models import Tunnel
from vpnportal.web.forms import label_of


@dataclass(frozen=True, slots=True)
class Why:
    """One finding: what is wrong, what would be right, and the draft's field that it is about.

    `to_tell` is for the admin of the other end; `lines` are charon's own.
    """

    text: str
    advice: str
    field: str = ""
    theirs: str = ""
    ours: str = ""
    to_tell: str = ""
    lines: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The panel's words for the field."""
        return label_of(self.field)

    @property
    def href(self) -> str:
        """Where the field is on the page."""
        listed = ("remote_subnets", "hosted_subnets")
        return f"#{self.field}" if self.field in listed else f"#id_{self.field}"

    @property
    def words(self) -> tuple[str, ...]:
        """What it says, without charon's lines."""
        return (self.text, self.advice, self.theirs, self.ours)


def why(tunnel: Tunnel) -> list[Why]:
    """The most decisive first; empty where nothing is known."""
    return []
