"""Replacement of a draft by a specification: discard, revert, restore and undo.

Only differences are written. Subnets that the account no longer has are left out and named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User
from django.db.models import F, Max

from vpnportal.domain.addresses import inside
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.domain.tunnel.spec import Problem, Starts, TunnelSpec, translation_address
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs, value_of, with_field_from
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.models import (
    AddressTranslation,
    DraftBackup,
    Event,
    Revision,
    Subnet,
    Tunnel,
    record_event,
)
from vpnportal.models.row_locks import lock_subnets
from vpnportal.services.drafts import EDITABLE_FIELDS
from vpnportal.services.edit_conflicts import (
    KEY_FIELD,
    VERSION_UNKNOWN,
    SeenVersion,
    check_draft_version,
    newest_edit,
    note_edits,
)
from vpnportal.services.errors import Refused
from vpnportal.services.quotas import Quota, refuse_over_quota
from vpnportal.services.remote_subnets import customer_subnet, detach
from vpnportal.services.translations import TranslationRow, unsaved_translation
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

ATTACHABLE = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)
NOTHING_APPLIED = "This tunnel was never applied, so there is nothing to go back to."
NOTHING_TO_UNDO = "This tunnel was edited since, so there is nothing to undo."


@dataclass(frozen=True, slots=True)
class Replaced:
    """The changes made to a draft, and one sentence for each item that was not restored."""

    changes: tuple[Change, ...]
    left_out: tuple[str, ...]


def discard(tunnel: Tunnel, author: User, seen: SeenVersion = VERSION_UNKNOWN) -> Replaced:
    """Reset the draft to the applied revision. `undo` reverts this until the next edit.

    The Hosted Peer Address and the static NAT subnets stay, because the provider assigned them.
    The Tunnel Name stays too.
    `seen` is the version of the draft that the author reviewed.
    Raises EditConflict if another user edited the draft after `seen`, Refused without an apply.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        check_draft_version(fresh, author, seen)
        replaced = replace_draft(fresh, _applied_spec(fresh), author, "discarded the changes")
        _record(Event.Action.TUNNEL_DISCARDED, fresh, author, replaced)
        return replaced


