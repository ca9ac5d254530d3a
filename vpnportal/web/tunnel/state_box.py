"""The state box of a tunnel's page, and the poll that keeps it and the review current."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.http import HttpResponse
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from vpnportal import services
from vpnportal.clock import age_of
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.traffic.sa_snapshot import from_json
from vpnportal.models import DraftBackup, DriftRepair, Traffic, Tunnel, TunnelCommand
from vpnportal.services import (
    EDITABLE_FIELDS,
    KEY_FIELD,
    Review,
    StateLabel,
    TunnelState,
    newest_edit,
    newest_entries,
    review_of,
    state_of,
    undoable,
)
from vpnportal.web.poll_tokens import state_box_token
from vpnportal.web.responses import HtmxRequest, render_fragment
from vpnportal.web.tunnel.access import is_editable, visible_tunnel
from vpnportal.web.tunnel.concurrent_edits import concurrent_edits
from vpnportal.web.tunnel.diagnosis import FindingView, finding_views
from vpnportal.web.tunnel.draft_version import version, written
from vpnportal.web.tunnel.subnet_pair_rows import count_pairs

# The page lists the newest automatic corrections and the newest revisions.
MAX_REPAIRS = 5
MAX_REVISIONS = 5
# After the end of an apply the page polls fast for this time: the tunnel comes up.
SETTLING_TIME = timedelta(seconds=2)
# `tunnel/sections/status.html` listens for this event.
STATE_CHANGED = "state-changed"


@dataclass(frozen=True)
class StateBox:
    """State of a tunnel, as `tunnel/sections/state_box.html` and `review.html` show it.

    - `detail`: addition to the state label, such as "1 of 2 subnet pairs up".
    - `command`: the newest command; `is_command_open` while the worker may still run it.
    - `is_settling`: an apply ended a moment ago, and the SA status is about to change.
    - `is_held`: the tunnel waits for an operator after a restore of the portal.
    - `version`: version of the draft, for the edit conflicts of forms in the review.
    - `token`: poll token; it changes when the rendered box changes.
    """

    tunnel: Tunnel
    state: TunnelState
    detail: str
    findings: list[FindingView]
    repairs: list[DriftRepair]
    command: TunnelCommand | None
    is_command_open: bool
    is_settling: bool
    is_held: bool
    version: str
    token: str

    @property
    def poll_trigger(self) -> str:
        """The events that let the page poll the box, as `hx-trigger` has them."""
        if self.state.locked or self.is_settling:
            return "load delay:80ms, every 300ms"
        if self.is_command_open:
            return "every 1s"
        return "every 2s" if self.state.on_trial else "every 5s"

    @property
    def shows_sa_status(self) -> bool:
        """True if the SA status differs from the label, as after a failed apply."""
        return self.state.latest is not None and self.state.sa_status != self.state.label

    @property
    def shows_command(self) -> bool:
        """True if there is a command, except a successful disconnect of a disconnected tunnel."""
        is_told = self._is_disconnect and self.command and self.command.ok
        return self.command is not None and not (is_told and self.state.disconnected)

    @property
    def is_disconnect_complete(self) -> bool:
        """True if disconnected, unless the newest command is a disconnect without success."""
        is_pending = self._is_disconnect and self.command and not self.command.ok
        return self.state.sa_status == StateLabel.DISCONNECTED and not is_pending

    @property
    def _is_disconnect(self) -> bool:
        return self.command is not None and self.command.kind == TunnelCommand.Kind.DISCONNECT

    @cached_property
    def review(self) -> Review | None:
        """Pending changes and their interruption; None if there are none. No query."""
        return review_of(self.tunnel, self.state)

    @cached_property
    def draft_backup(self) -> DraftBackup | None:
        """Draft that Undo restores; one query."""
        return undoable(self.tunnel)

    @cached_property
    def running_revision_number(self) -> int | None:
        """Number of the earlier revision whose SAs still run; None if unknown. One query.

        Only revisions with `first_up_at` are considered, because the peer has accepted them. The
        newest of these revisions before the live revision is returned.
        """
        live = self.state.live
        if live is None:
            return None
        accepted = self.tunnel.revisions.filter(number__lt=live.number).exclude(first_up_at=None)
        number: int | None = accepted.values_list("number", flat=True).first()
        return number


def state_box_of(tunnel: Tunnel) -> StateBox:
    """Return the state box of a tunnel.

    Reads the version before the draft, so that the page never shows a draft older than its version.
    """
    newest = newest_edit(tunnel)
    tunnel.refresh_from_db(fields=[*EDITABLE_FIELDS, KEY_FIELD, "hosted_peer"])
    state = state_of(tunnel)
    detail = _detail(tunnel, state)
    findings = finding_views(tunnel, state)
    repairs = list(tunnel.repairs.all()[:MAX_REPAIRS])
    command = services.newest_command(tunnel)
    is_command_open = services.is_command_open(command)
    is_settling = _is_settling(state)
    is_held = services.is_held(tunnel)
    token = state_box_token(
        state,
        findings=[finding.texts for finding in findings],
        repairs=repairs,
        command=command,
        is_command_open=is_command_open,
        is_settling=is_settling,
        is_held=is_held,
        detail=detail,
        version=newest,
    )
    return StateBox(
        tunnel=tunnel,
        state=state,
        detail=detail,
        findings=findings,
        repairs=repairs,
        command=command,
        is_command_open=is_command_open,
        is_settling=is_settling,
        is_held=is_held,
        version=written(newest),
        token=token,
    )


def _is_settling(state: TunnelState) -> bool:
    finished_at = state.latest.finished_at if state.latest else None
    return finished_at is not None and age_of(finished_at) < SETTLING_TIME


def _detail(tunnel: Tunnel, state: TunnelState) -> str:
    if state.label == StateLabel.WAITING_FOR_PEER:
        return "responder only"
    if state.label == SaStatus.OLDER.label:
        return "rekey pending"
    if state.label == SaStatus.PARTIAL.label and state.live:
        traffic = Traffic.objects.filter(
            tunnel=tunnel, concentrator=state.live.concentrator
        ).first()
        up, count = count_pairs(state.live.opened, from_json(traffic.lines)) if traffic else (0, 0)
        # The monitor writes the SAs and the SA status separately: they may differ for a moment.
        return f"{up} of {count} subnet pairs up" if 0 < up < count else ""
    return ""


@require_safe
def state(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the state box and its out-of-band parts; 204 if the page shows them already."""
    tunnel = visible_tunnel(request, pk, "concentrator")
    state_box, since = state_box_of(tunnel), version(request.GET.get("since", ""))
    if request.GET.get("seen") == state_box.token:
        return HttpResponse(status=204)
    context = {
        **poll_context(request, tunnel, since, state_box),
        "announces_label": request.GET.get("said", "") != state_box.state.label,
    }
    response = render_fragment(request, "tunnel/responses/state_poll.html", context)
    # The Status section polls at once: until then its state would contradict the state box.
    return trigger_client_event(response, STATE_CHANGED)


def poll_context(
    request: HtmxRequest,
    tunnel: Tunnel,
    since: datetime | None,
    state_box: StateBox | None = None,
) -> dict[str, object]:
    """Return the context of the state box and of the parts that change with it.

    `since` is the version of the draft that the page was loaded with.
    """
    editable = is_editable(request, tunnel)
    return {
        "tunnel": tunnel,
        "editable": editable,
        "state_box": state_box or state_box_of(tunnel),
        "concurrent_edits": concurrent_edits(request.user, tunnel, since, editable),
        "revisions": newest_entries(tunnel, MAX_REVISIONS),
    }
