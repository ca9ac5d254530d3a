"""What the list of tunnels shows: rows with their states, counts by state, and columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Subquery
from django.utils.crypto import salted_hmac
from django.utils.timesince import timesince

from vpnportal.models import Revision, Tunnel
from vpnportal.services import State, states_of
from vpnportal.services.words import RANKS, Ranked, with_changes
from vpnportal.web.wanted import CHANGED, COLUMNS, SLUGS, Wanted

PER_PAGE = 50
BUSY = (RANKS["queued"], RANKS["applying"])
UNKNOWN, GONE = RANKS["unknown"], RANKS["cancelled"]


@dataclass(frozen=True, slots=True)
class Row:
    """One tunnel; its `token` changes when what the list tells of how it stands looks different."""

    tunnel: Tunnel
    state: State
    token: str
    editable: bool

    @property
    def still(self) -> str:
        """How the live revision does while the word tells of a newer one, or ""."""
        live = self.state.live
        return self.state.association if live and live != self.state.latest else ""


@dataclass(frozen=True, slots=True)
class Group:
    """A link to the tunnels in one state, with how many there are."""

    slug: str
    word: str
    many: int
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, a link that sorts by it; `sorted` is the value of its aria-sort, or ""."""

    name: str
    label: str
    href: str
    sorted: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of the wanted tunnels are in each state, by rank, and how many have changes."""

    ranks: Mapping[int, int]
    changed: int

    @classmethod
    def of(cls, tunnels: Ranked) -> Counts:
        """Two queries over all of them, which open nothing."""
        counted = tunnels.order_by().values_list("rank").annotate(many=Count("pk"))
        return cls(dict(counted), with_changes(tunnels).count())

    @property
    def token(self) -> str:
        return _short(sorted(self.ranks.items()), self.changed)

    def many(self, state: str) -> int:
        """How many there are in a state by its slug; without one all but those that are gone."""
        if state == CHANGED:
            return self.changed
        if state:
            return self.ranks.get(RANKS[SLUGS[state]], 0)
        return sum(many for rank, many in self.ranks.items() if rank != GONE)

    def groups(self, wanted: Wanted) -> Iterator[Group]:
        """All, then each state in which there is one or that is chosen."""
        current = wanted.chosen.get("state", "")
        words = {"": "all", **SLUGS, CHANGED: "with changes not applied"}
        for slug, word in words.items():
            if (many := self.many(slug)) or slug in ("", current):
                yield Group(slug, word, many, wanted.url(state=slug), slug == current)


def page_of(tunnels: Ranked, many: int, number: str | None) -> Page:
    """The ids of one page, the last one where there is none of that number."""
    paginator = Paginator(tunnels.values_list("pk", flat=True), PER_PAGE)
    # Counted already, with those of the other states.
    paginator.count = many
    return paginator.get_page(number)


def rows_of(user: User, wanted: Iterable[int], tokens: Mapping[int, str]) -> list[Row]:
    """These tunnels in this order; the number of queries does not depend on how many there are."""
    pks = list(wanted)
    rows = Tunnel.objects.visible_to(user).filter(pk__in=pks)
    rows = rows.select_related("concentrator__datacenter", "account")
    states = states_of(tunnels := sorted(rows, key=lambda row: pks.index(row.pk)))
    editable = Tunnel.objects.editable_by(user).present().filter(pk__in=pks)
    mine = set(editable.values_list("pk", flat=True))
    return [Row(one, states[one.pk], tokens.get(one.pk, ""), one.pk in mine) for one in tunnels]


def tokens_of(tunnels: Ranked) -> tuple[dict[int, str], bool]:
    """A token for each of these, by id, and whether one is being applied; one query.

    Keyed, because the digest of the draft is among what they cover; nothing is opened for them.
    """
    newest = Revision.objects.filter(tunnel=OuterRef("pk")).order_by("-number")
    live = newest.filter(outcome=Revision.Outcome.LIVE)
    facts = tunnels.order_by().values_list(
        "pk",
        "rank",
        "concentrator__seen_at",
        "association",
        "draft_digest",
        Subquery(live.values("pk")[:1]),
        Subquery(newest.standing().values("pk")[:1]),
    )
    tokens, busy = {}, False
    for pk, rank, seen_at, *more in facts:
        age = timesince(seen_at) if rank == UNKNOWN and seen_at else ""
        tokens[pk] = _short(rank, age, *more)
        busy = busy or rank in BUSY
    return tokens, busy


def columns(wanted: Wanted) -> list[Column]:
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


def _short(*shown: Any) -> str:
    return salted_hmac("the list of tunnels", repr(shown)).hexdigest()[:12]
