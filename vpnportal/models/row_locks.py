"""Row locks of transactions, in one order: account, tunnel, concentrator, subnet, revision, record.

Two transactions that lock rows in different orders can wait for each other for ever. Every lock of
a row is taken here, in the order of `Rank` and, inside a rank, of primary keys
(docs/decisions/038-order-of-locks.md). With `settings.CHECK_LOCK_ORDER`, another order raises
LockOrderError, also on SQLite.

SQLite locks no row: an IMMEDIATE transaction already excludes other writers. The functions for
several rows make no query there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import BigAutoField, Model, QuerySet

from vpnportal.models.accounts import Account
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.revisions import Revision
from vpnportal.models.subnets import Subnet
from vpnportal.models.tunnels import Tunnel
from vpnportal.prepared_statements import PreparedQuery

Record = TypeVar("Record", bound=Model)


class Rank(IntEnum):
    """The kinds of locked rows, in the order in which a transaction locks them.

    A record is a row that a tunnel has one of, such as its traffic. Its key here is the tunnel's.
    """

    ACCOUNT = 1
    TUNNEL = 2
    CONCENTRATOR = 3
    SUBNET = 4
    REVISION = 5
    RECORD = 6


class LockOrderError(Exception):
    """A transaction that locks a row after a row that comes later in the order."""


Held: TypeAlias = "dict[Rank, set[int]]"
# The locks of each transaction, by the outermost `atomic` block, which ends with it.
_held: WeakKeyDictionary[Any, Held] = WeakKeyDictionary()


def lock_account(pk: int) -> None:
    """Lock an account: its members, keys, invitations and customer subnets.

    Raises Account.DoesNotExist.
    """
    _note(Rank.ACCOUNT, [pk])
    Account.objects.select_for_update(no_key=True).only("pk").get(pk=pk)


def lock_accounts(accounts: QuerySet[Account]) -> None:
    """Lock accounts."""
    _lock_all(Rank.ACCOUNT, accounts)


def lock_tunnel(pk: int) -> Tunnel:
    """Return the current row of a tunnel, locked. Raises Tunnel.DoesNotExist."""
    _note(Rank.TUNNEL, [pk])
    return Tunnel.objects.select_for_update(no_key=True).get(pk=pk)


def lock_tunnel_at_gateway(pk: int) -> Tunnel:
    """Return the current row of a tunnel, locked, with the columns that a gateway may read.

    Raises Tunnel.DoesNotExist. A move that commits while a gateway waits hides the row from that
    statement: the policy sees the moved row, and not its release yet. The next statement finds it.
    """
    _note(Rank.TUNNEL, [pk])
    locked = Tunnel.objects.for_gateway().select_for_update(no_key=True).filter(pk=pk)
    return next(iter(locked), None) or locked.get()


def lock_tunnels(tunnels: QuerySet[Tunnel]) -> None:
    """Lock tunnels before more than one of them is updated."""
    _lock_all(Rank.TUNNEL, tunnels)


def lock_concentrator(pk: int) -> Concentrator:
    """Return the current row of a concentrator, locked: its claims do not change.

    Of two applies that claim one network at once, the second thus sees the first.
    """
    _note(Rank.CONCENTRATOR, [pk])
    return Concentrator.objects.select_for_update(no_key=True).get(pk=pk)


def lock_concentrators() -> None:
    """Lock all concentrators: their pools, addresses and marks are not allocated meanwhile."""
    _lock_all(Rank.CONCENTRATOR, Concentrator.objects.all())


def lock_subnets(subnets: QuerySet[Subnet]) -> None:
    """Lock subnets: tunnels neither begin nor end to use them."""
    _lock_all(Rank.SUBNET, subnets)


def lock_revisions(revisions: QuerySet[Revision]) -> None:
    """Lock revisions before more than one of them is updated."""
    _lock_all(Rank.REVISION, revisions)


@contextmanager
def locked_outcomes(tunnel_id: int) -> Iterator[None]:
    """Lock the outcomes of a tunnel for a single statement.

    In SQLite the statement is a transaction of its own.
    """
    if _locks_rows() or settings.CHECK_LOCK_ORDER:
        with transaction.atomic():
            lock_outcomes(tunnel_id)
            yield
    else:
        yield


def lock_outcomes(tunnel_id: int) -> None:
    """Lock a tunnel and its revisions that have an outcome to lose: live, unfinished, fallback."""
    _note(Rank.TUNNEL, [tunnel_id])
    if _locks_rows():
        # Twice for the same reason as in `lock_tunnel_at_gateway`.
        _ = _lock_tunnel(tunnel_id) or _lock_tunnel(tunnel_id)
        _note(Rank.REVISION, (revision.pk for revision in _lock_holding(tunnel_id)))


def lock_records(
    records: QuerySet[Record], tunnel_ids: Iterable[int], new: Iterable[Record]
) -> dict[int, Record]:
    """Return the locked records of tunnels, by tunnel id, in ascending order.

    Adds those of `new` that are missing: without a row, two processes would both add one, and the
    later one would overwrite the earlier.
    """
    pks = sorted(tunnel_ids)
    _note(Rank.RECORD, pks)
    rows = records.filter(tunnel__in=pks).order_by("tunnel_id")
    present = set(rows.values_list("tunnel_id", flat=True))
    missing = [record for record in new if _tunnel_id(record) not in present]
    if missing:
        records.bulk_create(sorted(missing, key=_tunnel_id), ignore_conflicts=True)
    return {_tunnel_id(row): row for row in rows.select_for_update(no_key=True, of=("self",))}


def write_records(
    records: QuerySet[Record], locked: Iterable[Record], columns: Sequence[str]
) -> None:
    """Write columns of the rows that `lock_records` returned, in one statement.

    It is an upsert without ids: a gateway has no right to choose the id of a row.
    """
    rows = list(locked)
    for row in rows:
        row.pk = None
    records.bulk_create(
        rows, update_conflicts=True, unique_fields=["tunnel"], update_fields=columns
    )


_lock_tunnel = PreparedQuery(
    lambda pk: Tunnel.objects.select_for_update(no_key=True).filter(pk=pk).only("pk"),
    BigAutoField(),
)
_lock_holding = PreparedQuery(
    lambda tunnel_id: (
        Revision.objects.holding()
        .select_for_update(no_key=True)
        .filter(tunnel_id=tunnel_id)
        .order_by("pk")
        .only("pk")
    ),
    BigAutoField(),
)


def _tunnel_id(record: Model) -> int:
    tunnel_id: int = record.tunnel_id  # type: ignore[attr-defined]
    return tunnel_id


def _lock_all(rank: Rank, rows: QuerySet[Any]) -> None:
    """Lock the rows of a queryset by ascending primary key."""
    if _locks_rows() or settings.CHECK_LOCK_ORDER:
        locked = rows.order_by("pk").select_for_update(no_key=True, of=("self",))
        _note(rank, list(locked.values_list("pk", flat=True)))


def _locks_rows() -> bool:
    return bool(connections[DEFAULT_DB_ALIAS].features.has_select_for_update)


def _note(rank: Rank, pks: Iterable[int]) -> None:
    """Note locks of this transaction. Raises LockOrderError if a lock that comes later is held."""
    if not settings.CHECK_LOCK_ORDER:
        return
    held = _held.setdefault(_transaction(), defaultdict(set))
    new = [pk for pk in pks if pk not in held[rank]]
    if not new:
        return
    later = [other.name for other in Rank if other > rank and held[other]]
    if held[rank] and min(new) < max(held[rank]):
        later.append(f"{rank.name} {max(held[rank])}")
    if later:
        raise LockOrderError(f"{rank.name} {min(new)} is locked after {', '.join(later)}")
    held[rank].update(new)


def _transaction() -> Any:
    """Return the outermost `atomic` block, apart from the one in which a test runs."""
    for block in connections[DEFAULT_DB_ALIAS].atomic_blocks:
        if not getattr(block, "_from_testcase", False):
            return block
    raise LockOrderError("A lock ends with its transaction, and there is none.")
