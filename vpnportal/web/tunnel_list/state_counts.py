"""How many tunnels are in each state, as links to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Count

from vpnportal.services.tunnel_state_ranking import RANKS, Ranked, with_changes
from vpnportal.web.poll_tokens import keyed_token
from vpnportal.web.tunnel_list.filter_form import CHANGED, SLUGS, TunnelListFilter

GONE = RANKS["cancelled"]


@dataclass(frozen=True, slots=True)
class StateLink:
    """A link to the tunnels in one state, with how many there are."""

    slug: str
    word: str
    many: int
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many of the wanted tunnels are in each state, by rank, and how many have changes."""

    ranks: Mapping[int, int]
    changed: int

    @classmethod
    def of(cls, tunnels: Ranked) -> StateCounts:
        """Two queries over all of them, which open nothing."""
        counted = tunnels.order_by().values_list("rank").annotate(many=Count("pk"))
        return cls(dict(counted), with_changes(tunnels).count())

    @property
    def token(self) -> str:
        return keyed_token(sorted(self.ranks.items()), self.changed)

    def many(self, state: str) -> int:
        """How many there are in a state by its slug; without one all but those that are gone."""
        if state == CHANGED:
            return self.changed
        if state:
            return self.ranks.get(RANKS[SLUGS[state]], 0)
        return sum(many for rank, many in self.ranks.items() if rank != GONE)

    def groups(self, wanted: TunnelListFilter) -> Iterator[StateLink]:
        """All, then each state in which there is one or that is chosen."""
        current = wanted.chosen.get("state", "")
        words = {"": "all", **SLUGS, CHANGED: "with changes not applied"}
        for slug, word in words.items():
            if (many := self.many(slug)) or slug in ("", current):
                yield StateLink(slug, word, many, wanted.url(state=slug), slug == current)
