"""An account that is not the user's, with a row of each kind, and comparisons of all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, transaction

from vpnportal.api.lookup import address_id
from vpnportal.fields import Sealed
from vpnportal.models import (
    Account,
    AddressTranslation,
    Concentrator,
    Event,
    Membership,
    Revision,
    Role,
    Subnet,
    Tunnel,
)

# Above every id of the user's own rows.
FIRST = 9000


def make_another_account(concentrator: Concentrator) -> dict[str, int]:
    """Create a row of each kind for another account, named "canary", and return the ids."""
    account = Account.objects.create(pk=FIRST, name="canary account")
    person = User.objects.create_user("canary-person", pk=FIRST + 1, email="canary@example.org")
    Membership.objects.create(account=account, user=person, role=Role.OWNER)
    tunnel = Tunnel.objects.create(
        pk=FIRST + 2,
        account=account,
        concentrator=concentrator,
        name="canary002",
        friendly_name="canary",
        hosted_peer="203.0.113.99",
        remote_peer="198.51.100.99",
    )
    tunnel.preshared_key = Sealed.of("canary-key", tunnel.preshared_key_context)
    tunnel.save()
    # Remote subnets of two accounts may be equal: both are private networks.
    networks = {
        "HOSTED": "10.77.0.0/29",
        "STATIC_NAT": "10.77.1.0/29",
        "CUSTOMER": "192.168.10.0/24",
    }
    for pk, (kind, network) in enumerate(networks.items(), FIRST + 3):
        values = {"kind": Subnet.Kind[kind], "network": IPv4Network(network), "name": "canary"}
        tunnel.subnets.add(account.subnets.create(pk=pk, **values))
    AddressTranslation.objects.create(
        pk=FIRST + 6,
        tunnel=tunnel,
        internal_address="10.77.1.1",
        customer_address="192.168.10.15",
        name="canary",
    )
    revision = Revision.next_for(tunnel, tunnel.draft(), person)
    revision.pk = FIRST + 7
    revision.save()
    return {
        "account": FIRST,
        "user": FIRST + 1,
        "tunnel": FIRST + 2,
        "hosted": FIRST + 3,
        "static_nat": FIRST + 4,
        "customer": FIRST + 5,
        "translation": FIRST + 6,
        "revision": FIRST + 7,
        "internal": address_id("10.77.1.1"),
    }


def all_rows(foreign_only: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the database, or those of the other account, but the record of events."""
    rows = {}
    for model in apps.get_app_config("vpnportal").get_models(include_auto_created=True):
        if model is Event:
            continue
        values = model.objects.order_by("pk").values()
        name = "pk" if model is Account else "account_id"
        if foreign_only:
            fields = {field.attname for field in model._meta.concrete_fields} | {"pk"}
            owner_field = name if name in fields else "tunnel_id"
            if owner_field not in fields:
                continue
            values = values.filter(**{f"{owner_field}__gte": FIRST})
        rows[model.__name__] = list(values)
    return rows


@contextmanager
def rolled_back() -> Iterator[list[str]]:
    """Roll back everything that the block writes; provide the statements that write rows."""
    written: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and "vpnportal_" in sql:
            written.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(note):
        yield written
        transaction.set_rollback(True)
