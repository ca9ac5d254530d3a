"""Review of pending changes, with the interruption that an apply would cause."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.planning.interruption import Extent, Interruption, interruption
from vpnportal.domain.tunnel.spec import (
    Translation,
    TunnelSpec,
    translation_address,
    translation_field,
)
from vpnportal.domain.tunnel.spec_diff import Change, with_field_from, with_rotation
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Tunnel
from vpnportal.services.tunnel_state import TunnelState

# A pasted table can change thousands of translations. All of them are counted.
MAX_LINES = 100
# Fields that the provider assigns. No user can discard their changes.
ASSIGNED = ("hosted_peer", "static_nat_subnets")


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """A pending change, and the interruption if it were applied alone."""

    change: Change
    interrupts: str
    can_revert: bool


@dataclass(frozen=True, slots=True)
class Review:
    """The pending changes and the interruption that they cause together.

    `lines` holds the first MAX_LINES of the `count` changes.
    """

    count: int
    lines: tuple[ReviewLine, ...]
    whole: Interruption
    can_discard: bool

    @property
    def more(self) -> int:
        """The number of pending changes that `lines` does not include."""
        return self.count - len(self.lines)

    @property
    def quiet(self) -> bool:
        """True if nothing is interrupted."""
        return self.whole.extent is Extent.NOTHING

    @property
    def summary(self) -> str:
        """The number of changes and their interruption, in a line."""
        changes = "1 change" if self.count == 1 else f"{self.count} changes"
        return f"{changes}. {self.whole.sentence}"


def review_of(tunnel: Tunnel, state: TunnelState) -> Review | None:
    """Return the review of a tunnel, or None without pending changes.

    Needs no query if `state` was read with this tunnel object.
    """
    if not state.pending:
        return None
    applied = state.live_or_applying.opened if state.live_or_applying else None
    # The tunnel of an offline concentrator may be up.
    running = applied if state.runs or state.is_unknown else None
    draft, key = tunnel.draft(), fingerprint_key()
    draft = with_rotation(draft, applied) if applied else draft
    interruptions = _Interruptions(running, draft, key)
    lines = tuple(
        ReviewLine(change, interruptions.by(change), _can_revert(change, applied))
        for change in state.pending[:MAX_LINES]
    )
    can_discard = any(_can_revert(change, applied) for change in state.pending)
    return Review(len(state.pending), lines, interruption(running, draft, key), can_discard)


def _can_revert(change: Change, applied: TunnelSpec | None) -> bool:
    return applied is not None and change.field not in ASSIGNED


class _Interruptions:
    """Interruptions that single changes cause.

    Each comparison includes at most one translation, because a specification may have thousands.
    """

    def __init__(self, running: TunnelSpec | None, draft: TunnelSpec, key: bytes) -> None:
        self._key = key
        self._running = replace(running, translations=()) if running else None
        self._draft = replace(draft, translations=())
        self._running_rows = _by_field(running.translations if running else ())
        self._draft_rows = _by_field(draft.translations)

    def by(self, change: Change) -> str:
        if self._running is None:
            return interruption(None, self._draft, self._key).text
        before, field = self._running, change.field
        if translation_address(field) is not None:
            before = replace(before, translations=self._running_rows.get(field, ()))
            after = replace(before, translations=self._draft_rows.get(field, ()))
        else:
            after = with_field_from(before, self._draft, field)
        return interruption(before, after, self._key).text


def _by_field(rows: tuple[Translation, ...]) -> dict[str, tuple[Translation, ...]]:
    return {translation_field(row.internal): (row,) for row in rows}
