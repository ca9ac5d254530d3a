"""What a page says of one tunnel, as a value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Translation
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel

Outcome = Revision.Outcome
Seen = Tunnel.SaStatus
# A peer that agrees is up sooner; one that is still dialled then has something to tell.
DIALS_FOR = timedelta(seconds=5)
UP = (Seen.UP.label, Seen.PARTIAL.label)
# Down, and only the other end may begin.
WAITS = "waits for the other end"
TROUBLED = (Seen.DOWN.label, WAITS, Seen.PARTIAL.label, Seen.OLDER.label)


@dataclass(frozen=True, slots=True)
class TunnelState:
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
    sa_status: str
    last_sa_status: str
    seen_at: datetime | None
    unreachable: str
    cancelled: bool = False
    disconnected: bool = False
    releasing_from: tuple[str, ...] = ()
    fallback: Revision | None = None
    rolled_back: Revision | None = None

    @property
    def applying(self) -> bool:
        """Whether the newest revision still waits for its outcome."""
        return self.latest is not None and self.latest.unfinished

    @property
    def live_or_applying(self) -> Revision | None:
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
        return self.sa_status in (*UP, Seen.OLDER.label)

    @property
    def runs_old_settings(self) -> bool:
        """Whether what runs was negotiated with the settings of an earlier apply."""
        return self.sa_status == Seen.OLDER.label

    @property
    def first_rekey_failed(self) -> bool:
        """Up, but the other end refused to renew the keys."""
        return self._renewal == Revision.Rekeyed.FAILED

    @property
    def first_rekey_agreed(self) -> bool:
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
    def needs_diagnosis(self) -> bool:
        """Whether somebody asks why."""
        if self.disconnected:
            return False
        if self.live is None:
            return self.latest is not None and self.latest.outcome == Outcome.WITHDRAWN
        if self.sa_status == Seen.CONNECTING.label:
            began = self.live.finished_at
            return began is None or abs(timezone.now() - began) >= DIALS_FOR
        return self.sa_status in TROUBLED or self.first_rekey_failed

    @property
    def translations(self) -> tuple[Translation, ...]:
        """Those that are applied; opens the specification."""
        return self.live.opened.translations if self.live else ()

    @property
    def label(self) -> str:
        """The state in one word for a list."""
        if self.cancelled:
            return "being cancelled" if self.releasing_from else "cancelled"
        if self.latest is None:
            return "never applied"
        if self.applying:
            return str(self.latest.outcome)
        if self.latest.outcome in (Outcome.FAILED, Outcome.WITHDRAWN):
            return self.latest.get_outcome_display()
        return self.sa_status

    @property
    def _renewal(self) -> str:
        return self.live.first_rekey if self.live and self.sa_status in UP else ""


def state_of(tunnel: Tunnel) -> TunnelState:
    """The state of one tunnel, in a constant number of queries."""
    return states_of([tunnel])[tunnel.pk]


def states_of(tunnels: Iterable[Tunnel]) -> dict[int, TunnelState]:
    """The states by tunnel id; the number of queries does not depend on how many there are."""
    rows = list(tunnels)
    prefetch_related_objects(rows, "subnets", "translations", "concentrator")
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in _relevant(rows):
        revisions[revision.tunnel_id].append(revision)
    leaving: dict[int, tuple[str, ...]] = {}
    left = AddressRelease.objects.open().filter(tunnel__in=rows)
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
) -> TunnelState:
    latest = _first(revisions, lambda one: True)
    live = _first(revisions, lambda one: one.outcome == Outcome.LIVE)
    standing = _first(revisions, lambda one: one.unfinished or one is live)
    seen = tunnel.get_sa_status_display() or "down"
    if tunnel.sa_status == Tunnel.SaStatus.DOWN and live and live.responder_only:
        seen = WAITS
    # A tunnel that moves is seen where it runs, which is not where its draft is.
    concentrator = live.concentrator if live else tunnel.concentrator
    in_sight = concentrator.is_online(now)
    cancelled, held = tunnel.cancelled_at is not None, tunnel.disconnected_at is not None
    association = seen
    if held:
        association = "disconnecting" if tunnel.sa_status else "disconnected"
    draft = () if cancelled else diff_specs(standing.opened if standing else None, tunnel.draft())
    return TunnelState(
        latest=latest,
        live=live,
        pending=draft,
        sa_status=association if in_sight else "unknown",
        last_sa_status=seen,
        seen_at=concentrator.seen_at,
        unreachable=_unreachable(concentrator, in_sight),
        cancelled=cancelled,
        disconnected=held,
        releasing_from=leaving,
        fallback=_first(revisions, lambda one: one.outcome == Outcome.FALLBACK),
        rolled_back=_taken_back(revisions, latest.restored_number if latest else None),
    )


def _first(revisions: list[Revision], wanted: Callable[[Revision], bool]) -> Revision | None:
    return next((one for one in revisions if wanted(one)), None)


def _taken_back(revisions: list[Revision], restored_number: int | None) -> Revision | None:
    """The one in whose place an earlier one came back."""
    if restored_number is None:
        return None
    return _first(
        revisions, lambda one: one.outcome == Outcome.WITHDRAWN and one.number > restored_number
    )


def _unreachable(concentrator: Concentrator, in_sight: bool) -> str:
    if in_sight:
        return ""
    if concentrator.unreachable_reason:
        return concentrator.unreachable_reason
    if concentrator.seen_at is None:
        return f"Nobody has looked at the concentrator {concentrator.name} yet."
    return f"Nothing was heard from the concentrator {concentrator.name} lately."
