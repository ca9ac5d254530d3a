"""The digest of a draft, kept beside it: what changed since an apply is then one comparison."""

from __future__ import annotations

from vpnportal.domain.frozen import digest
from vpnportal.models import Tunnel
from vpnportal.seal import CannotOpen, fingerprint_key


def note(tunnel_id: int) -> None:
    """Write down the digest of the draft as the database has it now, if it is another one.

    A draft whose key does not open has none, and counts as changed.
    """
    row = Tunnel.objects.prefetch_related("subnets", "translations").get(pk=tunnel_id)
    try:
        found = digest(row.draft(), fingerprint_key())
    except CannotOpen:
        found = ""
    if found != row.draft_digest:
        Tunnel.objects.filter(pk=tunnel_id).update(draft_digest=found)
