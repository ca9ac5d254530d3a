"""Search, filter and sort order of the tunnel list; the URL of the page holds all of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict
from django.urls import reverse

from vpnportal.models import Account, Datacenter, Tunnel, TunnelSummary
from vpnportal.services import (
    STATE_RANKS,
    STATE_SLUGS,
    RankedTunnels,
    StateLabel,
    find_tunnels,
    in_state,
)
from vpnportal.web.tunnel_list.pages import Order

# The values of `?state=`.
LABEL_OF_SLUG = {STATE_SLUGS[label]: label for label in StateLabel}
RANK_OF_SLUG = {slug: STATE_RANKS[label] for slug, label in LABEL_OF_SLUG.items()}
# The tunnels with pending changes, in any state.
CHANGED = "changed"
# The longest tunnel name has 80 characters; a part of a note is enough to find it.
MAX_SEARCH_CHARACTERS = 80
COLUMNS = {
    "name": "Tunnel ID",
    "tunnel-name": "Tunnel Name",
    "state": "State",
    "remote-peer": "Remote Peer Address",
    "hosted-peer": "Hosted Peer Address",
    "location": "Location",
    "account": "Account",
    "applied": "Last applied",
}
DEFAULT_COLUMN = "name"


class TunnelListFilter(forms.Form):
    """Form of the tunnel list's URL query: search, account, location, state and sort order.

    Invalid values are ignored. A search text that is too long is also an error of the form.
    """

    use_required_attribute = False
    q = forms.CharField(
        label="Search",
        required=False,
        max_length=MAX_SEARCH_CHARACTERS,
        error_messages={"max_length": f"Enter {MAX_SEARCH_CHARACTERS} characters at most."},
        widget=forms.TextInput({"type": "search", "autocomplete": "off"}),
    )
    account = forms.TypedChoiceField(label="Account", required=False, coerce=int, empty_value=None)
    location = forms.TypedChoiceField(
        label="Location", required=False, coerce=int, empty_value=None
    )
    state = forms.ChoiceField(
        required=False,
        choices=[(slug, "") for slug in (*LABEL_OF_SLUG, CHANGED)],
        widget=forms.HiddenInput,
    )
    sort = forms.ChoiceField(
        required=False,
        choices=[(sign + name, "") for name in COLUMNS for sign in ("", "-")],
        widget=forms.HiddenInput,
    )

    def __init__(self, user: User, query: QueryDict) -> None:
        super().__init__(query)
        accounts = Account.objects.visible_to(user).order_by("name")
        self.accounts = list(accounts.values_list("pk", "name"))
        here = Tunnel.objects.filter(concentrator__datacenter=OuterRef("pk")).visible_to(user)
        datacenters = Datacenter.objects.filter(Exists(here)).order_by("long_name")
        self.locations = list(datacenters.values_list("pk", "long_name"))
        for name, options in (("account", self.accounts), ("location", self.locations)):
            self.fields[name].choices = [("", "All"), *options]  # type: ignore[attr-defined]
        self.is_valid()
        self.chosen: dict[str, Any] = {k: v for k, v in self.cleaned_data.items() if v}

    @property
    def is_narrowed(self) -> bool:
        """Return True if the query hides some tunnels."""
        return bool(self.chosen.keys() - {"sort"})

    @property
    def state_slug(self) -> str:
        """Return the slug of the chosen state, or ""."""
        return str(self.chosen.get("state", ""))

    @property
    def sort_column(self) -> str:
        """Return the name of the sorted column, with the prefix "-" for descending order."""
        return str(self.chosen.get("sort", DEFAULT_COLUMN))

    @property
    def order(self) -> Order:
        """Return the chosen order; rows with equal values are sorted by ID."""
        return Order.of(self.sort_column)

    def tunnels(self, user: User) -> RankedTunnels:
        """Return the summaries of the tunnels of search, account and location, in any state."""
        tunnels: QuerySet[TunnelSummary] = TunnelSummary.objects.visible_to(user)
        if account := self.chosen.get("account"):
            tunnels = tunnels.filter(account=account)
        if location := self.chosen.get("location"):
            tunnels = tunnels.filter(concentrator__datacenter=location)
        if text := self.chosen.get("q"):
            tunnels = find_tunnels(tunnels, text)
        return tunnels

    def in_state(self, tunnels: RankedTunnels) -> RankedTunnels:
        """Return the tunnels in the chosen state; without a choice, all except deleted tunnels."""
        slug = self.state_slug
        if slug == CHANGED:
            return tunnels.filter(is_changed=True)
        if slug:
            return in_state(tunnels, RANK_OF_SLUG[slug])
        return tunnels.exclude(rank=STATE_RANKS[StateLabel.DELETED])

    def url(self, route: str = "tunnels", **changes: Any) -> str:
        """Return the URL of this query with other choices; without a place, of its first page."""
        chosen = {name: self.chosen.get(name) for name in self.fields} | changes
        return reverse(route, query={name: value for name, value in chosen.items() if value})
