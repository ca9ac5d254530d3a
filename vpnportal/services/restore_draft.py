"""A draft becomes a specification: what of it the account still has, and only what differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User
from django.db.models import F, Max

from vpnportal.domain.addresses import inside
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.domain.tunnel.spec import (
    Problem,
    Starts,
    TunnelSpec,
    translation_address,
)
from vpnportal.domain.tunnel.spec_diff import Change, diff_specs, value_of, with_field_from
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.models import AddressTranslation, DraftBackup, Revision, Subnet, Tunnel
from vpnportal.services.drafts import EDITABLE
from vpnportal.services.edit_conflicts import (
    KEY,
    VERSION_UNKNOWN,
    SeenVersion,
    check_draft_version,
    newest_edit,
    note_edits,
)
from vpnportal.services.errors import Refused
from vpnportal.services.remote_subnets import detach
from vpnportal.services.translations import TranslationRow, record
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

HERE = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)


def restrict_to_available(tunnel: Tunnel, spec: TunnelSpec) -> tuple[TunnelSpec, tuple[str, ...]]:
    """As much of a specification as this draft may have, and what it may not, in sentences."""
    own = Subnet.objects.offered_to(tunnel).filter(network__in=spec.hosted_subnets)
    there = {row.network for row in own}
    assigned = tunnel.networks(Subnet.Kind.STATIC_NAT)
    hosted = tuple(one for one in spec.hosted_subnets if one in there)
    rows = tuple(row for row in spec.translations if inside(row.internal, assigned))
    target = replace(
        spec,
        hosted_peer=IPv4Address(tunnel.hosted_peer),
        hosted_subnets=hosted,
        static_nat_subnets=assigned,
        translations=rows,
    )
    left_out = [
        f"{one} is no subnet of this account any more"
        for one in spec.hosted_subnets
        if one not in there
    ]
    left_out += [
        f"{row.internal} is in no static NAT subnet of this tunnel any more"
        for row in spec.translations
        if row not in rows
    ]
    return target, tuple(left_out)


def write_spec_to_draft(tunnel: Tunnel, target: TunnelSpec, author: User) -> tuple[Change, ...]:
    """Write what differs, and that it was edited."""
    found = diff_specs(tunnel.draft(), target)
    fields = {change.field for change in found}
    columns = {name: _column(value_of(target, name)) for name in fields & EDITABLE}
    if KEY in fields:
        columns[KEY] = Sealed.of(target.preshared_key, tunnel.preshared_key_context)
    if columns:
        Tunnel.objects.filter(pk=tunnel.pk).update(**columns)
    if "hosted_subnets" in fields:
        _set_hosted(tunnel, target.hosted_subnets)
    if "remote_subnets" in fields:
        _set_remote(tunnel, target.remote_subnets)
    _set_translations(tunnel, target, fields)
    if fields:
        note_edits(tunnel, fields, author)
    return found


def _column(value: object) -> object:
    return str(value) if isinstance(value, IPv4Address | Starts) else value


def _set_hosted(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    wanted = Subnet.objects.offered_to(tunnel).filter(network__in=list(networks))
    tunnel.subnets.remove(*tunnel.subnets.filter(kind__in=HERE).exclude(pk__in=wanted))
    tunnel.subnets.add(*wanted)


def _set_remote(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    wanted, customer = set(networks), Subnet.Kind.CUSTOMER
    for row in tunnel.subnets.filter(kind=customer):
        if row.network not in wanted:
            detach(tunnel, row)
    for network in wanted:
        row, _ = tunnel.account.subnets.get_or_create(kind=customer, network=network)
        tunnel.subnets.add(row)


def _set_translations(tunnel: Tunnel, target: TunnelSpec, fields: Iterable[str]) -> None:
    wanted = {str(row.internal): row for row in target.translations}
    changed = [at for field in fields if (at := translation_address(field)) is not None]
    tunnel.translations.filter(internal_address__in=changed).delete()
    rows = (wanted[at] for at in changed if at in wanted)
    AddressTranslation.objects.bulk_create(
        [record(tunnel, TranslationRow(row.internal, row.customer, row.name)) for row in rows]
    )


NOTHING_APPLIED = "Nothing of this tunnel was applied yet: there is nothing to go back to."
NOTHING_TO_UNDO = "This tunnel was edited since: there is nothing to undo any more."


@dataclass(frozen=True, slots=True)
class Replaced:
    """What changed in the draft, and what could not come back, each in a sentence."""

    changes: tuple[Change, ...]
    left_out: tuple[str, ...]


def discard(tunnel: Tunnel, author: User, seen: SeenVersion = VERSION_UNKNOWN) -> Replaced:
    """Make the draft what is applied again; `undo` brings back what it was until the next edit.

    `seen` is the version of the draft that the author looked at: Overtaken if somebody else
    edited it since. What the provider assigned (the Hosted Peer Address, static NAT subnets), and
    what is no part of a revision (the Tunnel Name), stays.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        check_draft_version(fresh, author, seen)
        return _replace(fresh, _applied(fresh), author, "discarded the changes")


