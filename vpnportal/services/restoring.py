"""Discard, restore and undo: the draft becomes another one, all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import F, Max

from vpnportal.domain.changes import Change, changes, taken
from vpnportal.domain.frozen import freeze
from vpnportal.domain.spec import Problem, TunnelSpec
from vpnportal.fields import Sealed
from vpnportal.models import Revision, SetAside, Tunnel
from vpnportal.seal import CannotOpen
from vpnportal.services.becoming import become, possible
from vpnportal.services.edits import UNKNOWN, Seen, newest_edit, require_latest
from vpnportal.services.refusal import Refused, unlocked

NOTHING_APPLIED = "Nothing of this tunnel was applied yet: there is nothing to go back to."
NOTHING_TO_UNDO = "This tunnel was edited since: there is nothing to undo any more."


@dataclass(frozen=True, slots=True)
class Replaced:
    """What changed in the draft, and what could not come back, each in a sentence."""

    changes: tuple[Change, ...]
    left_out: tuple[str, ...]


def discard(tunnel: Tunnel, author: User, seen: Seen = UNKNOWN) -> Replaced:
    """Make the draft what is applied again; `undo` brings back what it was until the next edit.

    `seen` is the version of the draft that the author looked at: Overtaken if somebody else
    edited it since. What the provider assigned (the Hosted Peer Address, static NAT subnets), and
    what is no part of a revision (the Tunnel Name), stays.
    """
    with unlocked(tunnel) as fresh:
        require_latest(fresh, author, seen)
        return _replace(fresh, _applied(fresh), author, "discarded the changes")


def put_back(tunnel: Tunnel, field: str, author: User, seen: Seen = UNKNOWN) -> Replaced:
    """Discard one change, named as `Change` names its field; one that is none changes nothing."""
    with unlocked(tunnel) as fresh:
        require_latest(fresh, author, seen, [field])
        applied, draft = _applied(fresh), fresh.draft()
        if field not in {change.field for change in changes(applied, draft)}:
            return Replaced((), ())
        return _replace(fresh, taken(draft, applied, field), author, "put one change back")


def restore(tunnel: Tunnel, revision: Revision, author: User, seen: Seen = UNKNOWN) -> Replaced:
    """Make the draft what a revision of this tunnel was; nothing is applied by that.

    Subnets that are no longer the account's, and translations in what is no longer assigned, are
    left out and named.
    """
    if revision.tunnel_id != tunnel.pk:
        raise ValueError(f"{revision} is not of {tunnel}")
    with unlocked(tunnel) as fresh:
        require_latest(fresh, author, seen)
        return _replace(fresh, _opened(revision), author, f"restored revision {revision.number}")


def would_restore(tunnel: Tunnel, revision: Revision) -> Replaced:
    """What `restore` would change and leave out."""
    target, left_out = possible(tunnel, _opened(revision))
    return Replaced(changes(tunnel.draft(), target), left_out)


def undo(tunnel: Tunnel, author: User) -> Replaced:
    """Bring back the draft that was discarded or restored over; Refused after another edit."""
    with unlocked(tunnel) as fresh:
        aside = undoable(fresh)
        if aside is None:
            raise Refused(Problem("", NOTHING_TO_UNDO))
        target, left_out = possible(fresh, aside.spec())
        aside.delete()
        return Replaced(become(fresh, target, author), left_out)


def undoable(tunnel: Tunnel) -> SetAside | None:
    """The draft that `undo` would bring back."""
    newest = Max("tunnel__last_edits__at")
    asides = SetAside.objects.filter(tunnel=tunnel).annotate(newest=newest)
    return asides.filter(at=F("newest")).select_related("author").first()


def _applied(tunnel: Tunnel) -> TunnelSpec:
    standing = tunnel.revisions.standing().order_by("-number").first()
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
    target, left_out = possible(tunnel, spec)
    found = become(tunnel, target, author)
    if found:
        sealed = Sealed.of(freeze(before), SetAside.context(tunnel.pk))
        kept = {"specification": sealed, "what": what, "author": author, "at": newest_edit(tunnel)}
        SetAside.objects.update_or_create(tunnel=tunnel, defaults=kept)
    return Replaced(found, left_out)
