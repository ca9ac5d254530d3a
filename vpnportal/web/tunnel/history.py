"""Every revision of a tunnel, one of them whole, two of them compared, and back into the draft."""

from __future__ import annotations

import re
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal.models import Revision, Tunnel
from vpnportal.services import Refused
from vpnportal.services.edit_conflicts import newest_edit
from vpnportal.services.history import differences, page_of, revisions_of
from vpnportal.services.restore_draft import restore as restore_draft
from vpnportal.services.restore_draft import would_restore
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of
from vpnportal.web.tunnel.draft_version import seen_of, written
from vpnportal.web.tunnel.page import is_editable
from vpnportal.web.tunnel.review import tell

PER_PAGE = 20
NUMBER = re.compile(r"[0-9]{1,9}")


@require_safe
def history(request: HtmxRequest, pk: int) -> HttpResponse:
    """A page of revisions, newest first; with `one` and `other` what differs between these two."""
    tunnel = _visible(request, pk)
    rows = Paginator(revisions_of(tunnel), PER_PAGE).get_page(request.GET.get("page"))
    compared = _compared(request, tunnel)
    shown = {
        "tunnel": tunnel,
        "editable": is_editable(request, tunnel),
        "page": rows,
        "entries": page_of(tunnel, rows.object_list),
        **compared,
    }
    status = UNPROCESSABLE if "wrong" in compared else OK
    return render_page(request, "tunnel/history.html", shown, status)


@require_safe
def revision(request: HtmxRequest, pk: int, number: int) -> HttpResponse:
    """One revision, what became of it, and what restoring it would change in the draft."""
    tunnel = _visible(request, pk)
    return _revision(request, tunnel, _numbered(tunnel, number))


@require_POST
def restore(request: HtmxRequest, pk: int, number: int) -> HttpResponse:
    """The draft becomes what this revision was; nothing is applied by that."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    chosen = _numbered(tunnel, number)
    try:
        replaced = restore_draft(tunnel, chosen, request.user, seen_of(request.POST))
    except Refused as refused:
        return _revision(request, tunnel, chosen, status_of(refused), str(refused))
    tell(request, f"Restored revision {number}", replaced)
    return redirect(reverse("tunnel", args=[pk]) + "#review")


def _visible(request: HtmxRequest, pk: int) -> Tunnel:
    visible = Tunnel.objects.visible_to(request.user).select_related("account")
    return get_object_or_404(visible, pk=pk)


def _numbered(tunnel: Tunnel, number: int) -> Revision:
    return get_object_or_404(revisions_of(tunnel), number=number)


def _revision(
    request: HtmxRequest, tunnel: Tunnel, chosen: Revision, status: int = OK, wrong: str = ""
) -> HttpResponse:
    version = newest_edit(tunnel)
    tunnel.refresh_from_db()
    (entry,) = page_of(tunnel, [chosen])
    editable = is_editable(request, tunnel)
    shown: dict[str, Any] = {"entry": entry, "editable": editable, "version": written(version)}
    if editable and entry.changes is not None:
        shown["would"] = would_restore(tunnel, chosen)
    return render_page(
        request, "tunnel/revision.html", {"tunnel": tunnel, "wrong": wrong, **shown}, status
    )


def _compared(request: HtmxRequest, tunnel: Tunnel) -> dict[str, Any]:
    typed = {name: request.GET.get(name, "").strip() for name in ("one", "other")}
    if not any(typed.values()):
        return {}
    numbers = [int(text) for text in typed.values() if NUMBER.fullmatch(text)]
    found = list(revisions_of(tunnel).filter(number__in=numbers))
    if len(found) != 2:
        newest = tunnel.latest()
        until = f"1 to {newest.number}" if newest else "1"
        return {**typed, "wrong": f"Enter the numbers of two revisions, from {until}."}
    later, earlier = found
    between = differences(earlier, later)
    return {**typed, "earlier": earlier, "later": later, "between": between}