def revert_field(
    tunnel: Tunnel, field: str, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> Replaced:
    """Discard one change, named as `Change` names its field; one that is none changes nothing."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        check_draft_version(fresh, author, seen, [field])
        applied, draft = _applied(fresh), fresh.draft()
        if field not in {change.field for change in diff_specs(applied, draft)}:
            return Replaced((), ())
        return _replace(
            fresh, with_field_from(draft, applied, field), author, "put one change back"
        )


def restore(
    tunnel: Tunnel, revision: Revision, author: User, seen: SeenVersion = VERSION_UNKNOWN
) -> Replaced:
    """Make the draft what a revision of this tunnel was; nothing is applied by that.

    Subnets that are no longer the account's, and translations in what is no longer assigned, are
    left out and named.
    """
    if revision.tunnel_id != tunnel.pk:
        raise ValueError(f"{revision} is not of {tunnel}")
    with lock_tunnel_for_edit(tunnel) as fresh:
        check_draft_version(fresh, author, seen)
        return _replace(fresh, _opened(revision), author, f"restored revision {revision.number}")


def would_restore(tunnel: Tunnel, revision: Revision) -> Replaced:
    """What `restore` would change and leave out."""
    target, left_out = restrict_to_available(tunnel, _opened(revision))
    return Replaced(diff_specs(tunnel.draft(), target), left_out)


def undo(tunnel: Tunnel, author: User) -> Replaced:
    """Bring back the draft that was discarded or restored over; Refused after another edit."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        aside = undoable(fresh)
        if aside is None:
            raise Refused(Problem("", NOTHING_TO_UNDO))
        target, left_out = restrict_to_available(fresh, aside.spec())
        aside.delete()
        return Replaced(write_spec_to_draft(fresh, target, author), left_out)


def undoable(tunnel: Tunnel) -> DraftBackup | None:
    """The draft that `undo` would bring back."""
    newest = Max("tunnel__last_edits__at")
    asides = DraftBackup.objects.filter(tunnel=tunnel).annotate(newest=newest)
    return asides.filter(at=F("newest")).select_related("author").first()


def _applied(tunnel: Tunnel) -> TunnelSpec:
    standing = tunnel.revisions.live_or_applying().order_by("-number").first()
    if standing is None:
        raise Refused(Problem("", NOTHING_APPLIED))
    return _opened(standing)


def _opened(revision: Revision) -> TunnelSpec:
    try:
        return revision.spec()
    except CannotOpen:
        text = f"Revision {revision.number} cannot be opened any more: nothing was changed."
        raise Refused(Problem("", text)) from None


def _replace(tunnel: Tunnel, spec: TunnelSpec, author: User, what: str) -> Replaced:
    """The draft becomes this as far as it can, and what it was is set aside."""
    before = tunnel.draft()
    target, left_out = restrict_to_available(tunnel, spec)
    found = write_spec_to_draft(tunnel, target, author)
    if found:
        sealed = Sealed.of(serialize(before), DraftBackup.context(tunnel.pk))
        kept = {"specification": sealed, "what": what, "author": author, "at": newest_edit(tunnel)}
        DraftBackup.objects.update_or_create(tunnel=tunnel, defaults=kept)
    return Replaced(found, left_out)
