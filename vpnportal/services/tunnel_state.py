"""The state of a tunnel, as lists, pages and the API show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Q, Subquery, prefetch_related_objects
from django.utils import timezone

from vpnportal.clock import age_of, time_of_day
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.spec import Translation
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel
from vpnportal.services.state_labels import StateLabel

Outcome = Revision.Outcome

# A peer that accepts the settings is up sooner after an apply. Later there is a cause to find.
DIAGNOSE_CONNECTING_AFTER = timedelta(seconds=5)
CURRENT_SETTINGS = (StateLabel.UP, StateLabel.DEGRADED)
NEEDS_DIAGNOSIS = (
    StateLabel.DOWN,
    StateLabel.WAITING_FOR_PEER,
    StateLabel.DEGRADED,
    StateLabel.OLD_SETTINGS,
)


@dataclass(frozen=True, slots=True)
class TunnelState:
    """State of a tunnel.

    - `latest`: newest revision, with any outcome.
    - `live`: revision that the concentrator holds.
    - `pending`: changes of the draft against `live_or_applying`.
    - `sa_status`: the label without regard to applies; UNKNOWN while the concentrator is offline.
    - `last_sa_status`: the label of the last SA status, read at `seen_at`.
    - `unreachable`: reason why the concentrator is offline, or "".
    - `releasing_from`: concentrators that may still hold a deleted or moved tunnel.
    - `fallback`: revision that a failed trial restores.
    - `rolled_back`: withdrawn revision, if `latest` restored an earlier revision in its place.
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
    def label(self) -> str:
        """The label that a list shows."""
        if self.cancelled:
            return StateLabel.BEING_DELETED if self.releasing_from else StateLabel.DELETED
        if self.latest is None:
            return StateLabel.NEVER_APPLIED
        if self.applying or self.latest.outcome in (Outcome.FAILED, Outcome.WITHDRAWN):
            return self.latest.get_outcome_display()
        return self.sa_status

    @property
    def applying(self) -> bool:
        """True if the newest revision has no outcome yet."""
        return self.latest is not None and self.latest.unfinished

    @property
    def live_or_applying(self) -> Revision | None:
        """The revision that the concentrator holds or is about to hold."""
        return self.latest if self.applying else self.live

    @property
    def locked(self) -> bool:
        """True if edits are refused because of an apply."""
        return self.latest is not None and self.applying and not self.latest.waits_too_long

    @property
    def on_trial(self) -> bool:
        """True if the worker may still roll back the live revision."""
        return self.live is not None and self.live.trial_ends_at is not None

    @property
    def trial_is_over(self) -> bool:
        """True if the trial has ended and the worker has not evaluated it yet."""
        ends_at = self.live.trial_ends_at if self.live else None
        return ends_at is not None and ends_at <= timezone.now()

    @property
    def is_unknown(self) -> bool:
        """True if the concentrator is offline."""
        return self.sa_status == StateLabel.UNKNOWN

    @property
    def runs(self) -> bool:
        """True if a CHILD_SA is installed, with current or older settings."""
        return self.sa_status in CURRENT_SETTINGS or self.runs_old_settings

    @property
    def runs_old_settings(self) -> bool:
        """True if the installed SAs were negotiated with the settings of an earlier revision."""
        return self.sa_status == StateLabel.OLD_SETTINGS

    @property
    def first_rekey_failed(self) -> bool:
        """True if the tunnel is up and the peer rejected the first rekey."""
        return self._first_rekey == Revision.Rekeyed.FAILED

    @property
    def first_rekey_agreed(self) -> bool:
        """True if the tunnel is up and its first rekey proved that the PFS settings match."""
        return self._first_rekey == Revision.Rekeyed.AGREED

    @property
    def _first_rekey(self) -> str:
        return self.live.first_rekey if self.live and self.sa_status in CURRENT_SETTINGS else ""

    @property
    def keylife(self) -> int:
        """The phase 2 key life of the live revision in seconds. Decrypts the specification."""
        return self.live.opened.phase_two.keylife if self.live else 0

    @property
    def breaks_at(self) -> datetime | None:
        """The approximate expiry of the first phase 2 keys, counted from the apply."""
        if self.live is None or self.live.finished_at is None:
            return None
        return self.live.finished_at + timedelta(seconds=self.keylife)

    @property
    def needs_diagnosis(self) -> bool:
        """True if the page shows the cause of the state."""
        if self.disconnected:
            return False
        if self.live is None:
            return self.latest is not None and self.latest.outcome == Outcome.WITHDRAWN
        if self.sa_status == StateLabel.CONNECTING:
            applied_at = self.live.finished_at
            return applied_at is None or age_of(applied_at) >= DIAGNOSE_CONNECTING_AFTER
        return self.sa_status in NEEDS_DIAGNOSIS or self.first_rekey_failed

    @property
    def translations(self) -> tuple[Translation, ...]:
        """The translations of the live revision. Decrypts the specification."""
        return self.live.opened.translations if self.live else ()


