"""For the other end: its device's configuration, the hosts file, and the hand-over sheet.

All of it is made from a specification without its key. Who may look at a tunnel may have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from vpnportal.domain.exports import EXPORTS, KEY, NOT_AVAILABLE, Export, PeerView
from vpnportal.domain.exports.algorithm_names import is_aead
from vpnportal.domain.tunnel.algorithms import GROUPS
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Revision, Tunnel
from vpnportal.services import TunnelState, state_of
from vpnportal.services.peer_config import peer_view_of
from vpnportal.web.responses import HtmxRequest, render_page
from vpnportal.web.tunnel.forms import label_of
from vpnportal.web.tunnel.views import PLACES

DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class PeerConfigSource:
    """What the other end is told, and of which specification: `revision` None is the draft.

    `problems` are what this specification still lacks.
    """

    tunnel: Tunnel
    end: PeerView
    revision: Revision | None
    state: TunnelState
    problems: tuple[Problem, ...]

    @property
    def query(self) -> str:
        """What follows an address, so that the next page tells of the same specification."""
        return f"?of={DRAFT}" if self.revision is None and self.state.live else ""

    @property
    def lacks(self) -> list[tuple[str, str]]:
        """The panel's words for each field that is not right, and what would be."""
        return [(label_of(one.field), one.text) for one in self.problems]


@dataclass(frozen=True, slots=True)
class RenderedExport:
    """One export as the page shows it; `whole` unless the device cannot do something in it."""

    export: Export
    text: str

    @property
    def whole(self) -> bool:
        return NOT_AVAILABLE not in self.text


@require_safe
def all_exports(request: HtmxRequest, pk: int) -> HttpResponse:
    """All of it on one page, each text with a link that downloads it."""
    told = _told(request, pk)
    hosts, *devices = (RenderedExport(one, one.write(told.end)) for one in EXPORTS.values())
    shown = {"hosts": hosts, "devices": devices, "placeholder": KEY}
    return render_page(request, "tunnel/peer_config.html", {**_context(told), **shown})


@require_safe
def download(request: HtmxRequest, pk: int, slug: str) -> HttpResponse:
    """One text as a file."""
    told = _told(request, pk)
    export = EXPORTS.get(slug)
    if export is None:
        raise Http404("There is no such file for the other end.")
    disposition = content_disposition_header(True, export.file_name(told.end))
    headers = {"Content-Disposition": disposition or "attachment"}
    return HttpResponse(export.write(told.end), content_type=export.media_type, headers=headers)


@require_safe
def hand_over(request: HtmxRequest, pk: int) -> HttpResponse:
    """The sheet to print: every parameter that both ends have to agree on, but the key."""
    told = _told(request, pk)
    one, two = told.end.phase_one, told.end.phase_two
    shown = {
        "group_one": GROUPS.get(one.group),
        "group_two": GROUPS.get(two.group),
        "aead_one": is_aead(one.encryption),
        "aead_two": is_aead(two.encryption),
    }
    return render_page(request, "tunnel/hand_over_sheet.html", {**_context(told), **shown})


def _told(request: HtmxRequest, pk: int) -> PeerConfigSource:
    """What is live, unless the draft is asked for or nothing is; 404 for strangers."""
    visible = Tunnel.objects.visible_to(request.user).select_related(*PLACES)
    tunnel = get_object_or_404(visible, pk=pk)
    state = state_of(tunnel)
    revision = None if request.GET.get("of") == DRAFT else state.live
    end, spec = peer_view_of(tunnel, revision)
    return PeerConfigSource(tunnel, end, revision, state, spec.problems())


def _context(told: PeerConfigSource) -> dict[str, Any]:
    return {"told": told, "tunnel": told.tunnel, "end": told.end}
