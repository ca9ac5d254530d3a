"""The page with the list of tunnels, and the poll that keeps it current."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from vpnportal.models import Account, TunnelSummary
from vpnportal.web.responses import HtmxRequest, render_fragment, render_page
from vpnportal.web.tunnel_list.bulk_actions import (
    BULK_ACTIONS,
    BulkAction,
    BulkResults,
    pop_results,
)
from vpnportal.web.tunnel_list.filter_form import TunnelListFilter
from vpnportal.web.tunnel_list.pages import BEFORE, END, PER_PAGE, ListPage, place_of
from vpnportal.web.tunnel_list.rows import Column, TunnelRow, columns, rows_of, tokens_of
from vpnportal.web.tunnel_list.state_counts import StateCounts, StateLink


@dataclass(frozen=True, slots=True)
class PolledParts:
    """Parts of the list page that a poll replaces: state counts, polling element, changed rows."""

    counts: StateCounts
    state_links: list[StateLink]
    poll_url: str
    is_busy: bool
    rows: list[TunnelRow]


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link to another page of the list; `href` is "" if there is none."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class TunnelList:
    """Parts of the list page that a poll does not replace."""

    filter: TunnelListFilter
    columns: list[Column]
    page: ListPage
    page_links: list[PageLink]
    bulk_url: str
    select_all_url: str
    all_selected: bool
    bulk_actions: Mapping[str, tuple[str, BulkAction]]
    can_order: bool
    results: BulkResults | None


@require_safe
def tunnels(request: HtmxRequest) -> HttpResponse:
    """Render one page of the user's tunnels."""
    tunnel_filter = TunnelListFilter(request.user, request.GET)
    matches = tunnel_filter.tunnels(request.user)
    counts = StateCounts.of(matches)
    total = counts.in_state(tunnel_filter.state_slug)
    listed = tunnel_filter.in_state(matches)
    page = tunnel_filter.order.page(listed, place_of(request.GET), total)
    visible = TunnelSummary.objects.visible_to(request.user).filter(pk__in=page.ids)
    tokens, is_busy = tokens_of(visible)
    rows = rows_of(request.user, page.ids, tokens)
    listing = TunnelList(
        filter=tunnel_filter,
        columns=columns(tunnel_filter),
        page=page,
        page_links=list(_page_links(tunnel_filter, page)),
        bulk_url=tunnel_filter.url("several", **page.place),
        select_all_url=tunnel_filter.url(**page.place, all=1),
        all_selected="all" in request.GET,
        bulk_actions=BULK_ACTIONS if any(row.is_editable for row in rows) else {},
        can_order=_can_order(request),
        results=pop_results(request),
    )
    polled = _polled_parts(tunnel_filter, counts, is_busy, rows)
    return render_page(request, "tunnel_list/page.html", {"listing": listing, "polled": polled})


@require_safe
def poll_list(request: HtmxRequest) -> HttpResponse:
    """Render the state counts and the changed rows of the list; 204 if neither changed."""
    tunnel_filter = TunnelListFilter(request.user, request.GET)
    counts = StateCounts.of(tunnel_filter.tunnels(request.user))
    rendered = dict(_rendered_tokens(request.GET.getlist("row")))
    visible = TunnelSummary.objects.visible_to(request.user).filter(pk__in=rendered)
    tokens, is_busy = tokens_of(visible)
    changed = [pk for pk, token in tokens.items() if rendered[pk] != token]
    if not changed and request.GET.get("counted") == counts.token:
        return HttpResponse(status=204)
    rows = rows_of(request.user, changed, tokens)
    polled = _polled_parts(tunnel_filter, counts, is_busy, rows)
    context = {"polled": polled, "oob": True}
    return render_fragment(request, "tunnel_list/poll_response.html", context)


def _can_order(request: HtmxRequest) -> bool:
    return Account.objects.owned_by(request.user).exists()


def _polled_parts(
    tunnel_filter: TunnelListFilter, counts: StateCounts, is_busy: bool, rows: list[TunnelRow]
) -> PolledParts:
    return PolledParts(
        counts=counts,
        state_links=list(counts.links(tunnel_filter)),
        poll_url=tunnel_filter.url("news"),
        is_busy=is_busy,
        rows=rows,
    )


def _page_links(tunnel_filter: TunnelListFilter, page: ListPage) -> Iterator[PageLink]:
    """Yield the links to other pages, each with "" as its URL if there is no such page."""
    places = {
        "First": {} if page.previous else None,
        "Previous": page.previous,
        "Next": page.next,
        "Last": {BEFORE: END} if page.next else None,
    }
    for label, place in places.items():
        yield PageLink(label, "" if place is None else tunnel_filter.url(**place))


def _rendered_tokens(texts: list[str]) -> Iterator[tuple[int, str]]:
    """Yield (tunnel id, token) of each text "id.token"; ignore malformed texts."""
    for text in texts[:PER_PAGE]:
        number, _, token = text.partition(".")
        if number.isascii() and number.isdigit() and len(number) < 19:
            yield int(number), token