def revert_field(
    tunnel: Tunnel, field: str, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> Replaced:
    """Reset one field, by its `Change.field`, to the applied revision; like `discard`."""
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        check_draft_version(fresh, author, seen, [field])
        applied, draft = _applied_spec(fresh), fresh.draft()
        if field not in {change.field for change in diff_specs(applied, draft)}:
            return Replaced((), ())
        spec = with_field_from(draft, applied, field)
        replaced = replace_draft(fresh, spec, author, "reverted a change")
        _record(Event.Action.TUNNEL_DISCARDED, fresh, author, replaced)
        return replaced


def restore(
    tunnel: Tunnel, revision: Revision, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> Replaced:
    """Set the draft to a revision of this tunnel, without an apply.

    Raises EditConflict if another user edited the draft after `seen`, ValueError for a revision of
    another tunnel.
    """
    if revision.tunnel_id != tunnel.pk:
        raise ValueError(f"{revision} is not of {tunnel}")
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        check_draft_version(fresh, author, seen)
        action = f"restored revision {revision.number}"
        replaced = replace_draft(fresh, _spec_of(revision), author, action)
        _record(Event.Action.TUNNEL_RESTORED, fresh, author, replaced, revision.number)
        return replaced


def preview_restore(tunnel: Tunnel, revision: Revision) -> Replaced:
    """Return the result of `restore` without changing the draft."""
    target, left_out = _restrict_to_available(tunnel, _spec_of(revision))
    return Replaced(diff_specs(tunnel.draft(), target), left_out)


def undo(tunnel: Tunnel, author: User) -> Replaced:
    """Restore the draft from before the last replacement. Raises Refused after another edit."""
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        backup = undoable(fresh)
        if backup is None:
            raise Refused(Problem("", NOTHING_TO_UNDO))
        target, left_out = _restrict_to_available(fresh, backup.spec())
        backup.delete()
        replaced = Replaced(_write_spec(fresh, target, author), left_out)
        _record(Event.Action.TUNNEL_UNDONE, fresh, author, replaced)
        return replaced


def _record(
    action: Event.Action,
    tunnel: Tunnel,
    author: User,
    replaced: Replaced,
    revision: int | None = None,
) -> None:
    if replaced.changes:
        after = {"fields": sorted({change.label for change in replaced.changes})}
        record_event(
            action,
            actor=author,
            tunnel=tunnel,
            after=after | ({"revision": revision} if revision else {}),
        )


def undoable(tunnel: Tunnel) -> DraftBackup | None:
    """Return the backup that `undo` would restore, or None if the draft was edited after it."""
    newest = Max("tunnel__last_edits__at")
    backups = DraftBackup.objects.filter(tunnel=tunnel).annotate(newest=newest)
    return backups.filter(at=F("newest")).select_related("author").first()


def _applied_spec(tunnel: Tunnel) -> TunnelSpec:
    revision = tunnel.revisions.live_or_applying().order_by("-number").first()
    if revision is None:
        raise Refused(Problem("", NOTHING_APPLIED))
    return _spec_of(revision)


def _spec_of(revision: Revision) -> TunnelSpec:
    try:
        return revision.spec()
    except CannotOpen:
        text = f"Revision {revision.number} cannot be decrypted. Nothing was changed."
        raise Refused(Problem("", text)) from None


def replace_draft(tunnel: Tunnel, spec: TunnelSpec, author: User | None, action: str) -> Replaced:
    """Write a specification to the draft, and save a backup of the draft if anything changed.

    Subnets and translations that the tunnel may no longer have are skipped and listed.
    """
    before = tunnel.draft()
    target, left_out = _restrict_to_available(tunnel, spec)
    changes = _write_spec(tunnel, target, author)
    if changes:
        sealed = Sealed.of(serialize(before), DraftBackup.context(tunnel.pk))
        backup = {
            "specification": sealed,
            "what": action,
            "author": author,
            "at": newest_edit(tunnel),
        }
        DraftBackup.objects.update_or_create(tunnel=tunnel, defaults=backup)
    return Replaced(changes, left_out)


def _restrict_to_available(tunnel: Tunnel, spec: TunnelSpec) -> tuple[TunnelSpec, tuple[str, ...]]:
    """Return the specification without subnets and translations the tunnel may no longer have.

    The hosted peer address and static NAT subnets become those of the tunnel. Also returns one
    sentence for each removed subnet or translation.
    """
    available = {
        subnet.network
        for subnet in Subnet.objects.offered_to(tunnel).filter(network__in=spec.hosted_subnets)
    }
    assigned = tunnel.networks(Subnet.Kind.STATIC_NAT)
    translations = tuple(row for row in spec.translations if inside(row.internal, assigned))
    target = replace(
        spec,
        hosted_peer=IPv4Address(tunnel.hosted_peer),
        hosted_subnets=tuple(net for net in spec.hosted_subnets if net in available),
        static_nat_subnets=assigned,
        translations=translations,
    )
    left_out = [
        f"{network} is no longer a subnet of this account"
        for network in spec.hosted_subnets
        if network not in available
    ]
    left_out += [
        f"{row.internal} is no longer in a static NAT subnet of this tunnel"
        for row in spec.translations
        if row not in translations
    ]
    return target, tuple(left_out)


def _write_spec(tunnel: Tunnel, target: TunnelSpec, author: User | None) -> tuple[Change, ...]:
    """Write the differences to the draft, record the edits and return the changes."""
    changes = diff_specs(tunnel.draft(), target)
    fields = {change.field for change in changes}
    columns = {name: _column_value(value_of(target, name)) for name in fields & EDITABLE_FIELDS}
    if KEY_FIELD in fields:
        columns[KEY_FIELD] = Sealed.of(target.newest_key, tunnel.preshared_key_context)
    if columns:
        Tunnel.objects.filter(pk=tunnel.pk).update(**columns)
    if "hosted_subnets" in fields:
        _set_hosted(tunnel, target.hosted_subnets)
    if "remote_subnets" in fields:
        _set_remote(tunnel, target.remote_subnets)
    _set_translations(tunnel, target, fields)
    if fields:
        note_edits(tunnel, fields, author)
    return changes


def _column_value(value: object) -> object:
    return str(value) if isinstance(value, IPv4Address | Starts) else value


def _set_hosted(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    rows = Subnet.objects.offered_to(tunnel).filter(network__in=list(networks))
    lock_subnets(rows)
    tunnel.subnets.remove(*tunnel.subnets.filter(kind__in=ATTACHABLE).exclude(pk__in=rows))
    tunnel.subnets.add(*rows)


def _set_remote(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    target, customer = set(networks), Subnet.Kind.CUSTOMER
    for row in tunnel.subnets.filter(kind=customer):
        if row.network not in target:
            detach(tunnel, row)
    for network in target:
        tunnel.subnets.add(customer_subnet(tunnel.account_id, network))


def _set_translations(tunnel: Tunnel, target: TunnelSpec, fields: Iterable[str]) -> None:
    rows = {str(row.internal): row for row in target.translations}
    changed = [at for field in fields if (at := translation_address(field)) is not None]
    deleted, _ = tunnel.translations.filter(internal_address__in=changed).delete()
    new_rows = [rows[at] for at in changed if at in rows]
    if len(new_rows) > deleted:
        refuse_over_quota(tunnel.account_id, Quota.TRANSLATIONS, len(new_rows))
    AddressTranslation.objects.bulk_create(
        [
            unsaved_translation(tunnel, TranslationRow(row.internal, row.customer, row.name))
            for row in new_rows
        ]
    )
