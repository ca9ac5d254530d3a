"""From the ids that a client names to what they are: what a caller may not have is not found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db.models import AutoField, BigAutoField, F, Model, OuterRef, Q, QuerySet, Subquery

from vpnportal.api.calls import Caller
from vpnportal.api.faults import Fault, not_found
from vpnportal.api.prepared_query import PreparedQuery
from vpnportal.domain import addresses
from vpnportal.models import Account, ApiKey, LastEdit, Revision, Subnet, Tunnel

NO_ID = "server error. invalid method init parameters"
# Clients of the old API cannot hold more.
MOST = 2**31 - 1
# So much of what is no id is told back.
TOLD = 40

# Built once: to build it takes Django as long as to read a tunnel.
CONTEXTS = Tunnel.objects.annotate(
    requested_at=Subquery(
        Revision.objects.filter(tunnel=OuterRef("pk"), outcome__in=Revision.UNFINISHED)
        .order_by("-created_at")
        .values("created_at")[:1]
    ),
    edited_at=Subquery(
        LastEdit.objects.filter(tunnel=OuterRef("pk")).order_by("-at").values("at")[:1]
    ),
)

Row = TypeVar("Row", bound=Model)


def number(given: object) -> int | None:
    """An id as an int or its digits; None for what is none."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= 10:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        return None
    return given if 0 <= given <= MOST else None


def identity(given: object) -> int:
    """The same of what has to be an id; a fault for what is none."""
    if given is None:
        raise Fault("-32602", NO_ID, 400)
    pk = number(given)
    if pk is None:
        raise not_found(str(given)[:TOLD])
    return pk


def get_or_fault(rows: QuerySet[Row], given: object) -> Row:
    """The row with this id; a fault that does not tell whether another caller would have it."""
    return _only(rows.filter(pk=identity(given)), given)


def address_id(address: str) -> int:
    """The id of an address: its 32 bits as a signed number, which every client can hold."""
    value = addresses.number(address)
    return value - (1 << 32) if value >> 31 else value


def address_of(given: object) -> IPv4Address:
    """The address that has this id; a fault for what is no address's."""
    text = str(given)[:TOLD]
    if isinstance(given, str) and text.removeprefix("-").isdigit() and text.isascii():
        given = int(text)
    if isinstance(given, bool) or not isinstance(given, int) or not -MOST - 1 <= given <= MOST:
        raise not_found(text)
    return IPv4Address(given & 0xFFFFFFFF)


def accounts(caller: Caller) -> QuerySet[Account]:
    """The key's account, while its user belongs to it."""
    return Account.objects.visible_to(caller.user).filter(pk=caller.account.pk)


def editable_accounts(caller: Caller) -> QuerySet[Account]:
    """The same while its user may change its tunnels."""
    return Account.objects.editable_by(caller.user).filter(pk=caller.account.pk)


def visible(caller: Caller) -> QuerySet[Tunnel]:
    """The tunnels that the caller sees, each with what its shape tells of it.

    `role` is the caller's; `requested_at` when the newest configuration that is on its way was asked
    for; `edited_at` of the newest edit.
    """
    rows = _present(caller, CONTEXTS.visible_to(caller.user))
    return rows.annotate(role=F("account__memberships__role"))


def editable(caller: Caller) -> QuerySet[Tunnel]:
    """Those that the caller may change and apply."""
    return _present(caller, Tunnel.objects.editable_by(caller.user))


def owned(caller: Caller) -> QuerySet[Tunnel]:
    """Those that the caller may cancel."""
    return _present(caller, Tunnel.objects.owned_by(caller.user))


def subnets(caller: Caller) -> QuerySet[Subnet]:
    """What there is at this end for the account: its own subnets, and everybody's services."""
    mine = Q(account__in=accounts(caller)) & ~Q(kind=Subnet.Kind.CUSTOMER)
    return Subnet.objects.filter(mine | Q(account=None)).order_by("pk")


def customer_subnets(caller: Caller) -> QuerySet[Subnet]:
    """The networks at the customer's end, those that no tunnel protects yet among them."""
    kind = Subnet.Kind.CUSTOMER
    return Subnet.objects.filter(account__in=accounts(caller), kind=kind).order_by("pk")


def editable_customer_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Those that the caller may delete while no tunnel protects them."""
    return customer_subnets(caller).filter(account__in=editable_accounts(caller))


def by_id(rows: Callable[[Caller], QuerySet[Row]]) -> Callable[[Caller, int], list[Row]]:
    """Looks one of these rows up by its id: a list of it, or an empty one."""

    def blank(user: Any, account: Any, pk: Any) -> QuerySet[Row]:
        return rows(Caller(ApiKey(), User(pk=user), Account(pk=account))).filter(pk=pk)

    prepared = PreparedQuery(blank, AutoField(), BigAutoField(), BigAutoField())
    return lambda caller, pk: prepared(caller.user.pk, caller.account.pk, pk)


def object_finder(rows: Callable[[Caller], QuerySet[Row]]) -> Callable[[Caller, object], Row]:
    """Finds one of these rows by the init id of a call; a fault where `one` has one."""
    look_up = by_id(rows)

    def find(caller: Caller, init: object) -> Row:
        return _only(look_up(caller, identity(init)), init)

    return find


def _only(found: Iterable[Row], given: object) -> Row:
    for row in found:
        return row
    raise not_found(given)


def _present(caller: Caller, rows: Any) -> Any:
    return rows.present().filter(account_id=caller.account.pk).order_by("pk")
