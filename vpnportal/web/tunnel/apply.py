"""Apply Configurations: submit a revision, or list the problems that prevent it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST
from django_htmx.http import trigger_client_event

from vpnportal import services
from vpnportal.models import Revision, Tunnel
from vpnportal.services import Refused
from vpnportal.web.responses import HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel, visible_tunnel
from vpnportal.web.tunnel.draft_version import seen_of, version
from vpnportal.web.tunnel.outcome_wait import wait_for_outcome
from vpnportal.web.tunnel.page import (
    problem_links,
    render_tunnel_page,
    tunnel_page,
)
from vpnportal.web.tunnel.state_box import STATE_CHANGED, poll_context, state_box_of
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from
from vpnportal.web.tunnel.translations.submitted_rows import (
    SubmittedRow,
    changed_rows,
    saved_pairs,
    unsaved,
)
from vpnportal.web.tunnel.translations.table import TableState
from vpnportal.web.tunnel.trial_form import TrialForm

Outcome = Revision.Outcome


@require_POST
def apply(request: HtmxRequest, pk: int) -> HttpResponse:
    """Submit the draft as a revision, and wait a moment for its outcome.

    The request also contains the rows of the translation table. An unsaved row is reported as a
    problem, and no revision is submitted. The answer has all that the poll of the state box would
    bring.
    """
    tunnel, since = editable_tunnel(request, pk), version(request.POST.get("since", ""))
    changed, trial = changed_rows(saved_pairs(tunnel), request.POST), TrialForm(request.POST)
    try:
        if changed:
            raise Refused(*unsaved(changed))
        reviewed = seen_of(request.POST, "reviewed")
        revision = services.apply(tunnel, request.user, trial.trial(), reviewed)
    except Refused as refused:
        trial.explain(refused.problems)
        return _refuse(request, tunnel, changed, trial, refused)
    revision = wait_for_outcome(revision)
    response = respond(
        request,
        fragment="tunnel/responses/apply.html",
        context=lambda: _context_with_outcome(request, since, trial, revision),
        redirect_to=reverse("tunnel", args=[pk]) + "#state",
        message=outcome_text(revision),
        level=messages.ERROR if revision.outcome == Outcome.FAILED else messages.SUCCESS,
    )
    return trigger_client_event(response, STATE_CHANGED)


def outcome_text(revision: Revision) -> str:
    """Return what became of an apply, as a sentence."""
    if revision.unfinished:
        submitted, concentrator = f"Revision {revision.number} submitted.", revision.concentrator
        if concentrator.is_online():
            return f"{submitted} It is on its way."
        return f"{submitted} It is applied when {concentrator} responds."
    if revision.outcome == Outcome.LIVE:
        return f"Revision {revision.number} is live."
    if revision.outcome == Outcome.FAILED:
        return f"Revision {revision.number} failed. {revision.reason}"
    return f"Revision {revision.number}: {revision.get_outcome_display()}."


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
        context=lambda: {
            "tunnel": tunnel,
            "editable": True,
            "state_box": state_box_of(tunnel),
            "trial": trial,
            "problems": problems,
        },
        full_page=full_page,
        status=status,
    )


def _context_with_outcome(
    request: HtmxRequest, since: datetime | None, trial: TrialForm, revision: Revision
) -> dict[str, object]:
    # The row of the tunnel is read again: worker and monitor may have written it during the wait.
    tunnel = visible_tunnel(request, revision.tunnel_id, "concentrator")
    return {
        **poll_context(request, tunnel, since),
        "trial": trial,
        "outcome_text": outcome_text(revision),
    }
