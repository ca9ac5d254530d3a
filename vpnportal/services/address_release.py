"""Leaving a concentrator: noted in the same transaction, done by its worker, seen by its look."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal import tasks
from vpnportal.models import AddressRelease, Tunnel
from vpnportal.reconciler import address_release


def start_release(tunnel: Tunnel, author: User) -> None:
    """Note that the tunnel leaves the place of its draft, whose address stays taken meanwhile.

    Where no revision was ever sent there is nothing to let go of.
    """
    departure = AddressRelease.objects.create(
        tunnel=tunnel,
        concentrator=tunnel.concentrator,
        hosted_peer=tunnel.hosted_peer,
        author=author,
    )
    if not tunnel.revisions.filter(concentrator=tunnel.concentrator).exists():
        address_release.complete(departure)


def request_removal(tunnel: Tunnel) -> None:
    """Ask every concentrator that a tunnel left for a look at everything it holds."""
    for departure in tunnel.releases.due().select_related("concentrator"):
        tasks.request_converge(departure.concentrator)
