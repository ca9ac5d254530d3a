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
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.domain.tunnel.spec_diff import diff_specs
from vpnportal.encryption import CannotOpen
from vpnportal.models import (
    Account,
    Concentrator,
    DriftRepair,
    Event,
    HeldTunnel,
    Revision,
    Subnet,
    Tunnel,
    record_event,
)
from vpnportal.models.row_locks import (
    lock_account,
    lock_concentrator,
    lock_concentrators,
    lock_revisions,
    lock_tunnel,
)
from vpnportal.services.errors import Refused
from vpnportal.services.gateway_revisions import adopt, insert_tunnel

log = logging.getLogger(__name__)

Kind = HeldTunnel.Kind
Outcome = Revision.Outcome
DECIDED = "This tunnel is not held any more."
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
    for row in rows:
        row.kind = row.kind_beside(tunnels.get(row.tunnel_id))
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
        record_event(Event.Action.GATEWAY_FORGOTTEN, concentrator=concentrator)


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
        _record(Event.Action.HELD_TUNNEL_KEPT, rows[0], tunnel, author)
        return
    if tunnel is None:
        if owner is None:
            raise Refused(Problem("account", NO_ACCOUNT))
        tunnel = insert_tunnel(kept, owner)
    elif kept.kind_beside(tunnel) == Kind.UNKNOWN:
        raise Refused(Problem("", NUMBER_TAKEN))
    number = adopt(kept, tunnel, author)
    _record(Event.Action.HELD_TUNNEL_KEPT, kept, tunnel, author, number)
    kept.delete()
    text = f"Kept the gateway's settings after a restore, as revision {number}"
    _end([row for row in rows if row is not kept], text, tunnel_id, author, kept.concentrator)


def _take(tunnel_id: int, author: User | None, account: Account | None) -> None:
    tunnel, rows = _lock(tunnel_id, None)
    if tunnel and not tunnel.cancelled_at:
        _refuse_shared(tunnel)
    _record(Event.Action.HELD_TUNNEL_REPLACED, rows[0], tunnel, author)
    _end(rows, "Took the backup's settings after a restore", tunnel_id, author)


def _record(
    action: Event.Action,
    row: HeldTunnel,
    tunnel: Tunnel | None,
    author: User | None,
    revision: int | None = None,
) -> None:
    record_event(
        action,
        actor=author,
        tunnel=tunnel,
        concentrator=row.concentrator,
        subject=str(row),
        after={"revision": revision} if revision else {},
    )


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
