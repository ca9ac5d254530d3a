"""Several fields of a draft at once: all of them are kept or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.views.decorators.debug import sensitive_variables

from vpnportal.domain.spec import PFS_WITHOUT_GROUP, Problem
from vpnportal.fields import Sealed
from vpnportal.models import Tunnel
from vpnportal.services.drafts import EDITABLE
from vpnportal.services.edits import KEY, note_edits
from vpnportal.services.refusal import Refused, unlocked


@sensitive_variables("values", "changed", "columns")
def edit_several(tunnel: Tunnel, values: Mapping[str, Any], author: User) -> None:
    """Keep well-formed values of columns, and a preshared key as its text; KeyError for others.

    Refused if they would switch PFS on without a group. What is kept already is no edit.
    """
    if unknown := values.keys() - EDITABLE - {KEY}:
        raise KeyError(*unknown)
    with unlocked(tunnel) as fresh:
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
