"""Views of the translation table: open and close subnets, poll row statuses, save changed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from vpnportal.domain.addresses import inside, parse_address
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, render_fragment, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel, is_editable, visible_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.state_box import state_box_of
from vpnportal.web.tunnel.translations.open_subnets import (
    OpenSubnet,
    OpenSubnets,
    after_button,
    open_subnets_from,
    subnet_to_go_to,
    url_of,
)
from vpnportal.web.tunnel.translations.submitted_rows import (
    SubmittedRow,
    changed_rows,
    save,
    saved_pairs,
)
from vpnportal.web.tunnel.translations.table import (
    TableState,
    static_nat_subnets,
    translation_table,
)


@require_http_methods(["GET", "HEAD", "POST"])
def expand_subnet(request: HtmxRequest, pk: int, subnet: int) -> HttpResponse:
    """Render a subnet after one of its buttons: open, closed, or at another page of rows.

    Saves nothing. Unsaved rows of the request stay on the page.
    """
    tunnel = visible_tunnel(request, pk)
    query = request.POST if request.method == "POST" else request.GET
    row = next((row for row in static_nat_subnets(tunnel) if row.pk == subnet), None)
    if row is None:
        raise Http404("This tunnel has no such subnet.")
    first = int(row.network.network_address)
    open_subnets = after_button(open_subnets_from(query), subnet, first, query)
    open_subnets = _with_address_checked(open_subnets, row)
    changed = changed_rows(saved_pairs(tunnel), request.POST)
    table_state = TableState(open_subnets, changed)
    if request.htmx:
        return _subnet_fragment(request, tunnel, table_state, subnet, is_enter="enter" in query)
    state = open_subnets.get(subnet)
    if changed or (state and state.problem):
        return render_tunnel_page(request, tunnel_page(request, tunnel, table_state=table_state))
    has_row = state is not None and state.address
    fragment = f"customer-{state.address}" if state and has_row else f"subnet-{subnet}"
    return redirect(url_of(tunnel, open_subnets, fragment))


def _with_address_checked(
    open_subnets: dict[int, OpenSubnet], subnet: Subnet
) -> dict[int, OpenSubnet]:
    """Return the open subnets, with a problem if the typed address is not in `subnet`."""
    state = open_subnets.get(subnet.pk)
    if state is None or not state.address or state.problem:
        return open_subnets
    if inside(parse_address(state.address), [subnet.network]):
        return open_subnets
    problem = f"{state.address} is not in {subnet.network}."
    return {**open_subnets, subnet.pk: replace(state, page=1, problem=problem)}


def _subnet_fragment(
    request: HtmxRequest, tunnel: Tunnel, table_state: TableState, pk: int, is_enter: bool
) -> HttpResponse:
    table = translation_table(tunnel, _live_revision(tunnel), table_state)
    context = {
        "tunnel": tunnel,
        "editable": is_editable(request, tunnel),
        "table": table,
        "block": table.block(pk),
    }
    # Enter submits the form of the whole table, a button replaces its subnet.
    name = "table" if is_enter else "subnet"
    return render_fragment(request, f"tunnel/translations/{name}.html", context)


@require_safe
def look(request: HtmxRequest, pk: int) -> HttpResponse:
    """Handle Enter in a read-only table: go to the typed address, or show the page again."""
    if (subnet := subnet_to_go_to(request.GET)) is not None:
        return expand_subnet(request, pk, subnet)
    tunnel = visible_tunnel(request, pk)
    return redirect(url_of(tunnel, open_subnets_from(request.GET), "static_nat"))


@require_safe
def row_statuses(request: HtmxRequest, pk: int) -> HttpResponse:
    """Send the statuses of the rows on a page as JSON: {address: [CSS class, label, last use]}."""
    tunnel = visible_tunnel(request, pk)
    table_state = TableState(open_subnets_from(request.GET))
    table = translation_table(tunnel, _live_revision(tunnel), table_state)
    rows = (row for block in table.blocks for row in block.rows or ())
    return JsonResponse(
        {row.address: (row.status_slug, row.status_label, row.last_use) for row in rows}
    )


@require_POST
def translations(request: HtmxRequest, pk: int) -> HttpResponse:
    """Save every changed row of the translation table, or none if a row is refused."""
    if (subnet := subnet_to_go_to(request.POST)) is not None:
        return expand_subnet(request, pk, subnet)
    tunnel = editable_tunnel(request, pk)
    open_subnets = open_subnets_from(request.POST)
    changed = changed_rows(saved_pairs(tunnel), request.POST)
    try:
        save(tunnel, changed, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, open_subnets, changed, refused)
    message = _message(len(changed))

    def context() -> dict[str, object]:
        state_box = state_box_of(tunnel)
        table_state = TableState(open_subnets, saved=changed)
        return {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box,
            "table": translation_table(tunnel, state_box.state.live, table_state),
            "announcement": message,
        }

    return respond(
        request,
        fragment="tunnel/responses/translations.html",
        context=context,
        redirect_to=url_of(tunnel, open_subnets, "static_nat"),
        message=message,
    )


def _refuse(
    request: HtmxRequest,
    tunnel: Tunnel,
    open_subnets: OpenSubnets,
    changed: Mapping[str, SubmittedRow],
    refused: Refused,
) -> HttpResponse:
    """Render the table with the typed values, each problem beside its row."""
    status = status_of(refused)
    table_state = TableState(open_subnets, changed, refused, focuses_problem=True)
    return respond(
        request,
        fragment="tunnel/responses/translations.html",
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "table": translation_table(tunnel, _live_revision(tunnel), table_state),
            "announcement": refused.problems[0].text,
        },
        full_page=lambda: render_tunnel_page(
            request, tunnel_page(request, tunnel, table_state=table_state), status
        ),
        status=status,
    )


def _live_revision(tunnel: Tunnel) -> Revision | None:
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE)
    return live.select_related("concentrator").first()


def _message(count: int) -> str:
    if not count:
        return "Nothing was changed."
    return f"{count} address translation{'' if count == 1 else 's'} saved."
