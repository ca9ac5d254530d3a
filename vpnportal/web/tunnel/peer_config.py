"""Peer configuration: exports for the remote device, the hosts file, and the hand-over sheet.

All texts are made from a specification without its preshared key, for every user who may see the
tunnel.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.http import Http404, HttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from vpnportal.domain.exports import EXPORTS, KEY, NOT_AVAILABLE, Export, PeerView
from vpnportal.domain.exports.algorithm_names import is_aead
from vpnportal.domain.tunnel.algorithms import GROUPS
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Event, Revision, Tunnel, record_event
from vpnportal.services import TunnelState, peer_view_of, state_of
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.responses import HtmxRequest, render_page
from vpnportal.web.tunnel.access import visible_tunnel
from vpnportal.web.tunnel.forms import label_of
from vpnportal.web.tunnel.views import RELATED

# The value of `?of=`.
DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class PeerConfigSource:
    """The specification to export: of `revision`, or of the draft if `revision` is None.

    `peer` is the specification from the peer's side; `problems` are those of the specification.
    """

    tunnel: Tunnel
    peer: PeerView
    revision: Revision | None
    state: TunnelState
    problems: tuple[Problem, ...]

    @property
    def query(self) -> str:
        """The query string of links to pages that show the same specification."""
        return f"?of={DRAFT}" if self.revision is None and self.state.live else ""

    @property
    def labelled_problems(self) -> list[tuple[str, str]]:
        """(label of the field, text) of each problem."""
        return [(label_of(problem.field), problem.text) for problem in self.problems]


@dataclass(frozen=True, slots=True)
class RenderedExport:
    """One export with its text."""

    export: Export
    text: str

    @property
    def is_fully_supported(self) -> bool:
        """True if the text marks no setting of the tunnel as not available on the device."""
        return NOT_AVAILABLE not in self.text


@require_safe
@confirmed
def all_exports(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render all exports on one page, each with a link that downloads it."""
    source = _source(request, pk)
    hosts, *devices = (
        RenderedExport(export, export.write(source.peer)) for export in EXPORTS.values()
    )
    context = {
        "tunnel": source.tunnel,
        "source": source,
        "hosts": hosts,
        "devices": devices,
        "key_placeholder": KEY,
    }
    return render_page(request, "tunnel/peer_config.html", context)


@require_safe
@confirmed
def download(request: HtmxRequest, pk: int, slug: str) -> HttpResponse:
    """Send one export as a file."""
    source = _source(request, pk)
    export = EXPORTS.get(slug)
    if export is None:
        raise Http404("There is no such export.")
    with transaction.atomic():
        record_event(
            Event.Action.TUNNEL_PEER_CONFIG_DOWNLOADED,
            actor=request.user,
            tunnel=source.tunnel,
            subject=slug,
            after={"revision": source.revision.number} if source.revision else {},
        )
    disposition = content_disposition_header(True, export.file_name(source.peer))
    headers = {"Content-Disposition": disposition or "attachment"}
    return HttpResponse(export.write(source.peer), content_type=export.media_type, headers=headers)


@require_safe
@confirmed
def hand_over(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the sheet to print: every parameter that both sides must agree on, except the key."""
    source = _source(request, pk)
    phase_one, phase_two = source.peer.phase_one, source.peer.phase_two
    context = {
        "tunnel": source.tunnel,
        "source": source,
        "peer": source.peer,
        "phase_one_group": GROUPS.get(phase_one.group),
        "phase_two_group": GROUPS.get(phase_two.group),
        "is_phase_one_aead": is_aead(phase_one.encryption),
        "is_phase_two_aead": is_aead(phase_two.encryption),
    }
    return render_page(request, "tunnel/hand_over_sheet.html", context)


def _source(request: HtmxRequest, pk: int) -> PeerConfigSource:
    """Return the live revision, or the draft if the query asks for it or no revision is live."""
    tunnel = visible_tunnel(request, pk, *RELATED)
    state = state_of(tunnel)
    revision = None if request.GET.get("of") == DRAFT else state.live
    peer, spec = peer_view_of(tunnel, revision)
    return PeerConfigSource(tunnel, peer, revision, state, spec.problems())
