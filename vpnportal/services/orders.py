"""Order a tunnel, and cancel it: its name, its hosted peer address and its static NAT subnet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Account, Concentrator, Datacenter, Revision, Subnet, Tunnel
from vpnportal.services.address_allocation import (
    AllocatedAddresses,
    free_hosted_peer,
    free_static_nat,
    lock_address_allocation,
)
from vpnportal.services.address_release import request_removal, start_release
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

# Whoever loses a race against somebody who does not come by here tries so often in all.
ATTEMPTS = 5
# PostgreSQL's serialization failure and deadlock: the transaction may be tried again.
TRY_AGAIN = ("40001", "40P01")
NAME = re.compile(r"ipsec([0-9]+)")
OPERATORS = "Ask the operators of the service for more, or choose another location."


@dataclass(frozen=True, slots=True)
class Location:
    """A data center, and whether a tunnel can be ordered there now; `missing` says why not."""

    datacenter: Datacenter
    missing: str

    @property
    def free(self) -> bool:
        return not self.missing


def locations() -> list[Location]:
    """Every data center by name."""
    taken = AllocatedAddresses.now()
    places = Datacenter.objects.order_by("long_name").prefetch_related("concentrators")
    return [Location(one, _missing(one, one.concentrators.all(), taken)) for one in places]


def order(
    account: Account, datacenter: Datacenter, author: User, key: UUID | None = None
) -> Tunnel:
    """A new tunnel of this account in this data center, with nothing entered and nothing applied.

    Refused says what is used up. The name was never another tunnel's. Whoever orders again with
    the same key is given the tunnel that it ordered before.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            with transaction.atomic():
                lock_address_allocation()
                if key and (before := Tunnel.objects.filter(ordered_by=author, order_key=key)):
                    return before.get()
                return _give(account, datacenter, author, key)
        except DatabaseError as error:
            if not left or not _lost_a_race(error):
                raise
    raise AssertionError("the last attempt returns or raises")


def cancel(tunnel: Tunnel, author: User) -> None:
    """Take the tunnel off its concentrators; when they have let go, its addresses are free again.

    Its name, its revisions and what it was stay. Until the last concentrator was seen without it,
    `State.leaving` names those that may hold it still.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        lock_address_allocation()
        now = timezone.now()
        Tunnel.objects.filter(pk=fresh.pk).update(cancelled_at=now)
        fresh.cancelled_at = now
        fresh.revisions.holding().update(
            outcome=Revision.Outcome.WITHDRAWN,
            reason="The tunnel was cancelled.",
            finished_at=Coalesce(F("finished_at"), now),
            trial_ends_at=None,
        )
        start_release(fresh, author)
        request_removal(fresh)
    tunnel.cancelled_at = now


def _lost_a_race(error: DatabaseError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None)
    return isinstance(error, IntegrityError) or state in TRY_AGAIN


def _give(account: Account, datacenter: Datacenter, author: User, key: UUID | None) -> Tunnel:
    concentrators, taken = _least_used_first(datacenter), AllocatedAddresses.now()
    for concentrator in concentrators:
        hosted_peer, block = (
            free_hosted_peer(concentrator, taken),
            free_static_nat(concentrator, taken),
        )
        if hosted_peer is None or block is None:
            continue
        tunnel = Tunnel.objects.create(
            account=account,
            concentrator=concentrator,
            name=_next_name(),
            hosted_peer=str(hosted_peer),
            ordered_at=timezone.now(),
            ordered_by=author,
            order_key=key,
        )
        kind = Subnet.Kind.STATIC_NAT
        tunnel.subnets.add(Subnet.objects.create(account=account, kind=kind, network=block))
        return tunnel
    raise Refused(Problem("datacenter", _missing(datacenter, concentrators, taken)))


def _least_used_first(datacenter: Datacenter) -> list[Concentrator]:
    present = Count("tunnels", filter=Q(tunnels__cancelled_at=None))
    return list(datacenter.concentrators.annotate(present=present).order_by("present", "pk"))


def _next_name() -> str:
    """One more than the highest there ever was: a cancelled tunnel keeps its row."""
    names = Tunnel.objects.filter(name__startswith="ipsec").values_list("name", flat=True)
    numbers = (int(match[1]) for name in names if (match := NAME.fullmatch(name)))
    return f"ipsec{max(numbers, default=0) + 1:03}"


def _missing(
    datacenter: Datacenter, concentrators: Iterable[Concentrator], taken: AllocatedAddresses
) -> str:
    """Which of the two is used up everywhere; both, where each concentrator lacks another one.

    "" where one of them has both.
    """
    free = [
        (free_hosted_peer(concentrator, taken), free_static_nat(concentrator, taken))
        for concentrator in concentrators
    ]
    if not free:
        return f"There is no concentrator in {datacenter} yet. {OPERATORS}"
    if any(all(pair) for pair in free):
        return ""
    if not any(peer for peer, _ in free):
        what = "hosted peer address"
    elif not any(block for _, block in free):
        what = "static NAT subnet"
    else:
        what = "concentrator with both a hosted peer address and a static NAT subnet"
    return f"No {what} is left in {datacenter}. {OPERATORS}"
