"""History of a tunnel: all revisions, one revision, the diff of two, restore to the draft."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal.domain.tunnel.spec_diff import Change
from vpnportal.models import Revision, Tunnel
from vpnportal.services import (
    Refused,
    diff_revisions,
    history_page,
    newest_edit,
    preview_restore,
    revisions_of,
)
from vpnportal.services import restore as restore_draft
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of
from vpnportal.web.tunnel.access import editable_tunnel, is_editable, visible_tunnel
from vpnportal.web.tunnel.draft_version import seen_of, written
from vpnportal.web.tunnel.review import add_messages

PER_PAGE = 20
REVISION_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The form that compares two revisions, with its result or its problem.

    `first_number` and `second_number` are as typed. `changes` is None if one of the specifications
    cannot be decrypted.
    """

    first_number: str = ""
    second_number: str = ""
    problem: str = ""
    earlier: Revision | None = None
    later: Revision | None = None
    changes: tuple[Change, ...] | None = None


@require_safe
def history(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render a page of revisions, newest first, and the comparison that the query asks for."""
    tunnel = visible_tunnel(request, pk, "account")
    page = Paginator(revisions_of(tunnel), PER_PAGE).get_page(request.GET.get("page"))
    comparison = _comparison(request, tunnel)
    context = {
        "tunnel": tunnel,
        "page": page,
        "revisions": history_page(tunnel, page.object_list),
        "comparison": comparison,
    }
    status = UNPROCESSABLE if comparison.problem else OK
    return render_page(request, "tunnel/history.html", context, status)


@require_safe
def revision(request: HtmxRequest, pk: int, number: int) -> HttpResponse:
    """Render one revision, its result, and the changes that restoring it would make."""
    tunnel = visible_tunnel(request, pk, "account")
    return _revision_page(request, tunnel, _revision(tunnel, number))


@require_POST
def restore(request: HtmxRequest, pk: int, number: int) -> HttpResponse:
    """Copy the revision to the draft, without applying the draft."""
    tunnel = editable_tunnel(request, pk)
    revision = _revision(tunnel, number)
    try:
        replaced = restore_draft(tunnel, revision, request.user, seen_of(request.POST))
    except Refused as refused:
        return _revision_page(request, tunnel, revision, status_of(refused), str(refused))
    add_messages(request, f"Restored revision {number}", replaced)
    return redirect(reverse("tunnel", args=[pk]) + "#review")


def _revision(tunnel: Tunnel, number: int) -> Revision:
    return get_object_or_404(revisions_of(tunnel), number=number)


def _revision_page(
    request: HtmxRequest, tunnel: Tunnel, revision: Revision, status: int = OK, refusal: str = ""
) -> HttpResponse:
    version = newest_edit(tunnel)
    tunnel.refresh_from_db()
    (entry,) = history_page(tunnel, [revision])
    can_restore = entry.changes is not None and is_editable(request, tunnel)
    context = {
        "tunnel": tunnel,
        "refusal": refusal,
        "entry": entry,
        "version": written(version),
        "restored": preview_restore(tunnel, revision) if can_restore else None,
    }
    return render_page(request, "tunnel/revision.html", context, status)


def _comparison(request: HtmxRequest, tunnel: Tunnel) -> Comparison:
    first, second = (request.GET.get(name, "").strip() for name in ("one", "other"))
    if not (first or second):
        return Comparison()
    numbers = [int(text) for text in (first, second) if REVISION_NUMBER.fullmatch(text)]
    revisions = list(revisions_of(tunnel).filter(number__in=numbers))
    if len(revisions) != 2:
        newest = tunnel.latest()
        numbers_there_are = f"1 to {newest.number}" if newest else "1"
        problem = f"Enter the numbers of two revisions, from {numbers_there_are}."
        return Comparison(first, second, problem)
    later, earlier = revisions
    changes = diff_revisions(earlier, later)
    return Comparison(first, second, earlier=earlier, later=later, changes=changes)
