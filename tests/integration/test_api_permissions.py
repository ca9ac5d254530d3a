"""Customers are strangers to each other: the whole method list is tried with another's ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction

from tests.api_client import CONTAINER, CONTEXT, Program
from vpnportal.api.arguments import as_is, struct, structs
from vpnportal.api.faults import Fault
from vpnportal.api.lookup import address_id
from vpnportal.api.registry import SERVICES
from vpnportal.api.serializers import DATA_TYPES, DataType
from vpnportal.fields import Sealed
from vpnportal.models import Account, AddressTranslation, Membership, Revision, Role, Subnet, Tunnel

pytestmark = pytest.mark.django_db
# No id of the caller's own is so high.
FIRST = 9000
NOT_FOUND = "SoftLayer_Exception_ObjectNotFound"


@pytest.fixture
def foreign(ready, owner, concentrator) -> dict[str, int]:
    """Ids of everything that another account has, made last; all of it is called "canary"."""
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
    # What is private at the customer's end may be anybody's.
    networks = {
        "HOSTED": "10.77.0.0/29",
        "STATIC_NAT": "10.77.1.0/29",
        "CUSTOMER": "192.168.10.0/24",
    }
    for pk, (kind, network) in enumerate(networks.items(), FIRST + 3):
        kept = {"kind": Subnet.Kind[kind], "network": IPv4Network(network), "name": "canary"}
        tunnel.subnets.add(account.subnets.create(pk=pk, **kept))
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


def rows(everything: bool = True) -> dict[str, list[dict[str, Any]]]:
    """What the database has, or only what is the other account's."""
    found = {}
    for model in apps.get_app_config("vpnportal").get_models(include_auto_created=True):
        values = model.objects.order_by("pk").values()
        name = "pk" if model is Account else "account_id"
        if not everything:
            fields = {field.attname for field in model._meta.concrete_fields} | {"pk"}
            of = name if name in fields else "tunnel_id"
            if of not in fields:
                continue
            values = values.filter(**{f"{of}__gte": FIRST})
        found[model.__name__] = list(values)
    return found


