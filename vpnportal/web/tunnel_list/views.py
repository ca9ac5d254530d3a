"""The list of tunnels, and what is new in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from vpnportal.models import Account, Tunnel
from vpnportal.services.tunnel_state_ranking import with_state_rank
from vpnportal.web.responses import HtmxRequest, render_fragment, render_page
from vpnportal.web.tunnel_list.bulk_actions import BULK_ACTIONS, results_of
from vpnportal.web.tunnel_list.filter_form import TunnelListFilter
from vpnportal.web.tunnel_list.rows import PER_PAGE, columns, page_of, rows_of, tokens_of
from vpnportal.web.tunnel_list.state_counts import StateCounts


@require_safe
def tunnels(request: HtmxRequest) -> HttpResponse:
    """One page of the person's tunnels as they are wanted, with how each stands."""
    wanted = TunnelListFilter(request.user, request.GET)
    everything = wanted.tunnels(request.user)
    counts = StateCounts.of(everything)
    many = counts.many(wanted.chosen.get("state", ""))
    listed = page_of(wanted.sorted(wanted.in_state(everything)), many, request.GET.get("page"))
    pks = list(listed)
    visible = Tunnel.objects.visible_to(request.user).filter(pk__in=pks)
    tokens, busy = tokens_of(with_state_rank(visible))
    rows = rows_of(request.user, pks, tokens)
    context = {
        **_news(wanted, counts, busy),
        "rows": rows,
        "columns": columns(wanted),
        "page": listed,
        "pages": list(_pages(wanted, listed)),
        "here": wanted.url("several", page=listed.number),
        "select_all": wanted.url(page=listed.number, all=1),
        "all_selected": "all" in request.GET,
        "acts": BULK_ACTIONS if any(row.editable for row in rows) else (),
        "orders": may_order(request),
        "results": results_of(request),
    }
    return render_page(request, "tunnel_list/page.html", context)


@require_safe
def poll_list(request: HtmxRequest) -> HttpResponse:
    """The states of those rows of a page that look different by now; 204 when none does."""
    wanted = TunnelListFilter(request.user, request.GET)
    counts = StateCounts.of(wanted.tunnels(request.user))
    known = dict(_known(request.GET.getlist("row")))
    visible = Tunnel.objects.visible_to(request.user).filter(pk__in=known)
    tokens, busy = tokens_of(with_state_rank(visible))
    changed = [pk for pk, token in tokens.items() if known[pk] != token]
    counted = request.GET.get("counted") != counts.token
    if not (changed or counted):
        return HttpResponse(status=204)
    rows = rows_of(request.user, changed, tokens)
    return render_fragment(
        request,
        "tunnel_list/poll_response.html",
        {**_news(wanted, counts, busy), "rows": rows, "oob": True},
    )


def may_order(request: HtmxRequest) -> bool:
    """Whether this person owns an account for which a tunnel can be ordered."""
    return Account.objects.owned_by(request.user).exists()


def _news(wanted: TunnelListFilter, counts: StateCounts, busy: bool) -> dict[str, Any]:
    """What the page shows and every piece of news may bring anew."""
    return {
        "wanted": wanted,
        "counts": counts,
        "groups": list(counts.groups(wanted)),
        "news": wanted.url("news"),
        "busy": busy,
    }


def _pages(wanted: TunnelListFilter, shown: Page) -> Iterator[tuple[object, str]]:
    """The numbers of the pages near this one and at both ends, with their links."""
    for number in shown.paginator.get_elided_page_range(shown.number, on_each_side=2, on_ends=1):
        elided = number == Paginator.ELLIPSIS
        yield number, "" if elided else wanted.url(page=number)


def _known(texts: list[str]) -> Iterator[tuple[int, str]]:
    """The rows that a page shows, `id.token` each; anything else is ignored."""
    for text in texts[:PER_PAGE]:
        number, _, token = text.partition(".")
        if number.isascii() and number.isdigit() and len(number) < 19:
            yield int(number), token
