"""Which tunnels of the list somebody wants to see, and in what order: all of it is in the URL."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.text import slugify

from vpnportal.models import Account, Datacenter, Tunnel
from vpnportal.services.search import find, orders
from vpnportal.services.tunnel_state_ranking import (
    LABELS,
    RANKS,
    Ranked,
    with_changes,
    with_state_rank,
)

SLUGS = {slugify(word): word for word in LABELS}
CHANGED = "changed"
# As long as the longest name of a tunnel; a note is found by a part of it.
MOST_CHARACTERS = 80
COLUMNS = {
    "name": "Name",
    "tunnel-name": "Tunnel Name",
    "state": "State",
    "remote-peer": "Remote Peer Address",
    "hosted-peer": "Hosted Peer Address",
    "location": "Location",
    "account": "Account",
    "applied": "Last applied",
}
FIRST = "name"


class TunnelListFilter(forms.Form):
    """What is not one of the choices counts as not chosen; a text that is too long is explained."""

    use_required_attribute = False
    q = forms.CharField(
        label="Search",
        required=False,
        max_length=MOST_CHARACTERS,
        error_messages={"max_length": f"Enter {MOST_CHARACTERS} characters at most."},
        widget=forms.TextInput({"type": "search", "autocomplete": "off"}),
    )
    account = forms.TypedChoiceField(label="Account", required=False, coerce=int, empty_value=None)
    location = forms.TypedChoiceField(
        label="Location", required=False, coerce=int, empty_value=None
    )
    state = forms.ChoiceField(
        required=False, choices=[(slug, "") for slug in (*SLUGS, CHANGED)], widget=forms.HiddenInput
    )
    sort = forms.ChoiceField(
        required=False,
        choices=[(sign + name, "") for name in COLUMNS for sign in ("", "-")],
        widget=forms.HiddenInput,
    )

    def __init__(self, user: User, query: QueryDict) -> None:
        super().__init__(query)
        accounts = Account.objects.visible_to(user).order_by("name")
        places = Datacenter.objects.filter(concentrators__tunnels__account__in=accounts)
        self.accounts = list(accounts.values_list("pk", "name"))
        self.places = list(places.order_by("long_name").distinct().values_list("pk", "long_name"))
        for name, options in (("account", self.accounts), ("location", self.places)):
            self.fields[name].choices = [("", "all"), *options]  # type: ignore[attr-defined]
        self.is_valid()
        self.chosen: dict[str, Any] = {k: v for k, v in self.cleaned_data.items() if v}

    @property
    def narrowed(self) -> bool:
        """Whether this shows less than everything there is."""
        return bool(self.chosen.keys() - {"sort"})

    def tunnels(self, user: User) -> Ranked:
        """Every tunnel that is wanted in whatever state, with its `rank`."""
        found: QuerySet[Tunnel] = Tunnel.objects.visible_to(user)
        if text := self.chosen.get("q"):
            found = find(found, text)
        if account := self.chosen.get("account"):
            found = found.filter(account=account)
        if place := self.chosen.get("location"):
            found = found.filter(concentrator__datacenter=place)
        return with_state_rank(found)

    def in_state(self, tunnels: Ranked) -> Ranked:
        """Those in the wanted state; without one all but those that are gone."""
        state = self.chosen.get("state", "")
        if state == CHANGED:
            return with_changes(tunnels)
        if state:
            return tunnels.filter(rank=RANKS[SLUGS[state]])
        return tunnels.exclude(rank=RANKS["cancelled"])

    def sorted(self, tunnels: Ranked) -> Ranked:
        """In the order of one column, and by name where that is the same."""
        known, by = orders(), self.by
        column = known[by.removeprefix("-")]
        if by.startswith("-"):
            keys = [key.desc(nulls_last=True) for key in column]  # type: ignore[attr-defined]
        else:
            keys = [key.asc(nulls_last=True) for key in column]  # type: ignore[attr-defined]
        return tunnels.order_by(*keys, *known[FIRST])

    @property
    def by(self) -> str:
        """The column that the list is sorted by, after a "-" where it is turned round."""
        return self.chosen.get("sort", FIRST)

    def url(self, route: str = "tunnels", **changes: Any) -> str:
        """The same view with other choices, on its first page unless `page` is one of them."""
        chosen = {name: self.chosen.get(name) for name in self.fields} | changes
        return reverse(route, query={name: value for name, value in chosen.items() if value})
