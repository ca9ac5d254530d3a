"""Held tunnels: their differences from a restored backup, and the operators' choice between both.

A choice is for a tunnel on all gateways: one that moved after the backup may be held on two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from vpnportal import tasks
from vpnportal.domain.tunnel.spec import Problem, TunnelSpec
from vpnportal.domain.tunnel.spec_diff import diff_specs
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.gateway.steps import Step
from vpnportal.models import (
    Account,
    Concentrator,
    DriftRepair,
    HeldTunnel,
    RemoteClaim,
    Revision,
    Subnet,
    Tunnel,
    TunnelMark,
)
from vpnportal.models.row_locks import (
    lock_account,
    lock_concentrator,
    lock_concentrators,
    lock_revisions,
    lock_tunnel,
)
from vpnportal.reconciler.step_log import log_entry
from vpnportal.services.address_release import start_release
from vpnportal.services.draft_digests import update_digest
from vpnportal.services.errors import Refused
from vpnportal.services.orders import next_name
from vpnportal.services.restore_draft import replace_draft
from vpnportal.services.tunnel_conflicts import conflicts

log = logging.getLogger(__name__)

Kind = HeldTunnel.Kind
Outcome = Revision.Outcome
DECIDED = "This tunnel is not held any more."
UNREADABLE = (
    "The file of this tunnel on the gateway cannot be decrypted. Take the backup's settings, or "
    "bring the keys that the gateway used."
)
NO_ACCOUNT = (
    "Its account is not in the backup. Create the account, and run `vpnportal held keep` with "
    "--account and its name."
)
NUMBER_TAKEN = (
    "Its number belongs to another tunnel now. Take the backup's, and order the tunnel again."
)


@dataclass(frozen=True, slots=True)
class HeldSummary:
    """A held tunnel for operators.

    `account` is "" if it is not in the backup. `backup` and `gateway` are the sides in words.
    `differs_in` are labels of fields, without their values.
    """

    held: HeldTunnel
    account: str
    backup: str
    gateway: str
    differs_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The result of a choice for one tunnel. `problem` says why it was refused, or is ""."""

    tunnel: str
    problem: str


@dataclass(frozen=True, slots=True)
class RestoreStatus:
    """The progress after a restore: the time of the backup, and the numbers of gateways.

    `restored_from` is None if another program restored the database.
    """

    restored_from: datetime | None
    compared: int
    total: int


def restore_status() -> RestoreStatus | None:
    """Return the progress of the comparison while gateways or tunnels wait, or None."""
    uncompared = Concentrator.objects.uncompared().count()
    if not uncompared and not HeldTunnel.objects.undecided().exists():
        return None
    restored_from = Concentrator.objects.aggregate(at=Max("restored_from"))["at"]
    total = Concentrator.objects.count()
    return RestoreStatus(restored_from, total - uncompared, total)


def held_tunnels() -> list[HeldSummary]:
    """Return the tunnels that wait for a choice."""
    rows = list(HeldTunnel.objects.undecided().select_related("concentrator"))
    tunnel_ids = [row.tunnel_id for row in rows]
    tunnels = Tunnel.objects.filter(pk__in=tunnel_ids).select_related("account").in_bulk()
    accounts = Account.objects.in_bulk([row.account_id for row in rows if row.account_id])
    revisions = Revision.objects.live_or_applying().filter(tunnel__in=tunnel_ids)
    newest: dict[int, Revision] = {}
    for revision in revisions.select_related("concentrator").order_by("-number"):
        newest.setdefault(revision.tunnel_id, revision)
    return [
        _summary(
            row,
            tunnels.get(row.tunnel_id),
            accounts.get(row.account_id or 0),
            newest.get(row.tunnel_id),
        )
        for row in rows
    ]


def keep_gateways(
    tunnel_ids: Iterable[int], author: User | None, account: Account | None = None
) -> list[Choice]:
    """Write into the database what the gateways run of these tunnels, which changes no gateway.

    `account` gets the tunnels whose account is not in the backup.
    """
    return _choose(_keep, tunnel_ids, author, account)


def take_backups(tunnel_ids: Iterable[int], author: User | None) -> list[Choice]:
    """Let the gateways change these tunnels to the state of the database."""
    return _choose(_take, tunnel_ids, author, None)


def forget_gateway(concentrator: Concentrator) -> None:
    """Stop waiting for a gateway that is gone for ever: orders and applies are allowed there.

    If it comes back, it is compared before its worker changes anything.
    """
    with transaction.atomic():
        lock_concentrator(concentrator.pk)
        concentrator.held_tunnels.all().delete()
        Concentrator.objects.filter(pk=concentrator.pk).update(compared_epoch=F("epoch"))


