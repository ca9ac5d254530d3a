"""The static NAT subnets of a tunnel: expand one, and save the translations of all open ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.domain.spec import Problem
from vpnportal.models import Tunnel
from vpnportal.services import Overtaken, Refused, Row
from vpnportal.web import typed
from vpnportal.web.answers import Request, partial, status_of
from vpnportal.web.panel import is_editable, panel, state_context
from vpnportal.web.rows import Block, Entry, blocks, kept_entries
from vpnportal.web.typed_rows import entries_of, marked, opened


@require_safe
def subnet(request: Request, pk: int, subnet: int) -> HttpResponse:
    """One subnet, expanded (or collapsed again with `?closed`)."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    if not request.htmx:
        return redirect(f"{reverse('tunnel', args=[pk])}?open={subnet}#subnet-{subnet}")
    expanded = set() if "closed" in request.GET else {subnet}
    block = next((block for block in blocks(tunnel, expanded) if block.pk == subnet), None)
    if block is None:
        raise Http404("This tunnel has no such subnet.")
    shown = {"tunnel": tunnel, "block": block, "editable": is_editable(request, tunnel)}
    return partial(request, "tunnel/_subnet.html", shown)


@require_POST
def translations(request: Request, pk: int) -> HttpResponse:
    """Add/Modify Context Address Translations: every open row, or none of them."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    entries = entries_of(request.POST)
    try:
        _keep(tunnel, entries, request.user)
    except Refused as refused:
        return _refuse(request, tunnel, entries, refused)
    if request.htmx:
        shown = {**state_context(tunnel), "editable": True}
        # Also what somebody else changed in a row that was not touched here.
        kept, empty = kept_entries(tunnel), Entry("", "")
        saved = {at: replace(kept.get(at, empty), saved=True) for at in entries}
        shown |= {"blocks": opened(tunnel, saved), "count": len(saved)}
        return partial(request, "tunnel/_translated.html", shown)
    messages.success(request, "Address translations saved." if entries else "Nothing was changed.")
    still_open = [("open", block.pk) for block in opened(tunnel, entries) if block.lines]
    return redirect(f"{reverse('tunnel', args=[pk])}?{urlencode(still_open)}#static_nat")


def _keep(tunnel: Tunnel, entries: dict[IPv4Address, Entry], author: User) -> None:
    """All or nothing; Refused names every row that is wrong, whether ill-formed or misplaced."""
    wrong = {at: problem for at, entry in entries.items() if (problem := _ill_formed(at, entry))}
    rows = [_row(at, entry) for at, entry in entries.items() if at not in wrong]
    seen = {at: row for at, entry in entries.items() if (row := _seen(at, entry))}
    problems, kind = list(wrong.values()), Refused
    with transaction.atomic():
        try:
            services.set_translations(tunnel, rows, author, seen)
        except Refused as refused:
            problems.extend(refused.problems)
            kind = type(refused)
        if problems:
            raise kind(*problems)


def _ill_formed(at: IPv4Address, entry: Entry) -> Problem | None:
    try:
        _row(at, entry)
    except ValueError as error:
        return Problem(f"translation {at}", str(error))
    return None


def _seen(at: IPv4Address, entry: Entry) -> Row | None:
    """The row as its page showed it kept; None where the request does not tell."""
    if entry.seen is None:
        return None
    customer, _, name = entry.seen.partition(" ")
    try:
        return _row(at, Entry(customer, name))
    except ValueError:
        raise BadRequest("There is no such row.") from None


def _row(at: IPv4Address, entry: Entry) -> Row:
    return Row(at, typed.address(entry.customer), typed.name(entry.name))


def _refuse(
    request: Request, tunnel: Tunnel, entries: dict[IPv4Address, Entry], refused: Refused
) -> HttpResponse:
    """The table as it was typed, each problem beside its row."""
    told: set[IPv4Address] = set()
    if isinstance(refused, Overtaken):
        named = {problem.field for problem in refused.problems}
        told = {at for at, e in entries.items() if f"translation {at}" in named}
        told -= {at for at, e in entries.items() if _ill_formed(at, e)}
    table = opened(tunnel, marked(entries, refused.problems, told))
    shown = {"blocks": table, "stray": list(_stray(table, refused.problems))}
    if not request.htmx:
        return panel(request, tunnel, status_of(refused), **shown)
    context = {"tunnel": tunnel, "editable": True, "refused": refused.problems, **shown}
    return partial(request, "tunnel/_translated.html", context, status_of(refused))


def _stray(table: list[Block], problems: Iterable[Problem]) -> Iterator[str]:
    """The problems that belong to no row on the page."""
    lines = {f"translation {line.address}" for block in table for line in block.lines or ()}
    return (problem.text for problem in problems if problem.field not in lines)
