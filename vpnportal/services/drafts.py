"""Edits of the columns of a draft. An edit is saved at once and reaches no concentrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.views.decorators.debug import sensitive_variables

from vpnportal.domain.tunnel.spec import PFS_WITHOUT_GROUP, Problem
from vpnportal.domain.tunnel.spec_diff import in_words
from vpnportal.fields import Sealed
from vpnportal.models import Event, Tunnel, record_event
from vpnportal.services.edit_conflicts import (
    KEY_FIELD,
    VERSION_UNKNOWN,
    SeenVersion,
    check_field_version,
    key_version_of,
    note_edits,
)
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

EDITABLE_FIELDS = frozenset(
    (
        "friendly_name",
        "notes",
        "remote_peer",
        "ike_version",
        "one_child_per_pair",
        "dpd_seconds",
        "starts",
        "translated_only",
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
    """Save a valid value of one column. `seen` is the saved value that the author last saw.

    Raises EditConflict if the saved value is no longer `seen`, KeyError if `field` is not editable.
    """
    if field not in EDITABLE_FIELDS:
        raise KeyError(field)
    with lock_tunnel_for_edit(tunnel) as fresh:
        saved = getattr(fresh, field)
        if saved != value:
            check_field_version(fresh, field, seen, saved, f" to {in_words(field, saved)}")
            Tunnel.objects.filter(pk=fresh.pk).update(**{field: value})
            note_edits(fresh, [field], author)
            record_event(
                Event.Action.TUNNEL_EDITED,
                actor=author,
                tunnel=fresh,
                before={field: saved},
                after={field: value},
            )
    setattr(tunnel, field, value)


@sensitive_variables("values", "changed", "columns")
def edit_fields(tunnel: Tunnel, values: Mapping[str, Any], author: User) -> None:
    """Save valid values by field name; the preshared key is plain text. Skip unchanged values.

    Raises Refused if the values would enable PFS without a group, KeyError for a field that is
    not editable.
    """
    if unknown := values.keys() - EDITABLE_FIELDS - {KEY_FIELD}:
        raise KeyError(*unknown)
    with lock_tunnel_for_edit(tunnel) as fresh:
        changed = {name: value for name, value in values.items() if value != _saved(fresh, name)}
        pfs = changed.get("phase_two_pfs", fresh.phase_two_pfs)
        group = changed.get("phase_two_group", fresh.phase_two_group)
        if pfs and group == 0 and changed.keys() & {"phase_two_pfs", "phase_two_group"}:
            raise Refused(Problem("phase_two_group", PFS_WITHOUT_GROUP))
        if not changed:
            return
        columns = dict(changed)
        if KEY_FIELD in changed:
            columns[KEY_FIELD] = Sealed.of(changed[KEY_FIELD], fresh.preshared_key_context)
        Tunnel.objects.filter(pk=fresh.pk).update(**columns)
        note_edits(fresh, changed, author)
        if KEY_FIELD in changed:
            record_event(Event.Action.TUNNEL_KEY_CHANGED, actor=author, tunnel=fresh)
        if others := changed.keys() - {KEY_FIELD}:
            record_event(
                Event.Action.TUNNEL_EDITED,
                actor=author,
                tunnel=fresh,
                before={name: _saved(fresh, name) for name in others},
                after={name: changed[name] for name in others},
            )


def set_preshared_key(
    tunnel: Tunnel, text: str, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> None:
    """Encrypt and save a preshared key. `seen` is the `key_version_of` when the form was shown.

    Raises EditConflict if the key was changed after `seen`.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        sealed = fresh.preshared_key
        if sealed.open(fresh.preshared_key_context) != text:
            check_field_version(fresh, KEY_FIELD, seen, key_version_of(fresh), "")
            sealed = Sealed.of(text, fresh.preshared_key_context)
            Tunnel.objects.filter(pk=fresh.pk).update(preshared_key=sealed)
            note_edits(fresh, [KEY_FIELD], author)
            record_event(Event.Action.TUNNEL_KEY_CHANGED, actor=author, tunnel=fresh)
    tunnel.preshared_key = sealed


def _saved(tunnel: Tunnel, name: str) -> Any:
    if name == KEY_FIELD:
        return tunnel.preshared_key.open(tunnel.preshared_key_context)
    return getattr(tunnel, name)