def _summary(
    row: HeldTunnel, tunnel: Tunnel | None, account: Account | None, revision: Revision | None
) -> HeldSummary:
    if row.is_removed:
        gateway = "nothing: it was removed"
    else:
        gateway = f"revision {row.number}" if row.specification else "unreadable settings"
    if revision is None or tunnel is None or row.kind == Kind.UNKNOWN:
        backup = "nothing"
    else:
        backup = f"revision {revision.number} of {revision.created_at:%Y-%m-%d %H:%M} UTC"
        if revision.concentrator_id != row.concentrator_id:
            backup += f" at {revision.concentrator}"
        if tunnel.disconnected_at:
            backup += ", disconnected"
    if tunnel is not None and row.kind != Kind.UNKNOWN:
        account = tunnel.account
    return HeldSummary(
        row, account.name if account else "", backup, gateway, _labels(row, revision)
    )


def _labels(row: HeldTunnel, revision: Revision | None) -> tuple[str, ...]:
    """Return the labels of the fields that differ."""
    if row.kind != Kind.CHANGED or revision is None or not row.specification:
        return ("everything",)
    try:
        changes = diff_specs(revision.spec(), row.spec())
    except CannotOpen:
        return ("unreadable settings",)
    return tuple(dict.fromkeys(change.label for change in changes))


def _choose(
    choice: Callable[[int, User | None, Account | None], None],
    tunnel_ids: Iterable[int],
    author: User | None,
    account: Account | None,
) -> list[Choice]:
    """Make a choice for each tunnel by itself, then let the gateways follow once."""
    wanted = list(tunnel_ids)
    gateways = list(Concentrator.objects.filter(held_tunnels__tunnel_id__in=wanted).distinct())
    choices = []
    for tunnel_id in wanted:
        row = HeldTunnel.objects.filter(tunnel_id=tunnel_id).first()
        problem = ""
        try:
            with transaction.atomic():
                choice(tunnel_id, author, account)
        except Refused as refused:
            problem = str(refused)
        choices.append(Choice(str(row) if row else f"tunnel {tunnel_id}", problem))
    for concentrator in gateways:
        tasks.request_converge(concentrator)
    return choices


def _lock(tunnel_id: int, account_id: int | None) -> tuple[Tunnel | None, list[HeldTunnel]]:
    """Return the locked tunnel, if the database has it, and its rows that wait for a choice.

    All concentrators are locked. Raises Refused without a row: another operator chose.
    """
    tunnel = Tunnel.objects.filter(pk=tunnel_id).first()
    owner = tunnel.account_id if tunnel else account_id
    if owner is not None:
        lock_account(owner)
    tunnel = lock_tunnel(tunnel_id) if tunnel else None
    lock_concentrators()
    held = HeldTunnel.objects.undecided().filter(tunnel_id=tunnel_id).order_by("-number")
    rows = list(held.select_related("concentrator"))
    if not rows:
        raise Refused(Problem("", DECIDED))
    return tunnel, rows


def _keep(tunnel_id: int, author: User | None, account: Account | None) -> None:
    row = HeldTunnel.objects.undecided().filter(tunnel_id=tunnel_id).first()
    own = Account.objects.filter(pk=row.account_id).first() if row and row.account_id else None
    owner = own or account
    tunnel, rows = _lock(tunnel_id, owner.pk if owner else None)
    kept = next((row for row in rows if not row.is_removed), None)
    if kept is None:
        _keep_removed(tunnel_id, author)
        _end(rows, "Kept removed after a restore", tunnel_id, author)
        return
    if tunnel is None:
        if owner is None:
            raise Refused(Problem("account", NO_ACCOUNT))
        tunnel = _insert(kept, owner)
    elif kept.kind == Kind.UNKNOWN:
        raise Refused(Problem("", NUMBER_TAKEN))
    number = _adopt(kept, tunnel, author)
    kept.delete()
    text = f"Kept the gateway's settings after a restore, as revision {number}"
    _end([row for row in rows if row is not kept], text, tunnel_id, author, kept.concentrator)


def _take(tunnel_id: int, author: User | None, account: Account | None) -> None:
    tunnel, rows = _lock(tunnel_id, None)
    if tunnel and not tunnel.cancelled_at:
        _refuse_shared(tunnel)
    _end(rows, "Took the backup's settings after a restore", tunnel_id, author)


