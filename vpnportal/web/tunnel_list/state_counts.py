"""Number of tunnels in each state, as links that filter the list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vpnportal.services import STATE_RANKS, RankedTunnels, StateLabel, count_by_state
from vpnportal.web.poll_tokens import state_counts_token
from vpnportal.web.tunnel_list.filter_form import (
    CHANGED,
    LABEL_OF_SLUG,
    RANK_OF_SLUG,
    TunnelListFilter,
)


@dataclass(frozen=True, slots=True)
class StateLink:
    """A link to the tunnels in one state, with their number."""

    slug: str
    label: str
    count: int
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Number of tunnels by state rank, and number of tunnels with pending changes."""

    by_rank: Mapping[int, int]
    changed: int

    @classmethod
    def of(cls, tunnels: RankedTunnels) -> StateCounts:
        """Count these tunnels by what their summaries say."""
        return cls(*count_by_state(tunnels))

    @property
    def token(self) -> str:
        """Return a token that changes when a count changes."""
        return state_counts_token(self.by_rank, self.changed)

    def in_state(self, slug: str) -> int:
        """Return the number of tunnels in state `slug`; for "", of all except deleted tunnels."""
        if slug == CHANGED:
            return self.changed
        if slug:
            return self.by_rank.get(RANK_OF_SLUG[slug], 0)
        deleted = STATE_RANKS[StateLabel.DELETED]
        return sum(count for rank, count in self.by_rank.items() if rank != deleted)

    def links(self, tunnel_filter: TunnelListFilter) -> Iterator[StateLink]:
        """Yield "All", then each state that has tunnels or is the chosen state."""
        chosen = tunnel_filter.state_slug
        labels = {"": "All", **LABEL_OF_SLUG, CHANGED: "Pending changes"}
        for slug, label in labels.items():
            if (count := self.in_state(slug)) or slug in ("", chosen):
                yield StateLink(slug, label, count, tunnel_filter.url(state=slug), slug == chosen)