def state_of(tunnel: Tunnel) -> TunnelState:
    """Return the state of a tunnel, in a constant number of queries."""
    return states_of([tunnel])[tunnel.pk]


def states_of(tunnels: Iterable[Tunnel]) -> dict[int, TunnelState]:
    """Return the states by tunnel id. The number of queries does not depend on the tunnels."""
    rows = list(tunnels)
    prefetch_related_objects(rows, "subnets", "translations", "concentrator")
    revisions: dict[int, list[Revision]] = defaultdict(list)
    for revision in _relevant_revisions(rows):
        revisions[revision.tunnel_id].append(revision)
    releasing: dict[int, tuple[str, ...]] = {}
    releases = AddressRelease.objects.open().filter(tunnel__in=rows)
    for tunnel_id, name in releases.values_list("tunnel_id", "concentrator__name"):
        releasing[tunnel_id] = (*releasing.get(tunnel_id, ()), name)
    now = timezone.now()
    return {row.pk: _state(row, revisions[row.pk], releasing.get(row.pk, ()), now) for row in rows}


def _relevant_revisions(rows: list[Tunnel]) -> Iterable[Revision]:
    """Return the revisions that `_state` reads, newest first.

    Per tunnel: the newest, unfinished, live, fallback and last withdrawn revisions.
    """
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
    tunnel: Tunnel, revisions: list[Revision], releasing: tuple[str, ...], now: datetime
) -> TunnelState:
    latest = revisions[0] if revisions else None
    live = _newest_with(Outcome.LIVE, revisions)
    applied = next((row for row in revisions if row.unfinished or row is live), None)
    # The live revision of a moving tunnel is not at the concentrator of the draft.
    concentrator = live.concentrator if live else tunnel.concentrator
    online, cancelled = concentrator.is_online(now), tunnel.cancelled_at is not None
    last_sa_status = _sa_status(tunnel, live)
    sa_status = last_sa_status
    if tunnel.disconnected_at:
        is_removed = not tunnel.sa_status
        sa_status = StateLabel.DISCONNECTED if is_removed else StateLabel.DISCONNECTING
    pending = () if cancelled else diff_specs(applied.opened if applied else None, tunnel.draft())
    return TunnelState(
        latest=latest,
        live=live,
        pending=pending,
        sa_status=sa_status if online else StateLabel.UNKNOWN,
        last_sa_status=last_sa_status,
        seen_at=concentrator.seen_at,
        unreachable="" if online else _unreachable(concentrator),
        cancelled=cancelled,
        disconnected=tunnel.disconnected_at is not None,
        releasing_from=releasing,
        fallback=_newest_with(Outcome.FALLBACK, revisions),
        rolled_back=_rolled_back(revisions),
    )


def _newest_with(outcome: Revision.Outcome, revisions: list[Revision]) -> Revision | None:
    return next((revision for revision in revisions if revision.outcome == outcome), None)


def _sa_status(tunnel: Tunnel, live: Revision | None) -> str:
    if tunnel.sa_status == SaStatus.DOWN and live and live.responder_only:
        return StateLabel.WAITING_FOR_PEER
    return tunnel.get_sa_status_display() or StateLabel.DOWN


def _rolled_back(revisions: list[Revision]) -> Revision | None:
    """Return the last withdrawn revision if the newest revision restored an earlier revision."""
    restored_number = revisions[0].restored_number if revisions else None
    withdrawn = _newest_with(Outcome.WITHDRAWN, revisions)
    if restored_number is None or withdrawn is None or withdrawn.number <= restored_number:
        return None
    return withdrawn


def _unreachable(concentrator: Concentrator) -> str:
    if concentrator.unreachable_reason:
        return concentrator.unreachable_reason
    if concentrator.seen_at is None:
        return f"{concentrator.name} has never reported."
    return f"No status from {concentrator.name} since {time_of_day(concentrator.seen_at)}."
