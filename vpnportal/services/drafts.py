"""Edits of the columns of a draft: each is kept at once, writes only that, and sends nothing."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal.domain.changes import in_words
from vpnportal.fields import Sealed
from vpnportal.models import Tunnel
from vpnportal.services.edits import (
    KEY,
    UNKNOWN,
    Seen,
    key_version_of,
    note_edits,
    require_seen,
)
from vpnportal.services.refusal import unlocked

EDITABLE = frozenset(
    (
        "friendly_name",
        "notes",
        "remote_peer",
        "ike_version",
        "one_child_per_pair",
        "dpd_seconds",
        "starts",
        "phase_one_encryption",
        "phase_one_authentication",
        "phase_one_group",
        "phase_one_keylife",
        "phase_two_encryption",
        "phase_two_authentication",
        "phase_two_pfs",
        "phase_two_group",
        "phase_two_keylife",
    )
)


def edit(tunnel: Tunnel, field: str, value: object, author: User, seen: object = UNKNOWN) -> None:
    """Keep one well-formed value of one column; KeyError for a column that is not the draft's.

    `seen` is the value that the author last saw kept. Overtaken when it is another by now: a write
    that nobody meant replaces nothing.
    """
    if field not in EDITABLE:
        raise KeyError(field)
    with unlocked(tunnel) as fresh:
        kept = getattr(fresh, field)
        if kept != value:
            require_seen(fresh, field, seen, kept, f" to {in_words(field, kept)}")
            Tunnel.objects.filter(pk=fresh.pk).update(**{field: value})
            note_edits(fresh, [field], author)
    setattr(tunnel, field, value)


def set_preshared_key(tunnel: Tunnel, text: str, author: User, seen: Seen = UNKNOWN) -> None:
    """Seal a new preshared key into the draft; there is no way to read it back from a page.

    `seen` is the version of the key that the author last saw, as `key_version_of` tells it.
    """
    with unlocked(tunnel) as fresh:
        sealed = fresh.preshared_key
        if sealed.open(fresh.preshared_key_context) != text:
            require_seen(fresh, KEY, seen, key_version_of(fresh), "")
            sealed = Sealed.of(text, fresh.preshared_key_context)
            Tunnel.objects.filter(pk=fresh.pk).update(preshared_key=sealed)
            note_edits(fresh, [KEY], author)
    tunnel.preshared_key = sealed