def _end(
    rows: Collection[HeldTunnel],
    text: str,
    tunnel_id: int,
    author: User | None,
    kept_at: Concentrator | None = None,
) -> None:
    """Let gateways follow the database, and record the choice.

    The addresses that a gateway uses stay reserved until a full converge has removed the tunnel.
    """
    now = timezone.now()
    for row in rows:
        if row.is_removed:
            row.delete()
        else:
            HeldTunnel.objects.filter(pk=row.pk).update(ended_at=now)
    # Customers see the text, and not who of the operators chose.
    log.warning("%s: tunnel %s, by %s", text, tunnel_id, author or "the command held")
    concentrators = {row.concentrator for row in rows} | ({kept_at} if kept_at else set())
    present = Tunnel.objects.filter(pk=tunnel_id).exists()
    name = next((str(row) for row in rows), "")
    DriftRepair.objects.bulk_create(
        DriftRepair(
            concentrator=concentrator,
            tunnel_id=tunnel_id if present else None,
            text=text if present else f"{name}: {text}",
        )
        for concentrator in concentrators
    )


def _keep_removed(tunnel_id: int, author: User | None) -> None:
    """Disconnect the tunnel: a gateway does not tell this from a deletion or a move."""
    lock_revisions(Revision.objects.holding().filter(tunnel=tunnel_id))
    unfinished = Revision.objects.filter(tunnel=tunnel_id, outcome__in=Revision.UNFINISHED)
    unfinished.update(outcome=Outcome.REPLACED)
    columns = {"disconnected_at": timezone.now(), "disconnected_by": author}
    Tunnel.objects.filter(pk=tunnel_id).update(**columns)


def _insert(row: HeldTunnel, account: Account) -> Tunnel:
    """Create the tunnel of a gateway under its number, without subnets and settings.

    It gets another name if an order at another gateway got its name since.
    """
    _refuse_taken_peer(row)
    is_free = row.name and not Tunnel.objects.filter(name=row.name).exists()
    # No lock: no other transaction sees it.
    return Tunnel.objects.create(
        pk=row.tunnel_id,
        account=account,
        concentrator=row.concentrator,
        name=row.name if is_free else next_name(),
        hosted_peer=row.hosted_peer or "",
        ordered_at=timezone.now(),
    )


def _adopt(row: HeldTunnel, tunnel: Tunnel, author: User | None) -> int:
    """Make the gateway's revision the live one and the draft; return its number.

    Raises Refused if the database needs its addresses, its mark or its networks for others.
    """
    try:
        spec = row.spec()
    except (CannotOpen, ValueError):
        raise Refused(Problem("", UNREADABLE)) from None
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
    update_digest(fresh.pk)
    return revision.number


def _revision(row: HeldTunnel, tunnel: Tunnel, spec: TunnelSpec, author: User | None) -> Revision:
    """Save the gateway's revision as live, with its number if the database does not have that."""
    revision = Revision.next_for(tunnel, spec, author)
    if row.number > revision.number:
        revision.number = row.number
        text = row.specification.open(Revision.context(tunnel.pk, row.number))
        revision.specification = Sealed.of(text, Revision.context(tunnel.pk, row.number))
    revision.outcome, revision.finished_at = Outcome.LIVE, timezone.now()
    revision.first_rekey = Revision.Rekeyed.NOT_NEEDED
    step = f"Kept from {row.concentrator}, which ran it as revision {row.number} at the restore"
    revision.steps = [log_entry(Step("", step))]
    revision.save()
    return revision


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


def _refuse_shared(tunnel: Tunnel) -> None:
    """Refuse to load a tunnel whose addresses or mark a gateway uses for another held tunnel."""
    networks = {str(network) for network in tunnel.networks(Subnet.Kind.STATIC_NAT)}
    for row in HeldTunnel.objects.exclude(tunnel_id=tunnel.pk).exclude(kind=Kind.REMOVED):
        is_mark = row.concentrator_id == tunnel.concentrator_id and row.mark == tunnel.mark != 0
        is_peer = row.hosted_peer == tunnel.hosted_peer
        if is_mark or is_peer or networks & set(row.static_nat):
            raise Refused(
                Problem(
                    "",
                    f"{row} at {row.concentrator} uses its addresses or its mark. Take the "
                    f"backup's for {row}, and try again when the gateway has removed it.",
                )
            )


def _delete_first() -> str:
    return "Keep that tunnel removed and delete it first, or take the backup's for this one."
