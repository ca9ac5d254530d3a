"""What the list of tunnels shows: one page of rows with their states, and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import OuterRef, Subquery
from django.utils.timesince import timesince

from vpnportal.models import Revision, Tunnel
from vpnportal.services import TunnelState, states_of
from vpnportal.services.tunnel_state_ranking import RANKS, Ranked
from vpnportal.web.poll_tokens import keyed_token
from vpnportal.web.tunnel_list.filter_form import COLUMNS, TunnelListFilter

PER_PAGE = 50
BUSY = (RANKS["queued"], RANKS["applying"], RANKS["disconnecting"])
UNKNOWN = RANKS["unknown"]


@dataclass(frozen=True, slots=True)
class TunnelRow:
    """One tunnel; its `token` changes when what the list tells of how it stands looks different."""

    tunnel: Tunnel
    state: TunnelState
    token: str
    editable: bool

    @property
    def still(self) -> str:
        """How the live revision does while the word tells of a newer one, or ""."""
        live = self.state.live
        return self.state.sa_status if live and live != self.state.latest else ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, a link that sorts by it; `sorted` is the value of its aria-sort, or ""."""

    name: str
    label: str
    href: str
    sorted: str


def page_of(tunnels: Ranked, many: int, number: str | None) -> Page:
    """The ids of one page, the last one where there is none of that number."""
    paginator = Paginator(tunnels.values_list("pk", flat=True), PER_PAGE)
    # Counted already, with those of the other states.
    paginator.count = many
    return paginator.get_page(number)


def rows_of(user: User, wanted: Iterable[int], tokens: Mapping[int, str]) -> list[TunnelRow]:
    """These tunnels in this order; the number of queries does not depend on how many there are."""
    pks = list(wanted)
    rows = Tunnel.objects.visible_to(user).filter(pk__in=pks)
    rows = rows.select_related("concentrator__datacenter", "account")
    states = states_of(tunnels := sorted(rows, key=lambda row: pks.index(row.pk)))
    editable = Tunnel.objects.editable_by(user).present().filter(pk__in=pks)
    mine = set(editable.values_list("pk", flat=True))
    return [
        TunnelRow(one, states[one.pk], tokens.get(one.pk, ""), one.pk in mine) for one in tunnels
    ]


def tokens_of(tunnels: Ranked) -> tuple[dict[int, str], bool]:
    """A token for each of these, by id, and whether something is being done with one; one query.

    Keyed, because the digest of the draft is among what they cover; nothing is opened for them.
    """
    newest = Revision.objects.filter(tunnel=OuterRef("pk")).order_by("-number")
    live = newest.filter(outcome=Revision.Outcome.LIVE)
    facts = tunnels.order_by().values_list(
        "pk",
        "rank",
        "concentrator__seen_at",
        "sa_status",
        "draft_digest",
        Subquery(live.values("pk")[:1]),
        Subquery(newest.live_or_applying().values("pk")[:1]),
    )
    tokens, busy = {}, False
    for pk, rank, seen_at, *more in facts:
        age = timesince(seen_at) if rank == UNKNOWN and seen_at else ""
        tokens[pk] = keyed_token(rank, age, *more)
        busy = busy or rank in BUSY
    return tokens, busy


def columns(wanted: TunnelListFilter) -> list[Column]:
    """Those that tell something; the one that the list is sorted by sorts the other way round."""
    one_account = len(wanted.accounts) < 2
    return [
        Column(name, label, wanted.url(sort=_next(wanted.by, name)), _sorted(wanted.by, name))
        for name, label in COLUMNS.items()
        if not (name == "account" and one_account)
    ]


def _next(sort: str, name: str) -> str:
    return f"-{name}" if sort == name else name


def _sorted(sort: str, name: str) -> str:
    return {name: "ascending", f"-{name}": "descending"}.get(sort, "")
