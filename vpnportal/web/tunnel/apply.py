"""Apply Configurations: submit a revision, or list the problems that prevent it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Revision, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.draft_version import seen_of
from vpnportal.web.tunnel.page import (
    ProblemLink,
    problem_links,
    render_tunnel_page,
    tunnel_page,
)
from vpnportal.web.tunnel.state_box import state_box_of
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
    """Submit the draft as a revision.

    The request also contains the rows of the translation table. An unsaved row is reported as a
    problem, and no revision is submitted.
    """
    tunnel = editable_tunnel(request, pk)
    changed, trial = changed_rows(saved_pairs(tunnel), request.POST), TrialForm(request.POST)
    try:
        if changed:
            raise Refused(*unsaved(changed))
        reviewed = seen_of(request.POST, "reviewed")
        revision = services.apply(tunnel, request.user, trial.trial(), reviewed)
    except Refused as refused:
        trial.explain(refused.problems)
        return _refuse(request, tunnel, changed, trial, refused)
    return respond(
        request,
        fragment="tunnel/responses/apply.html",
        context=lambda: _context(tunnel, trial, revision=revision),
        redirect_to=reverse("tunnel", args=[pk]) + "#state",
        message=f"Revision {revision.number} submitted.",
    )


def _refuse(
    request: HtmxRequest,
    tunnel: Tunnel,
    changed: Mapping[str, SubmittedRow],
    trial: TrialForm,
    refused: Refused,
) -> HttpResponse:
    status = status_of(refused)
    problems = problem_links(tunnel, refused.problems, changed)

    def full_page() -> HttpResponse:
        table_state = TableState(open_subnets_from(request.POST), changed, refused)
        page = tunnel_page(request, tunnel, table_state=table_state)
        # The list of problems has those of rows that are not on the page too.
        table = replace(page.table, unplaced_problems=[])
        page = replace(page, table=table, trial=trial, problems=problems)
        return render_tunnel_page(request, page, status)

    return respond(
        request,
        fragment="tunnel/responses/apply.html",
        context=lambda: _context(tunnel, trial, problems=problems),
        full_page=full_page,
        status=status,
    )


def _context(
    tunnel: Tunnel,
    trial: TrialForm,
    *,
    revision: Revision | None = None,
    problems: list[ProblemLink] | None = None,
) -> dict[str, object]:
    return {
        "tunnel": tunnel,
        "editable": True,
        "state_box": state_box_of(tunnel),
        "trial": trial,
        "revision": revision,
        "problems": problems or [],
    }
