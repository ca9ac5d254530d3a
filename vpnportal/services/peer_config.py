"""What the other end is told of a tunnel: what is live, or the draft while nothing is."""

from __future__ import annotations

from vpnportal.domain.exports import PeerView, peer_view
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import Revision, Tunnel


def live_peer_view(tunnel: Tunnel) -> PeerView:
    """As the pages for the other end tell it unless they are asked for the draft."""
    live = tunnel.revisions.filter(outcome=Revision.Outcome.LIVE).order_by("-number").first()
    return peer_view_of(tunnel, live)[0]


def peer_view_of(tunnel: Tunnel, revision: Revision | None) -> tuple[PeerView, TunnelSpec]:
    """Of one revision, or of the draft; and the specification that it was made from."""
    spec = revision.spec() if revision else tunnel.draft()
    of = f"revision {revision.number}, which is live" if revision else "the draft, not applied"
    return peer_view(spec, tunnel.name, tunnel.friendly_name, of), spec
