"""The tunnel as the peer must configure it: the live revision, or the draft before any apply."""

from __future__ import annotations

from vpnportal.domain.exports import PeerView, peer_view
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Revision, Tunnel


def live_peer_view(tunnel: Tunnel) -> PeerView:
    """Return the peer's view of the live revision, or of the draft if none is live."""
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).order_by("-number").first()
    return peer_view_of(tunnel, live)[0]


def peer_view_of(tunnel: Tunnel, revision: Revision | None) -> tuple[PeerView, TunnelSpec]:
    """Return the peer's view and the specification of a revision, or of the draft if None."""
    spec = revision.spec() if revision else tunnel.draft()
    source = f"revision {revision.number}, which is live" if revision else "the draft, not applied"
    return peer_view(spec, tunnel.name, tunnel.friendly_name, source), spec
