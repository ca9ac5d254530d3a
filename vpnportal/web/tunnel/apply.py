"""The page of one tunnel, its state, and Apply Configurations."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.draft_version import seen_of
from vpnportal.web.tunnel.page import problem_links, state_context, tunnel_page
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from
from vpnportal.web.tunnel.translations.submitted_rows import (
    SubmittedRow,
    changed_rows,
    saved_pairs,
    unsaved,
)
from vpnportal.web.tunnel.translations.table import TableState
from vpnportal.web.tunnel.trial_form import TrialForm


@require_POST
def apply(request: HtmxRequest, pk: int) -> HttpResponse:
    """Apply Configurations: a revision on its way, or what still is wrong.

    The rows of the translation table come along, so that one typed and not saved is not lost.
    """
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    changed, trial = changed_rows(saved_pairs(tunnel), request.POST), TrialForm(request.POST)
    try:
        if changed:
            raise Refused(*unsaved(changed))
        reviewed = seen_of(request.POST, "reviewed")
        revision = services.apply(tunnel, request.user, trial.trial(), reviewed)
    except Refused as refused:
        trial.explain(refused.problems)
        return _refuse(request, tunnel, changed, trial, refused)
    if request.htmx:
        shown = {**state_context(tunnel), "revision": revision, "trial": trial, "editable": True}
        return render_fragment(request, "tunnel/responses/apply.html", shown)
    messages.success(request, f"Revision {revision.number} is on its way to the concentrator.")
    return redirect(reverse("tunnel", args=[pk]) + "#state")


def _refuse(
    request: HtmxRequest,
    tunnel: Tunnel,
    changed: Mapping[str, SubmittedRow],
    trial: TrialForm,
    refused: Refused,
) -> HttpResponse:
    """Nothing was applied; a page without JavaScript is shown again with what was typed."""
    problems = problem_links(tunnel, refused.problems, changed)
    if request.htmx:
        shown = {**state_context(tunnel), "problems": problems, "trial": trial, "editable": True}
        return render_fragment(request, "tunnel/responses/apply.html", shown, status_of(refused))
    sheet = TableState(open_subnets_from(request.POST), changed, refused)
    shown = {"problems": problems, "trial": trial, "stray": ()}
    return tunnel_page(request, tunnel, status_of(refused), sheet, **shown)
