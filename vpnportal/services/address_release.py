"""Start of an address release, for a tunnel that is deleted or moved.

The worker removes the tunnel from the concentrator. A full observation that finds nothing of the
tunnel completes the release.
"""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal import tasks
from vpnportal.models import AddressRelease, Tunnel
from vpnportal.reconciler import address_release


def start_release(tunnel: Tunnel, author: User | None) -> None:
    """Reserve the draft's hosted peer address until the concentrator holds nothing of the tunnel.

    The release is complete at once if the concentrator never received a revision.
    """
    release = AddressRelease.objects.create(
        tunnel=tunnel,
        concentrator=tunnel.concentrator,
        hosted_peer=tunnel.hosted_peer,
        author=author,
    )
    if not tunnel.revisions.filter(concentrator=tunnel.concentrator).exists():
        address_release.complete(release)


def request_removal(tunnel: Tunnel) -> None:
    """Request a full converge of each concentrator that must remove the tunnel's configuration."""
    for release in tunnel.releases.due().select_related("concentrator"):
        tasks.request_converge(release.concentrator)
