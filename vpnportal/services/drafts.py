"""Edits of the columns of a draft: each is kept at once, writes only that, and sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.views.decorators.debug import sensitive_variables

from vpnportal.domain.tunnel.spec import PFS_WITHOUT_GROUP, Problem
from vpnportal.domain.tunnel.spec_diff import in_words
from vpnportal.fields import Sealed
from vpnportal.models import Tunnel
from vpnportal.services.edit_conflicts import (
    KEY,
    VERSION_UNKNOWN,
    SeenVersion,
    check_field_version,
    key_version_of,
    note_edits,
)
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

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


def edit(
    tunnel: Tunnel, field: str, value: object, author: User, seen: object = VERSION_UNKNOWN
) -> None:
    """Keep one well-formed value of one column; KeyError for a column that is not the draft's.

    `seen` is the value that the author last saw kept. Overtaken when it is another by now: a write
    that nobody meant replaces nothing.
    """
    if field not in EDITABLE:
        raise KeyError(field)
    with lock_tunnel_for_edit(tunnel) as fresh:
        kept = getattr(fresh, field)
        if kept != value:
            check_field_version(fresh, field, seen, kept, f" to {in_words(field, kept)}")
            Tunnel.objects.filter(pk=fresh.pk).update(**{field: value})
            note_edits(fresh, [field], author)
    setattr(tunnel, field, value)


def set_preshared_key(
    tunnel: Tunnel, text: str, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> None:
    """Seal a new preshared key into the draft; there is no way to read it back from a page.

    `seen` is the version of the key that the author last saw, as `key_version_of` tells it.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        sealed = fresh.preshared_key
        if sealed.open(fresh.preshared_key_context) != text:
            check_field_version(fresh, KEY, seen, key_version_of(fresh), "")
            sealed = Sealed.of(text, fresh.preshared_key_context)
            Tunnel.objects.filter(pk=fresh.pk).update(preshared_key=sealed)
            note_edits(fresh, [KEY], author)
    tunnel.preshared_key = sealed


@sensitive_variables("values", "changed", "columns")
def edit_fields(tunnel: Tunnel, values: Mapping[str, Any], author: User) -> None:
    """Keep well-formed values of columns, and a preshared key as its text; KeyError for others.

    Refused if they would switch PFS on without a group. What is kept already is no edit.
    """
    if unknown := values.keys() - EDITABLE - {KEY}:
        raise KeyError(*unknown)
    with lock_tunnel_for_edit(tunnel) as fresh:
        changed = {name: value for name, value in values.items() if value != _kept(fresh, name)}
        pfs = changed.get("phase_two_pfs", fresh.phase_two_pfs)
        group = changed.get("phase_two_group", fresh.phase_two_group)
        if pfs and group == 0 and changed.keys() & {"phase_two_pfs", "phase_two_group"}:
            raise Refused(Problem("phase_two_group", PFS_WITHOUT_GROUP))
        if not changed:
            return
        columns = dict(changed)
        if KEY in changed:
            columns[KEY] = Sealed.of(changed[KEY], fresh.preshared_key_context)
        Tunnel.objects.filter(pk=fresh.pk).update(**columns)
        note_edits(fresh, changed, author)


def _kept(tunnel: Tunnel, name: str) -> Any:
    if name == KEY:
        return tunnel.preshared_key.open(tunnel.preshared_key_context)
    return getattr(tunnel, name)
