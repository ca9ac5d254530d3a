"""The static NAT subnets of a tunnel: look at them, and save the translations of all open ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from vpnportal.domain.addresses import inside, parse_address
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import OK, HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.page import is_editable, state_context, tunnel_page
from vpnportal.web.tunnel.translations.open_subnets import (
    OpenSubnet,
    OpenSubnets,
    after_button,
    open_subnets_from,
    url_of,
    wants_to_go,
)
from vpnportal.web.tunnel.translations.submitted_rows import (
    SubmittedRow,
    changed_rows,
    keep,
    saved_pairs,
)
from vpnportal.web.tunnel.translations.table import TableState, static_nat, table_context


@require_http_methods(["GET", "HEAD", "POST"])
def expand_subnet(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """One subnet, expanded, collapsed or turned to another page, as a button of it says.

    Nothing is saved. Rows that were typed come along and stay.
    """
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    given = request.POST if request.method == "POST" else request.GET
    row = next((row for row in static_nat(tunnel) if row.pk == subnet), None)
    if row is None:
        raise Http404("This tunnel has no such subnet.")
    first = int(row.network.network_address)
    looks = _checked(after_button(open_subnets_from(given), subnet, first, given), row)
    changed = changed_rows(saved_pairs(tunnel), request.POST)
    if request.htmx:
        shown = table_context(tunnel, _live(tunnel), TableState(looks, changed))
        block = next(block for block in shown["blocks"] if block.pk == subnet)
        shown |= {"tunnel": tunnel, "block": block, "editable": is_editable(request, tunnel)}
        # Enter belongs to the form of the whole table, a button to its subnet.
        part = (
            "tunnel/translations/table.html"
            if "enter" in given
            else "tunnel/translations/subnet.html"
        )
        return render_fragment(request, part, shown)
    look = looks.get(subnet)
    if changed or (look and look.problem):
        return tunnel_page(request, tunnel, OK, TableState(looks, changed))
    place = f"customer-{look.at}" if look and look.at else f"subnet-{subnet}"
    return redirect(url_of(tunnel, looks, place))


@require_safe
def look(request: HtmxRequest, pk: int) -> HttpResponse:
    """Enter in a field of somebody who may only look: go to the address, or stay."""
    if going := wants_to_go(request.GET):
        return expand_subnet(request, pk, going)
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    return redirect(url_of(tunnel, open_subnets_from(request.GET), "static_nat"))


@require_safe
def row_statuses(request: HtmxRequest, pk: int) -> HttpResponse:
    """How the rows stand that a page shows: for each address a class and two texts."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    shown = table_context(tunnel, _live(tunnel), TableState(open_subnets_from(request.GET)))[
        "blocks"
    ]
    lines = (line for block in shown for line in block.lines or ())
    return JsonResponse({line.address: (line.slug, line.word, line.used) for line in lines})


@require_POST
def translations(request: HtmxRequest, pk: int) -> HttpResponse:
    """Add/Modify Context Address Translations: every changed row, or none of them."""
    if going := wants_to_go(request.POST):
        return expand_subnet(request, pk, going)
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    looks = open_subnets_from(request.POST)
    changed = changed_rows(saved_pairs(tunnel), request.POST)
    try:
        keep(tunnel, changed, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, looks, changed, refused)
    told = _told(len(changed))
    if request.htmx:
        shown = state_context(tunnel)
        rows = table_context(tunnel, shown["state"].live, TableState(looks, saved=changed))
        context = {**shown, **rows, "editable": True, "told": told}
        return render_fragment(request, "tunnel/responses/translations.html", context)
    messages.success(request, told)
    return redirect(url_of(tunnel, looks, "static_nat"))


def _live(tunnel: Tunnel) -> Revision | None:
    """The revision that the concentrator holds: all that rows need of the tunnel's state."""
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE)
    return live.select_related("concentrator").first()


def _told(count: int) -> str:
    if not count:
        return "Nothing was changed."
    return f"{count} address translation{'' if count == 1 else 's'} saved."


def _checked(looks: dict[int, OpenSubnet], row: Subnet) -> dict[int, OpenSubnet]:
    """An address to go to must be one of the subnet."""
    look = looks.get(row.pk)
    if look is None or not look.at or look.problem:
        return looks
    if inside(parse_address(look.at), [row.network]):
        return looks
    problem = f"{look.at} is not in {row.network}."
    return {**looks, row.pk: replace(look, page=1, problem=problem)}


def _refuse(
    request: HtmxRequest,
    tunnel: Tunnel,
    looks: OpenSubnets,
    changed: Mapping[str, SubmittedRow],
    refused: Refused,
) -> HttpResponse:
    """The table as it was typed, each problem beside its row."""
    status, sheet = status_of(refused), TableState(looks, changed, refused, leads=True)
    if not request.htmx:
        return tunnel_page(request, tunnel, status, sheet)
    rows = table_context(tunnel, _live(tunnel), sheet)
    context = {"tunnel": tunnel, "editable": True, "refused": refused.problems, **rows}
    return render_fragment(request, "tunnel/responses/translations.html", context, status)
