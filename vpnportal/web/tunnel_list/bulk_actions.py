"""Bulk actions of the tunnel list: each selected tunnel has a result of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.commands import COMMANDS
from vpnportal.web.tunnel.page import ProblemLink, problem_links
from vpnportal.web.tunnel.translations.open_subnets import open_ids
from vpnportal.web.tunnel_list.filter_form import TunnelListFilter
from vpnportal.web.tunnel_list.pages import PER_PAGE, place_of

# The session holds the results between the redirect and the page that shows them.
RESULTS = "bulk_results"
BulkAction = Callable[[Tunnel, User], str]


@dataclass(frozen=True, slots=True)
class TunnelResult:
    """The result for one tunnel: a text, or problems with links to their fields."""

    name: str
    friendly_name: str
    href: str
    done: bool
    text: str
    problems: list[ProblemLink]


@dataclass(frozen=True, slots=True)
class BulkResults:
    """The results of one bulk action; `label` is the text of its button."""

    label: str
    tunnels: list[TunnelResult]

    @property
    def done(self) -> int:
        """Return the number of tunnels for which the action succeeded."""
        return sum(result.done for result in self.tunnels)


def _apply(tunnel: Tunnel, author: User) -> str:
    revision = services.apply(tunnel, author)
    return f"Revision {revision.number} submitted."


def _command(name: str) -> BulkAction:
    command, text = COMMANDS[name]

    def act(tunnel: Tunnel, author: User) -> str:
        command(tunnel, author)
        return text

    return act


# The text of each button, and its action, by the button's value.
BULK_ACTIONS: dict[str, tuple[str, BulkAction]] = {
    "apply": ("Apply Configurations", _apply),
    "connect": ("Connect", _command("connect")),
    "disconnect": ("Disconnect", _command("disconnect")),
}


@require_POST
def bulk_action(request: HtmxRequest) -> HttpResponse:
    """Run one action on every selected tunnel; a refusal does not stop the others."""
    tunnel_filter = TunnelListFilter(request.user, request.GET)
    list_url = tunnel_filter.url(**place_of(request.GET))
    try:
        label, act = BULK_ACTIONS[request.POST.get("do", "")]
    except KeyError:
        raise BadRequest("There is no such button.") from None
    pks = open_ids(request.POST.getlist("tunnel"))
    if not pks:
        messages.warning(request, "No tunnels selected. Select at least one tunnel first.")
        return redirect(list_url)
    if len(pks) > PER_PAGE:
        raise BadRequest("These are more tunnels than a page shows.")
    tunnels = Tunnel.objects.editable_by(request.user).filter(pk__in=pks).order_by("name")
    if len(tunnels) != len(pks):
        raise Http404("The user may not change one of these tunnels.")
    results = [_result(tunnel, act, request.user) for tunnel in tunnels]
    request.session[RESULTS] = {"label": label, "tunnels": [asdict(result) for result in results]}
    return redirect(f"{list_url}#results")


def pop_results(request: HtmxRequest) -> BulkResults | None:
    """Return the results of the last bulk action, and delete them from the session."""
    stored = request.session.pop(RESULTS, None)
    if stored is None:
        return None
    tunnels = [TunnelResult(**result) for result in stored["tunnels"]]
    return BulkResults(stored["label"], tunnels)


def _result(tunnel: Tunnel, act: BulkAction, author: User) -> TunnelResult:
    page_url = reverse("tunnel", args=[tunnel.pk])
    text = ""
    problems: list[ProblemLink] = []
    try:
        text = act(tunnel, author)
    except Refused as refused:
        problems = problem_links(tunnel, refused.problems)
        for link in problems:
            if link["href"].startswith("#"):
                link["href"] = page_url + link["href"]
    name, friendly_name = tunnel.name, tunnel.friendly_name
    return TunnelResult(name, friendly_name, page_url, not problems, text, problems)
