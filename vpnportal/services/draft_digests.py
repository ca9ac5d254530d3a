"""Keyed digests of drafts: one comparison of digests finds pending changes.

A draft without a digest counts as changed. Migrations that change the specification clear the
digests, and `fill_missing_digests` computes them again.
"""

from __future__ import annotations

from contextlib import suppress

from django.db import transaction

from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.encryption import CannotOpen, fingerprint_key
from vpnportal.models import Revision, Tunnel
from vpnportal.models.row_locks import lock_tunnel


def update_digest(tunnel_id: int) -> None:
    """Save the digest of the saved draft, or "" if the draft's preshared key does not decrypt."""
    row = Tunnel.objects.prefetch_related("subnets", "translations").get(pk=tunnel_id)
    try:
        digest = spec_digest(row.draft(), fingerprint_key())
    except CannotOpen:
        digest = ""
    if digest != row.draft_digest:
        Tunnel.objects.filter(pk=tunnel_id).update(draft_digest=digest)


def fill_missing_digests() -> None:
    """Write the missing digests of drafts and of applied revisions.

    A draft or revision that does not decrypt stays without a digest until the next call.
    """
    for revision in Revision.objects.live_or_applying().filter(digest="").iterator():
        with suppress(CannotOpen):
            digest = spec_digest(revision.spec(), fingerprint_key())
            Revision.objects.filter(pk=revision.pk).update(digest=digest)
    missing = Tunnel.objects.filter(draft_digest="", cancelled_at=None)
    for tunnel_id in missing.values_list("pk", flat=True):
        with transaction.atomic():
            lock_tunnel(tunnel_id)
            update_digest(tunnel_id)