def templates(ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Objects that name what is another's in each property that could."""
    yield {
        "id": ids["translation"],
        "networkTunnelContextId": ids["tunnel"],
        "accountId": ids["account"],
        "notes": "x",
        "networkIdentifier": "10.99.0.0",
        "cidr": 24,
    }
    yield {
        "networkTunnelContextId": ids["tunnel"],
        "internalIpAddressId": ids["internal"],
        "customerIpAddress": "192.168.10.16",
        "accountId": ids["account"],
    }


def arguments_of(name: str, ids: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    service, _, method = name.rpartition(".")
    takes = SERVICES[service].methods[method].arguments
    if not takes:
        yield ()
    elif takes[0] is struct:
        yield from ((one,) for one in templates(ids))
    elif takes[0] is structs:
        yield from (([one],) for one in templates(ids))
    else:
        assert takes[0] is as_is
        yield from ((one,) for one in (*ids.values(), str(ids["translation"]), True))


def answered(program: Program, name: str, *arguments: Any, on: object) -> Fault | object:
    try:
        return program.call(name, *arguments, on=on)
    except Fault as fault:
        return fault


@contextmanager
def alone() -> Iterator[None]:
    """What is done in it is undone."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_called_on_what_is_anothers_finds_nothing(
    service, foreign, ready, owners_program
):
    before = rows()

    for method, known in SERVICES[service].methods.items():
        name = f"{service}.{method}"
        for on in [*foreign.values(), str(foreign["tunnel"])]:
            for arguments in arguments_of(name, foreign):
                got = answered(owners_program, name, *arguments, on=on)
                assert known.find is None or (got.code, got.status) == (NOT_FOUND, 404), name
                assert "canary" not in str(got), name
        assert rows() == before, name


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_given_that_is_anothers_stays_as_it_is(service, foreign, ready, owners_program):
    before = rows(everything=False)

    for method, known in SERVICES[service].methods.items():
        name = f"{service}.{method}"
        for on in (None, ready.pk, owners_program.caller.user.pk, ready.account_id):
            for arguments in arguments_of(name, foreign):
                with alone():
                    got = answered(owners_program, name, *arguments, on=on)
                    assert rows(everything=False) == before, name
                assert "canary" not in str(got), name
                if service == CONTEXT and on == ready.pk and known.arguments[:1] == [as_is]:
                    assert got.code == NOT_FOUND, name


def test_no_mask_leads_to_what_is_anothers(foreign, ready, owners_program):
    service = Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    for tunnel in Tunnel.objects.all():
        tunnel.subnets.add(service)

    for path in paths(DATA_TYPES[CONTEXT], 4):
        shown = owners_program.call(f"{CONTEXT}.getObject", on=ready.pk, mask=f"mask[{path}]")

        assert "canary" not in str(shown), path
        assert "'10.77." not in str(shown), path


def paths(shape: DataType, levels: int) -> Iterator[str]:
    """Every way through this many relations."""
    for name, relation in shape.relations.items():
        if levels == 1 or not DATA_TYPES[relation.type_name].relations:
            yield name
        else:
            yield from (
                f"{name}.{path}" for path in paths(DATA_TYPES[relation.type_name], levels - 1)
            )


def test_a_service_subnet_tells_only_of_the_callers_contexts(foreign, ready, owners_program):
    service = Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    for tunnel in Tunnel.objects.all():
        tunnel.subnets.add(service)

    shown = owners_program.call(
        "SoftLayer_Network_Subnet.getNetworkTunnelContexts", on=service.pk, mask="mask[id]"
    )

    assert shown == [{"id": ready.pk}]


def test_a_key_of_one_account_reaches_no_other_of_its_user(foreign, ready, owner, owners_program):
    Membership.objects.create(account_id=FIRST, user=owner, role=Role.OWNER)

    test = owners_program.fault("getObject", on=foreign["tunnel"])
    listed = owners_program.call("SoftLayer_Account.getNetworkTunnelContexts", mask="mask[id]")

    assert test.code == NOT_FOUND
    assert listed == [{"id": ready.pk}]


def test_a_key_of_somebody_who_left_the_account_finds_nothing(ready, owner, owners_program):
    Membership.objects.filter(user=owner).delete()

    assert owners_program.fault("getObject", on=ready.pk).code == NOT_FOUND
    assert owners_program.fault("SoftLayer_Account.getNetworkTunnelContexts").code == NOT_FOUND


@pytest.mark.parametrize("service", SERVICES)
def test_a_viewers_key_reads_and_changes_nothing(service, ready, account, owner):
    Membership.objects.filter(user=owner).update(role=Role.VIEWER)
    program, before = Program(owner, account), rows()
    translation, hosted = ready.translations.get(), ready.subnets.get(kind=Subnet.Kind.HOSTED)
    own = {
        "id": translation.pk,
        "friendlyName": "changed",
        "notes": "changed",
        "internalIpAddress": "10.1.255.93",
        "customerIpAddress": "192.168.10.16",
        "networkIdentifier": "10.99.0.0",
        "cidr": 24,
        "complexType": CONTAINER,
        "location": "hou02",
        "prices": [{"id": 51379}],
    }

    for method in SERVICES[service].methods:
        for on in (None, ready.pk, hosted.pk, owner.pk, account.pk, 0):
            for argument in (own, [own], translation.pk, hosted.pk, True):
                got = answered(program, f"{service}.{method}", argument, on=on)
                assert "a key" not in str(got), method
        assert rows() == before, method


def test_only_owners_are_shown_a_key_and_each_time_is_written_down(
    ready, program, owners_program, owner
):
    mask = "mask[id,presharedKey]"

    assert program.call("getObject", on=ready.pk, mask=mask) == {"id": ready.pk}
    assert not ready.key_reveals.exists()

    shown = owners_program.call("getObject", on=ready.pk, mask=mask)
    listed = owners_program.call("SoftLayer_Account.getNetworkTunnelContexts")

    assert shown == {"id": ready.pk, "presharedKey": "a key"}
    assert listed[0]["presharedKey"] == "a key"
    assert [one.author for one in ready.key_reveals.all()] == [owner, owner]

    # A relation that leads to a context shows the key as well.
    owners_program.call("getAddressTranslations", on=ready.pk, mask="mask[networkTunnelContext]")
    assert ready.key_reveals.count() == 3
    # What names other properties does not.
    owners_program.call("getObject", on=ready.pk, mask="mask[id,name]")
    assert ready.key_reveals.count() == 3


def test_nobody_finds_a_key_out_by_a_filter(ready, program, owners_program):
    guess = {"networkTunnelContexts": {"presharedKey": {"operation": "a key"}}}
    name = "SoftLayer_Account.getNetworkTunnelContexts"

    assert program.call(name, filter=guess, mask="mask[id]") == []
    assert owners_program.call(name, filter=guess, mask="mask[id]") == [{"id": ready.pk}]
    assert ready.key_reveals.count() == 1
