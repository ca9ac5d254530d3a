"""What a page says of one tunnel, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from vpnportal.domain.changes import Change
from vpnportal.domain.spec import Translation
from vpnportal.models import Revision, Tunnel

Outcome = Revision.Outcome
Seen = Tunnel.Association
# A peer that agrees is up sooner; one that is still dialled then has something to tell.
DIALS_FOR = timedelta(seconds=5)
UP = (Seen.UP.label, Seen.PARTIAL.label)
# Down, and only the other end may begin.
WAITS = "waits for the other end"
TROUBLED = (Seen.DOWN.label, WAITS, Seen.PARTIAL.label, Seen.OLDER.label)


@dataclass(frozen=True, slots=True)
class State:
    """What a page says of one tunnel.

    `latest` is the newest revision whatever became of it; `live` the one the concentrator holds;
    `reserve` the one that a trial may bring back; `withdrawn` the one that was taken back, while
    what came back in its place is the newest. `association` is "up", "up with older settings",
    "partly up", "connecting", "down", "waits for the other end" where only that may begin, or
    "unknown" when the concentrator is out of sight (then `seen` is what was seen last and `seen_at`
    when); of a tunnel that is `held` it is "disconnected", "disconnecting" or "unknown".
    `unreachable` says in words why nothing can be seen. `leaving` are the concentrators that a
    tunnel which was cancelled or moved has not left yet.
    """

    latest: Revision | None
    live: Revision | None
    pending: tuple[Change, ...]
    association: str
    seen: str
    seen_at: datetime | None
    unreachable: str
    cancelled: bool = False
    held: bool = False
    leaving: tuple[str, ...] = ()
    reserve: Revision | None = None
    withdrawn: Revision | None = None

    @property
    def applying(self) -> bool:
        """Whether the newest revision still waits for its outcome."""
        return self.latest is not None and self.latest.unfinished

    @property
    def standing(self) -> Revision | None:
        """What the concentrator holds or is about to: the draft is compared with this one."""
        return self.latest if self.applying else self.live

    @property
    def locked(self) -> bool:
        """Whether edits are refused now."""
        return self.latest is not None and self.applying and not self.latest.waits_too_long

    @property
    def on_trial(self) -> bool:
        """Whether what is live may still be taken back by itself."""
        return self.live is not None and self.live.trial_ends_at is not None

    @property
    def trial_is_over(self) -> bool:
        """Whether the time is up, and nobody has judged yet."""
        ends = self.live.trial_ends_at if self.live else None
        return ends is not None and ends <= timezone.now()

    @property
    def runs(self) -> bool:
        """Whether traffic goes through it, as far as anybody can see."""
        return self.association in (*UP, Seen.OLDER.label)

    @property
    def older(self) -> bool:
        """Whether what runs was negotiated with the settings of an earlier apply."""
        return self.association == Seen.OLDER.label

    @property
    def cannot_renew(self) -> bool:
        """Up, but the other end refused to renew the keys."""
        return self._renewal == Revision.Rekeyed.FAILED

    @property
    def can_renew(self) -> bool:
        """Up, and the keys were renewed once to see that both ends mean the same by PFS."""
        return self._renewal == Revision.Rekeyed.AGREED

    @property
    def keylife(self) -> int:
        """The key life of phase two that is applied, in seconds; opens the specification."""
        return self.live.opened.phase_two.keylife if self.live else 0

    @property
    def breaks_at(self) -> datetime | None:
        """About when the first keys of phase two run out, counted from when it was live."""
        if self.live is None or self.live.finished_at is None:
            return None
        return self.live.finished_at + timedelta(seconds=self.keylife)

    @property
    def troubled(self) -> bool:
        """Whether somebody asks why."""
        if self.held:
            return False
        if self.live is None:
            return self.latest is not None and self.latest.outcome == Outcome.WITHDRAWN
        if self.association == Seen.CONNECTING.label:
            began = self.live.finished_at
            return began is None or abs(timezone.now() - began) >= DIALS_FOR
        return self.association in TROUBLED or self.cannot_renew

    @property
    def translations(self) -> tuple[Translation, ...]:
        """Those that are applied; opens the specification."""
        return self.live.opened.translations if self.live else ()

    @property
    def word(self) -> str:
        """The state in one word for a list."""
        if self.cancelled:
            return "being cancelled" if self.leaving else "cancelled"
        if self.latest is None:
            return "never applied"
        if self.applying:
            return str(self.latest.outcome)
        if self.latest.outcome in (Outcome.FAILED, Outcome.WITHDRAWN):
            return self.latest.get_outcome_display()
        return self.association

    @property
    def _renewal(self) -> str:
        return self.live.first_rekey if self.live and self.association in UP else ""
