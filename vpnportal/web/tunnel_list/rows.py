"""Rows and columns of one page of the tunnel list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.timesince import timesince

from vpnportal.models import Revision, Tunnel, TunnelSummary
from vpnportal.services import STATE_RANKS, StateLabel, TunnelState, states_of, with_state_rank
from vpnportal.web.poll_tokens import list_row_token
from vpnportal.web.tunnel_list.filter_form import COLUMNS, TunnelListFilter

BUSY = tuple(
    STATE_RANKS[label]
    for label in (StateLabel.QUEUED, StateLabel.APPLYING, StateLabel.DISCONNECTING)
)


@dataclass(frozen=True, slots=True)
class TunnelRow:
    """One list row. `token` changes when its rendered state changes."""

    tunnel: Tunnel
    state: TunnelState
    token: str
    is_editable: bool

    @property
    def is_unknown(self) -> bool:
        """Return True if the concentrator is offline and the label says so."""
        return self.state.label == StateLabel.UNKNOWN

    @property
    def live_sa_status(self) -> str:
        """Return the SA status of the live revision if the label is about a newer one, or ""."""
        live = self.state.live
        return self.state.sa_status if live and live != self.state.latest else ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading with a link that sorts by it. `aria_sort` is "" for an unsorted column."""

    name: str
    label: str
    href: str
    aria_sort: str


def rows_of(user: User, tunnel_ids: Iterable[int], tokens: Mapping[int, str]) -> list[TunnelRow]:
    """Return the rows of these tunnels in this order, in a constant number of queries."""
    pks = list(tunnel_ids)
    tunnels = Tunnel.objects.visible_to(user).filter(pk__in=pks)
    tunnels = tunnels.select_related("concentrator__datacenter", "account")
    ordered = sorted(tunnels, key=lambda tunnel: pks.index(tunnel.pk))
    states = states_of(ordered)
    editable = Tunnel.objects.editable_by(user).present().filter(pk__in=pks)
    editable_ids = set(editable.values_list("pk", flat=True))
    return [
        TunnelRow(tunnel, states[tunnel.pk], tokens.get(tunnel.pk, ""), tunnel.pk in editable_ids)
        for tunnel in ordered
    ]


def tokens_of(tunnels: QuerySet[TunnelSummary]) -> tuple[dict[int, str], bool]:
    """Return the poll tokens by tunnel id, and True if a tunnel's state is in BUSY; one query.

    The tokens are HMACs, because their input contains the draft's digest. Nothing is decrypted.
    """
    newest = Revision.objects.filter(tunnel=OuterRef("pk")).order_by("-number")
    live = newest.filter(outcome=Revision.Outcome.LIVE)
    columns = with_state_rank(tunnels).values_list(
        "pk",
        "state",
        "reported_by__seen_at",
        "tunnel__sa_status",
        "tunnel__draft_digest",
        Subquery(live.values("pk")[:1]),
        Subquery(newest.live_or_applying().values("pk")[:1]),
    )
    tokens, is_busy = {}, False
    for pk, rank, seen_at, *values in columns:
        age = timesince(seen_at) if rank == STATE_RANKS[StateLabel.UNKNOWN] and seen_at else ""
        tokens[pk] = list_row_token(rank, age, *values)
        is_busy = is_busy or rank in BUSY
    return tokens, is_busy


def columns(tunnel_filter: TunnelListFilter) -> list[Column]:
    """Return the columns; "Account" only for a user of more than one account.

    The link of the sorted column reverses the order of the list.
    """
    has_one_account = len(tunnel_filter.accounts) < 2
    current = tunnel_filter.sort_column
    return [
        Column(name, label, tunnel_filter.url(sort=_next(current, name)), _aria_sort(current, name))
        for name, label in COLUMNS.items()
        if not (name == "account" and has_one_account)
    ]


def _next(current: str, name: str) -> str:
    return f"-{name}" if current == name else name


def _aria_sort(current: str, name: str) -> str:
    return {name: "ascending", f"-{name}": "descending"}.get(current, "")
