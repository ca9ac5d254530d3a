"""Allocation of marks: each tunnel has a number that is unique at its concentrator."""

from __future__ import annotations

from vpnportal.models import Concentrator, Tunnel, TunnelMark
from vpnportal.models.row_locks import lock_concentrators
from vpnportal.models.tunnel_marks import MARKS

EXHAUSTED = (
    f"{{}} has no number left for another tunnel: it has {len(MARKS):,}, and each tunnel needs one "
    "of its own. Choose another concentrator, or delete tunnels that are no longer needed."
)


def mark_at(concentrator: Concentrator, tunnel: Tunnel) -> int | None:
    """Return the tunnel's mark at a concentrator, allocated if it has none; None if none is left.

    Must run in a transaction with `lock_concentrators`.
    """
    held = TunnelMark.objects.live().filter(concentrator=concentrator, tunnel=tunnel)
    number = held.values_list("number", flat=True).first()
    if number is None:
        number = TunnelMark.objects.first_unused(concentrator)
        if number is not None:
            TunnelMark.objects.create(concentrator=concentrator, number=number, tunnel=tunnel)
    return number


def ensure_mark(tunnel: Tunnel) -> bool:
    """Give a tunnel without a mark one at its concentrator. Return False if none is left there."""
    if tunnel.mark:
        return True
    lock_concentrators()
    number = mark_at(tunnel.concentrator, tunnel)
    if number is None:
        return False
    Tunnel.objects.filter(pk=tunnel.pk).update(mark=number)
    tunnel.mark = number
    return True
