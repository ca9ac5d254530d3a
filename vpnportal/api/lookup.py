"""Lookup of database objects by the ids that clients send.

Each queryset is also a permission check: it contains only objects that the caller may access.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db.models import AutoField, BigAutoField, F, Model, OuterRef, Q, QuerySet, Subquery

from vpnportal.api.calls import Caller
from vpnportal.api.faults import missing_parameters, object_not_found
from vpnportal.domain import addresses
from vpnportal.models import Account, ApiKey, LastEdit, Revision, Subnet, Tunnel
from vpnportal.prepared_statements import PreparedQuery

# Clients of the old API hold no larger integer.
MAX_ID = 2**31 - 1
# A fault repeats this much of an invalid id.
ECHOED_CHARACTERS = 40

# Built once, because Django takes as long to build it as to read a tunnel.
TUNNELS = Tunnel.objects.annotate(
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


def parse_number(value: object) -> int | None:
    """Return a number from 0 to MAX_ID, from an int or digits; None for any other value."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_ID else None


def parse_id(value: object) -> int:
    """Return an id from an int or digits. Raises Fault for any other value."""
    if value is None:
        raise missing_parameters()
    pk = parse_number(value)
    if pk is None:
        raise object_not_found(str(value)[:ECHOED_CHARACTERS])
    return pk


def get_or_fault(rows: QuerySet[Row], object_id: object) -> Row:
    """Return the object with this id from the queryset `rows`. Raises Fault if there is none."""
    return _first(rows.filter(pk=parse_id(object_id)), object_id)


def address_id(address: str) -> int:
    """Return the API id of an IPv4 address: the 32 bits of the address as a signed integer.

    Every client can hold a signed integer of 32 bits.
    """
    value = addresses.number(address)
    return value - (1 << 32) if value >> 31 else value


def address_with_id(value: object) -> IPv4Address:
    """Return the IPv4 address for an id of `address_id`. Raises Fault for an invalid id."""
    text = str(value)[:ECHOED_CHARACTERS]
    if isinstance(value, str) and text.removeprefix("-").isdigit() and text.isascii():
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int) or not -MAX_ID - 1 <= value <= MAX_ID:
        raise object_not_found(text)
    return IPv4Address(value & 0xFFFFFFFF)


def visible_accounts(caller: Caller) -> QuerySet[Account]:
    """Return a queryset of the key's account, empty if the key's user is not a member."""
    return Account.objects.visible_to(caller.user).filter(pk=caller.account.pk)


def editable_accounts(caller: Caller) -> QuerySet[Account]:
    """Return a queryset of the key's account, empty if the key's user may not edit tunnels."""
    return Account.objects.editable_by(caller.user).filter(pk=caller.account.pk)


def visible_tunnels(caller: Caller) -> QuerySet[Tunnel]:
    """Return the tunnels that the caller may see, with the annotations that a context needs.

    `role` is the caller's role. `requested_at` is the time at which the newest unfinished revision
    was created, `edited_at` the time of the newest edit.
    """
    rows = _present(caller, TUNNELS.visible_to(caller.user))
    return rows.annotate(role=F("account__memberships__role"))


def editable_tunnels(caller: Caller) -> QuerySet[Tunnel]:
    """Return the tunnels that the caller may change and apply."""
    return _present(caller, Tunnel.objects.editable_by(caller.user))


def owned_tunnels(caller: Caller) -> QuerySet[Tunnel]:
    """Return the tunnels that the caller may cancel."""
    return _present(caller, Tunnel.objects.owned_by(caller.user))


def provider_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Return the account's subnets at the provider, and the services shared by all accounts."""
    is_own = Q(account__in=visible_accounts(caller)) & ~Q(kind=Subnet.Kind.CUSTOMER)
    return Subnet.objects.filter(is_own | Q(account=None)).order_by("pk")


def customer_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Return the account's remote subnets, including those without a tunnel."""
    kind = Subnet.Kind.CUSTOMER
    return Subnet.objects.filter(account__in=visible_accounts(caller), kind=kind).order_by("pk")


def editable_customer_subnets(caller: Caller) -> QuerySet[Subnet]:
    """Return the remote subnets that the caller may delete if no tunnel has them."""
    return customer_subnets(caller).filter(account__in=editable_accounts(caller))


def by_id(rows: Callable[[Caller], QuerySet[Row]]) -> Callable[[Caller, int], list[Row]]:
    """Return a function that looks up an id in the queryset `rows(caller)`.

    The function returns a list with the object that has the id, or an empty list.
    """

    def with_placeholders(user: Any, account: Any, pk: Any) -> QuerySet[Row]:
        return rows(Caller(ApiKey(), User(pk=user), Account(pk=account))).filter(pk=pk)

    query = PreparedQuery(with_placeholders, AutoField(), BigAutoField(), BigAutoField())
    return lambda caller, pk: query(caller.user.pk, caller.account.pk, pk)


def object_finder(rows: Callable[[Caller], QuerySet[Row]]) -> Callable[[Caller, object], Row]:
    """Return a function that looks up the init id of a call in the queryset `rows(caller)`.

    The function returns the object, or raises the faults of get_or_fault.
    """
    find_by_id = by_id(rows)

    def find(caller: Caller, object_id: object) -> Row:
        return _first(find_by_id(caller, parse_id(object_id)), object_id)

    return find


def _first(rows: Iterable[Row], object_id: object) -> Row:
    for row in rows:
        return row
    raise object_not_found(object_id)


def _present(caller: Caller, rows: Any) -> Any:
    return rows.present().filter(account_id=caller.account.pk).order_by("pk")
