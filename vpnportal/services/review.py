"""What an apply would change and interrupt, change by change and as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.planning.interruption import Extent, Interruption, interruption
from vpnportal.domain.tunnel.spec import (
    Translation,
    TunnelSpec,
    translation_address,
    translation_field,
)
from vpnportal.domain.tunnel.spec_diff import Change, with_field_from
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Tunnel
from vpnportal.services.tunnel_state import TunnelState

# Of thousands of translations that were pasted the first are told; all of them are counted.
MOST_LINES = 100
# What the provider assigned: nobody discards it with a draft.
ASSIGNED = ("hosted_peer", "static_nat_subnets")


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """One change that is not applied, and what it would interrupt if it were the only one."""

    change: Change
    interrupts: str
    can_revert: bool


@dataclass(frozen=True, slots=True)
class Review:
    """The changes (`lines` are the first of them), and what all of them together interrupt."""

    count: int
    lines: tuple[ReviewLine, ...]
    whole: Interruption
    can_discard: bool

    @property
    def more(self) -> int:
        """How many changes have no line."""
        return self.count - len(self.lines)

    @property
    def quiet(self) -> bool:
        """Whether nothing that runs is touched."""
        return self.whole.extent is Extent.NOTHING

    @property
    def summary(self) -> str:
        """One line: "2 changes. No interruption (make-before-break)"."""
        changes = "1 change" if self.count == 1 else f"{self.count} changes"
        return f"{changes}. {self.whole.sentence}"


def review_of(tunnel: Tunnel, state: TunnelState) -> Review | None:
    """What stands in the draft and is not applied; None when nothing does.

    The tunnel must have been given to `state_of`; then no query is asked.
    """
    if not state.pending:
        return None
    applied = state.live_or_applying.opened if state.live_or_applying else None
    # What is out of sight may run.
    running = applied if state.runs or state.is_unknown else None
    draft, key = tunnel.draft(), fingerprint_key()
    alone = _Alone(running, draft, key)
    lines = tuple(
        ReviewLine(change, alone.interrupts(change), _can_put_back(change, applied))
        for change in state.pending[:MOST_LINES]
    )
    discards = any(_can_put_back(change, applied) for change in state.pending)
    return Review(len(state.pending), lines, interruption(running, draft, key), discards)


def _can_put_back(change: Change, applied: TunnelSpec | None) -> bool:
    return applied is not None and change.field not in ASSIGNED


class _Alone:
    """One change at a time; with translations of its own address only, which may be thousands."""

    def __init__(self, running: TunnelSpec | None, draft: TunnelSpec, key: bytes) -> None:
        self._key = key
        self._running = replace(running, translations=()) if running else None
        self._draft = replace(draft, translations=())
        self._was = _by_field(running.translations if running else ())
        self._is = _by_field(draft.translations)

    def interrupts(self, change: Change) -> str:
        if self._running is None:
            return interruption(None, self._draft, self._key).text
        before, field = self._running, change.field
        if translation_address(field) is not None:
            before = replace(before, translations=self._was.get(field, ()))
            after = replace(before, translations=self._is.get(field, ()))
        else:
            after = with_field_from(before, self._draft, field)
        return interruption(before, after, self._key).text


def _by_field(rows: tuple[Translation, ...]) -> dict[str, tuple[Translation, ...]]:
    return {translation_field(row.internal): (row,) for row in rows}
