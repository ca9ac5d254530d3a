"""What a page says of one tunnel, as a value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Translation
from vpnportal.domain.tunnel.spec_diff import Change, changes
from vpnportal.models import Concentrator, Departure, Revision, Tunnel

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


def state_of(tunnel: Tunnel) -> State:
    """The state of one tunnel, in a constant number of queries."""
    return states_of([tunnel])[tunnel.pk]


def states_of(tunnels: Iterable[Tunnel]) -> dict[int, State]:
    """The states by tunnel id; the number of queries does not depend on how many there are."""
    rows = list(tunnels)
    prefetch_related_objects(rows, "subnets", "translations", "concentrator")
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in _relevant(rows):
        revisions[revision.tunnel_id].append(revision)
    leaving: dict[int, tuple[str, ...]] = {}
    left = Departure.objects.open().filter(tunnel__in=rows)
    for tunnel_id, name in left.values_list("tunnel_id", "concentrator__name"):
        leaving[tunnel_id] = (*leaving.get(tunnel_id, ()), name)
    now = timezone.now()
    return {row.pk: _state(row, revisions[row.pk], leaving.get(row.pk, ()), now) for row in rows}


def _relevant(rows: list[Tunnel]) -> Iterable[Revision]:
    """Newest first: of each tunnel the newest, every one that holds, the last taken back."""
    newest = Revision.objects.filter(tunnel=OuterRef("tunnel")).order_by("-number")
    withdrawn = newest.filter(outcome=Outcome.WITHDRAWN)
    holding = (*Revision.UNFINISHED, Outcome.LIVE, Outcome.FALLBACK)
    return (
        Revision.objects.filter(tunnel__in=rows)
        .annotate(
            newest=Subquery(newest.values("number")[:1]),
            withdrawn=Subquery(withdrawn.values("number")[:1]),
        )
        .filter(Q(number=F("newest")) | Q(number=F("withdrawn")) | Q(outcome__in=holding))
        .select_related("author", "concentrator")
        .order_by("-number")
    )


def _state(
    tunnel: Tunnel, revisions: list[Revision], leaving: tuple[str, ...], now: datetime
) -> State:
    latest = _first(revisions, lambda one: True)
    live = _first(revisions, lambda one: one.outcome == Outcome.LIVE)
    standing = _first(revisions, lambda one: one.unfinished or one is live)
    seen = tunnel.get_association_display() or "down"
    if tunnel.association == Tunnel.Association.DOWN and live and live.answers_only:
        seen = WAITS
    # A tunnel that moves is seen where it runs, which is not where its draft is.
    concentrator = live.concentrator if live else tunnel.concentrator
    in_sight = concentrator.in_sight(now)
    cancelled, held = tunnel.cancelled_at is not None, tunnel.held_at is not None
    association = seen
    if held:
        association = "disconnecting" if tunnel.association else "disconnected"
    draft = () if cancelled else changes(standing.opened if standing else None, tunnel.draft())
    return State(
        latest=latest,
        live=live,
        pending=draft,
        association=association if in_sight else "unknown",
        seen=seen,
        seen_at=concentrator.seen_at,
        unreachable=_unreachable(concentrator, in_sight),
        cancelled=cancelled,
        held=held,
        leaving=leaving,
        reserve=_first(revisions, lambda one: one.outcome == Outcome.FALLBACK),
        withdrawn=_taken_back(revisions, latest.restores if latest else None),
    )


def _first(revisions: list[Revision], wanted: Callable[[Revision], bool]) -> Revision | None:
    return next((one for one in revisions if wanted(one)), None)


def _taken_back(revisions: list[Revision], restores: int | None) -> Revision | None:
    """The one in whose place an earlier one came back."""
    if restores is None:
        return None
    return _first(revisions, lambda one: one.outcome == Outcome.WITHDRAWN and one.number > restores)


def _unreachable(concentrator: Concentrator, in_sight: bool) -> str:
    if in_sight:
        return ""
    if concentrator.unreachable_reason:
        return concentrator.unreachable_reason
    if concentrator.seen_at is None:
        return f"Nobody has looked at the concentrator {concentrator.name} yet."
    return f"Nothing was heard from the concentrator {concentrator.name} lately."
