"""Order and deletion of tunnels, with name, hosted peer address and static NAT subnet."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import (
    Account,
    Concentrator,
    Datacenter,
    Event,
    HeldTunnel,
    Revision,
    Subnet,
    Tunnel,
    record_event,
)
from vpnportal.models.row_locks import lock_account, lock_concentrators, lock_revisions
from vpnportal.services.address_allocation import (
    AllocatedAddresses,
    free_hosted_peer,
    free_static_nat,
)
from vpnportal.services.address_release import request_removal, start_release
from vpnportal.services.errors import Refused
from vpnportal.services.quotas import deletion_refusal, order_refusal
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_while_held
from vpnportal.services.tunnel_marks import ensure_mark

# Attempts of one order, when writers without the allocation lock win the race.
MAX_ATTEMPTS = 5
# PostgreSQL's serialization failure and deadlock: the transaction may be repeated.
RETRYABLE_SQLSTATES = ("40001", "40P01")
NAME = re.compile(r"ipsec([0-9]+)")
NOT_COMPARED = (
    "takes no orders until its gateways were compared with the backup from which the portal was "
    "restored. Try again in some minutes, or choose another location."
)
OPERATORS = "Ask the operators of the service for more, or choose another location."


@dataclass(frozen=True, slots=True)
class Location:
    """A data center. `missing` says why it accepts no order now, or is ""."""

    datacenter: Datacenter
    missing: str

    @property
    def free(self) -> bool:
        """True if the data center accepts an order."""
        return not self.missing


def locations() -> list[Location]:
    """Return all data centers, sorted by long name, each with the reason if it accepts no order."""
    allocated = AllocatedAddresses.now()
    datacenters = Datacenter.objects.order_by("long_name").prefetch_related("concentrators")
    return [
        Location(datacenter, _missing(datacenter, datacenter.concentrators.all(), allocated))
        for datacenter in datacenters
    ]


def order(
    account: Account, datacenter: Datacenter, author: User, key: UUID | None = None
) -> Tunnel:
    """Create a tunnel with default settings and a new name, without a revision.

    A second order of the author with the same key returns the tunnel of the first order. Raises
    Refused if no address or subnet is free, or if a quota of the account is reached.
    """
    for attempts_left in reversed(range(MAX_ATTEMPTS)):
        try:
            with transaction.atomic():
                lock_account(account.pk)
                lock_concentrators()
                if key and (ordered := Tunnel.objects.filter(ordered_by=author, order_key=key)):
                    return ordered.get()
                if text := order_refusal(account.pk):
                    raise Refused(Problem("account", text))
                return _create(account, datacenter, author, key)
        except DatabaseError as error:
            if not attempts_left or not _is_retryable(error):
                raise
    raise AssertionError("the last attempt returns or raises")


def cancel(tunnel: Tunnel, author: User) -> None:
    """Delete the tunnel: remove it from its concentrators, then free its addresses.

    The row stays, with the name and the revisions. `TunnelState.releasing_from` names the
    concentrators that may still hold the tunnel. Raises Refused beyond the deletions of an hour.
    """
    with lock_tunnel_for_edit(tunnel, with_account=True, during_import=True) as fresh:
        refuse_while_held(fresh)
        if text := deletion_refusal(fresh.account_id):
            raise Refused(Problem("", text))
        lock_concentrators()
        now = timezone.now()
        Tunnel.objects.filter(pk=fresh.pk).update(cancelled_at=now)
        fresh.cancelled_at = now
        start_release(fresh, author)
        lock_revisions(fresh.revisions.holding())
        fresh.revisions.holding().update(
            outcome=Revision.Outcome.WITHDRAWN,
            reason="The tunnel was deleted.",
            finished_at=Coalesce(F("finished_at"), now),
            trial_ends_at=None,
        )
        record_event(Event.Action.TUNNEL_CANCELLED, actor=author, tunnel=fresh)
        request_removal(fresh)
    tunnel.cancelled_at = now


def _is_retryable(error: DatabaseError) -> bool:
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return isinstance(error, IntegrityError) or sqlstate in RETRYABLE_SQLSTATES


def _create(account: Account, datacenter: Datacenter, author: User, key: UUID | None) -> Tunnel:
    concentrators, allocated = _least_used_first(datacenter), AllocatedAddresses.now()
    for concentrator in concentrators:
        hosted_peer = free_hosted_peer(concentrator, allocated)
        block = free_static_nat(concentrator, allocated)
        if hosted_peer is None or block is None or not allocated.has_mark(concentrator):
            continue
        if not concentrator.is_compared:
            continue
        tunnel = Tunnel.objects.create(
            account=account,
            concentrator=concentrator,
            name=next_name(),
            hosted_peer=str(hosted_peer),
            translated_only=settings.TRANSLATED_ONLY_DEFAULT and not concentrator.userland_esp,
            ordered_at=timezone.now(),
            ordered_by=author,
            order_key=key,
        )
        ensure_mark(tunnel)
        kind = Subnet.Kind.STATIC_NAT
        tunnel.subnets.add(Subnet.objects.create(account=account, kind=kind, network=block))
        record_event(
            Event.Action.TUNNEL_ORDERED,
            actor=author,
            account=account,
            tunnel=tunnel,
            concentrator=concentrator,
            after={"hosted_peer": hosted_peer, "static_nat": block},
        )
        return tunnel
    raise Refused(Problem("datacenter", _missing(datacenter, concentrators, allocated)))


def _least_used_first(datacenter: Datacenter) -> list[Concentrator]:
    present = Count("tunnels", filter=Q(tunnels__cancelled_at=None))
    return list(datacenter.concentrators.annotate(present=present).order_by("present", "pk"))


def next_name() -> str:
    """Return a name that no tunnel has or had: deleted tunnels keep their rows.

    A held tunnel that the database does not know has its name too.
    """
    names = [
        *Tunnel.objects.filter(name__startswith="ipsec").values_list("name", flat=True),
        *HeldTunnel.objects.values_list("name", flat=True),
    ]
    numbers = (int(match[1]) for name in names if (match := NAME.fullmatch(name)))
    return f"ipsec{max(numbers, default=0) + 1:03}"


def _missing(
    datacenter: Datacenter, concentrators: Collection[Concentrator], allocated: AllocatedAddresses
) -> str:
    """Return a sentence on the address, subnet or number that every concentrator lacks, or "".

    Names all resources if each concentrator lacks one, but not all the same one.
    """
    compared = [concentrator for concentrator in concentrators if concentrator.is_compared]
    if concentrators and not compared:
        return f"{datacenter} {NOT_COMPARED}"
    free = [
        (
            free_hosted_peer(concentrator, allocated),
            free_static_nat(concentrator, allocated),
            allocated.has_mark(concentrator),
        )
        for concentrator in compared
    ]
    if not free:
        return f"There is no concentrator in {datacenter} yet. {OPERATORS}"
    if any(all(resources) for resources in free):
        return ""
    if not any(peer for peer, _, _ in free):
        resource = "hosted peer address"
    elif not any(block for _, block, _ in free):
        resource = "static NAT subnet"
    elif not any(mark for _, _, mark in free):
        resource = "number for another tunnel"
    else:
        resource = "concentrator with both a hosted peer address and a static NAT subnet"
    return f"No {resource} is left in {datacenter}. {OPERATORS}"
