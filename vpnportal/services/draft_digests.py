"""The digest of a draft, kept beside it: what changed since an apply is then one comparison.

Whatever takes a digest away, such as a specification that says more than it did, leaves "" there;
`fill` makes it again.
"""

from __future__ import annotations

from contextlib import suppress

from django.db import transaction

from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.encryption import CannotOpen, fingerprint_key
from vpnportal.models import Revision, Tunnel


def update(tunnel_id: int) -> None:
    """Write down the digest of the draft as the database has it now, if it is another one.

    A draft whose key does not open has none, and counts as changed.
    """
    row = Tunnel.objects.prefetch_related("subnets", "translations").get(pk=tunnel_id)
    try:
        found = spec_digest(row.draft(), fingerprint_key())
    except CannotOpen:
        found = ""
    if found != row.draft_digest:
        Tunnel.objects.filter(pk=tunnel_id).update(draft_digest=found)


def fill_missing() -> None:
    """Write down the digests that are missing: of drafts, and of what stands of them.

    What does not open goes without, and is tried again the next time.
    """
    for row in Revision.objects.live_or_applying().filter(digest="").iterator():
        with suppress(CannotOpen):
            found = spec_digest(row.spec(), fingerprint_key())
            Revision.objects.filter(pk=row.pk).update(digest=found)
    bare = Tunnel.objects.filter(draft_digest="", cancelled_at=None)
    for tunnel_id in bare.values_list("pk", flat=True):
        with transaction.atomic():
            Tunnel.objects.select_for_update().get(pk=tunnel_id)
            update(tunnel_id)
