"""Revisions of a gateway that a restored database lacks: they become live revisions again."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.encryption import CannotOpen
from vpnportal.gateway.steps import Step
from vpnportal.models import (
    Account,
    HeldTunnel,
    KeyRotation,
    RemoteClaim,
    Revision,
    Subnet,
    Tunnel,
    TunnelMark,
)
from vpnportal.models.row_locks import lock_revisions
from vpnportal.reconciler.step_log import log_entry
from vpnportal.services.address_release import start_release
from vpnportal.services.draft_digests import update_digest
from vpnportal.services.errors import Refused
from vpnportal.services.orders import next_name
from vpnportal.services.restore_draft import replace_draft
from vpnportal.services.tunnel_conflicts import conflicts

Outcome = Revision.Outcome
UNREADABLE = (
    "The file of this tunnel on the gateway cannot be decrypted. Take the backup's settings, or "
    "bring the keys that the gateway used."
)


def insert_tunnel(row: HeldTunnel, account: Account) -> Tunnel:
    """Create the tunnel of a gateway under its number, without subnets and settings.

    It gets another name if an order at another gateway got its name since. Raises Refused as
    `adopt` does.
    """
    spec = _spec_of(row)
    _refuse_taken_peer(row)
    is_free = row.name and not Tunnel.objects.filter(name=row.name).exists()
    # No lock: no other transaction sees it.
    return Tunnel.objects.create(
        pk=row.tunnel_id,
        account=account,
        concentrator=row.concentrator,
        name=row.name if is_free else next_name(),
        hosted_peer=str(spec.hosted_peer),
        ordered_at=timezone.now(),
    )


def adopt(row: HeldTunnel, tunnel: Tunnel, author: User | None) -> int:
    """Make the gateway's revision the live one and the draft; return its number.

    Raises Refused if the database needs its addresses, its mark or its networks for others.
    """
    spec = _spec_of(row)
    _refuse_taken_peer(row)
    if tunnel.concentrator_id != row.concentrator_id:
        tunnel.releases.open().filter(concentrator=row.concentrator).delete()
        start_release(tunnel, author)
    Tunnel.objects.filter(pk=tunnel.pk).update(
        concentrator=row.concentrator,
        hosted_peer=str(spec.hosted_peer),
        mark=row.mark,
        disconnected_at=None,
        disconnected_by=None,
        claims_until=None,
    )
    _claim_mark(row, tunnel)
    _attach_static_nat(tunnel, spec)
    fresh = Tunnel.objects.select_related("concentrator").get(pk=tunnel.pk)
    replace_draft(fresh, spec, author, "kept the gateway's settings")
    if problems := tuple(conflicts(fresh, spec)):
        raise Refused(*problems)
    lock_revisions(fresh.revisions.holding())
    fresh.revisions.holding().update(outcome=Outcome.REPLACED, trial_ends_at=None)
    revision = _revision(row, fresh, spec, author)
    RemoteClaim.objects.reserve(revision, spec)
    if spec.next_key:
        # The backup may be from before the rotation. An owner ends it.
        KeyRotation.objects.get_or_create(tunnel=fresh, defaults={"ends_at": timezone.now()})
    update_digest(fresh.pk)
    return revision.number


def _revision(row: HeldTunnel, tunnel: Tunnel, spec: TunnelSpec, author: User | None) -> Revision:
    """Save the gateway's revision as live, with its number if the database does not have that."""
    revision = Revision.next_for(tunnel, spec, author, at_least=row.number)
    revision.outcome, revision.finished_at = Outcome.LIVE, timezone.now()
    revision.first_rekey = Revision.Rekeyed.NOT_NEEDED
    step = f"Kept from {row.concentrator}, which ran it as revision {row.number} at the restore"
    revision.steps = [log_entry(Step("", step))]
    revision.save()
    return revision


def _spec_of(row: HeldTunnel) -> TunnelSpec:
    try:
        return row.spec()
    except (CannotOpen, ValueError):
        raise Refused(Problem("", UNREADABLE)) from None


def _claim_mark(row: HeldTunnel, tunnel: Tunnel) -> None:
    marks = TunnelMark.objects.filter(concentrator=row.concentrator)
    same = marks.filter(number=row.mark).select_related("tunnel").first()
    if same and same.released_at is None and same.tunnel_id != tunnel.pk:
        raise Refused(Problem("", f"{same.tunnel} has its mark {row.mark}. {_delete_first()}"))
    live = marks.live().filter(tunnel=tunnel).exclude(number=row.mark)
    live.update(released_at=timezone.now())
    if row.mark:
        marks.update_or_create(
            number=row.mark,
            defaults={"tunnel": tunnel, "released_at": None, "concentrator": row.concentrator},
        )


def _attach_static_nat(tunnel: Tunnel, spec: TunnelSpec) -> None:
    kind = Subnet.Kind.STATIC_NAT
    for network in spec.static_nat_subnets:
        others = Subnet.objects.filter(network=network, kind__in=(kind, Subnet.Kind.HOSTED))
        if others.exclude(account=tunnel.account, kind=kind).exists():
            text = f"{network} belongs to another account. {_delete_first()}"
            raise Refused(Problem("static_nat_subnets", text))
        subnet, _ = Subnet.objects.get_or_create(account=tunnel.account, kind=kind, network=network)
        if subnet.tunnels.exclude(pk=tunnel.pk).exists():
            text = f"{network} belongs to another tunnel. {_delete_first()}"
            raise Refused(Problem("static_nat_subnets", text))
        tunnel.subnets.add(subnet)


def _refuse_taken_peer(row: HeldTunnel) -> None:
    same = Tunnel.objects.present().filter(hosted_peer=row.hosted_peer).exclude(pk=row.tunnel_id)
    if other := same.first():
        text = f"{other.name} has its hosted peer address {row.hosted_peer}. {_delete_first()}"
        raise Refused(Problem("hosted_peer", text))


def _delete_first() -> str:
    return "Keep that tunnel removed and delete it first, or take the backup's for this one."
