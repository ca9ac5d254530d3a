"""Permissions: every method, called with every id of another account."""

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
from vpnportal.api.methods import SERVICES
from vpnportal.api.serializers import DATA_TYPES, DataType
from vpnportal.fields import Sealed
from vpnportal.models import Account, AddressTranslation, Membership, Revision, Role, Subnet, Tunnel

pytestmark = pytest.mark.django_db
# Above every id of the caller's own rows.
FIRST = 9000
NOT_FOUND = "SoftLayer_Exception_ObjectNotFound"


@pytest.fixture
def foreign(ready, owner, concentrator) -> dict[str, int]:
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
    """Return all rows of the database, or those of the other account."""
    rows = {}
    for model in apps.get_app_config("vpnportal").get_models(include_auto_created=True):
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


def templates(ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield templates with ids of the other account in every property that can hold one."""
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
        yield from ((template,) for template in templates(ids))
    elif takes[0] is structs:
        yield from (([template],) for template in templates(ids))
    else:
        assert takes[0] is as_is
        yield from ((value,) for value in (*ids.values(), str(ids["translation"]), True))


def call_or_fault(program: Program, name: str, *arguments: Any, on: object) -> Fault | object:
    try:
        return program.call(name, *arguments, on=on)
    except Fault as fault:
        return fault


@contextmanager
def rolled_back() -> Iterator[None]:
    """Roll back everything that the block writes."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.parametrize("service", SERVICES)
def test_no_method_finds_an_object_of_another_account(service, foreign, ready, owners_program):
    before = all_rows()

    for name, method in SERVICES[service].methods.items():
        call_name = f"{service}.{name}"
        for on in [*foreign.values(), str(foreign["tunnel"])]:
            for arguments in arguments_of(call_name, foreign):
                result = call_or_fault(owners_program, call_name, *arguments, on=on)
                assert method.find is None or (result.code, result.status) == (NOT_FOUND, 404), (
                    call_name
                )
                assert "canary" not in str(result), call_name
        assert all_rows() == before, call_name


@pytest.mark.parametrize("service", SERVICES)
def test_no_argument_changes_an_object_of_another_account(service, foreign, ready, owners_program):
    before = all_rows(foreign_only=True)

    for name, method in SERVICES[service].methods.items():
        call_name = f"{service}.{name}"
        for on in (None, ready.pk, owners_program.caller.user.pk, ready.account_id):
            for arguments in arguments_of(call_name, foreign):
                with rolled_back():
                    result = call_or_fault(owners_program, call_name, *arguments, on=on)
                    assert all_rows(foreign_only=True) == before, call_name
                assert "canary" not in str(result), call_name
                if service == CONTEXT and on == ready.pk and method.arguments[:1] == [as_is]:
                    assert result.code == NOT_FOUND, call_name


def test_no_mask_reveals_an_object_of_another_account(foreign, ready, owners_program):
    service = Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    for tunnel in Tunnel.objects.all():
        tunnel.subnets.add(service)

    for path in paths(DATA_TYPES[CONTEXT], 4):
        struct = owners_program.call(f"{CONTEXT}.getObject", on=ready.pk, mask=f"mask[{path}]")

        assert "canary" not in str(struct), path
        assert "'10.77." not in str(struct), path


def paths(data_type: DataType, levels: int) -> Iterator[str]:
    """Yield every path through at most this many relations."""
    for name, relation in data_type.relations.items():
        if levels == 1 or not DATA_TYPES[relation.type_name].relations:
            yield name
        else:
            yield from (
                f"{name}.{path}" for path in paths(DATA_TYPES[relation.type_name], levels - 1)
            )


def test_a_service_subnet_lists_only_contexts_of_the_caller(foreign, ready, owners_program):
    service = Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    for tunnel in Tunnel.objects.all():
        tunnel.subnets.add(service)

    contexts = owners_program.call(
        "SoftLayer_Network_Subnet.getNetworkTunnelContexts", on=service.pk, mask="mask[id]"
    )

    assert contexts == [{"id": ready.pk}]


def test_a_key_does_not_reach_another_account_of_its_user(foreign, ready, owner, owners_program):
    Membership.objects.create(account_id=FIRST, user=owner, role=Role.OWNER)

    fault = owners_program.fault("getObject", on=foreign["tunnel"])
    listed = owners_program.call("SoftLayer_Account.getNetworkTunnelContexts", mask="mask[id]")

    assert fault.code == NOT_FOUND
    assert listed == [{"id": ready.pk}]


def test_a_key_of_a_former_member_finds_nothing(ready, owner, owners_program):
    Membership.objects.filter(user=owner).delete()

    assert owners_program.fault("getObject", on=ready.pk).code == NOT_FOUND
    assert owners_program.fault("SoftLayer_Account.getNetworkTunnelContexts").code == NOT_FOUND


@pytest.mark.parametrize("service", SERVICES)
def test_a_viewers_key_changes_nothing(service, ready, account, owner):
    Membership.objects.filter(user=owner).update(role=Role.VIEWER)
    program, before = Program(owner, account), all_rows()
    translation, hosted = ready.translations.get(), ready.subnets.get(kind=Subnet.Kind.HOSTED)
    template = {
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
            for argument in (template, [template], translation.pk, hosted.pk, True):
                result = call_or_fault(program, f"{service}.{method}", argument, on=on)
                assert "a key" not in str(result), method
        assert all_rows() == before, method


def test_only_owners_can_read_a_preshared_key_and_each_read_is_recorded(
    ready, program, owners_program, owner
):
    mask = "mask[id,presharedKey]"

    assert program.call("getObject", on=ready.pk, mask=mask) == {"id": ready.pk}
    assert not ready.key_reveals.exists()

    struct = owners_program.call("getObject", on=ready.pk, mask=mask)
    listed = owners_program.call("SoftLayer_Account.getNetworkTunnelContexts")

    assert struct == {"id": ready.pk, "presharedKey": "a key"}
    assert listed[0]["presharedKey"] == "a key"
    assert [reveal.author for reveal in ready.key_reveals.all()] == [owner, owner]

    # A relation to a context also reveals the key.
    owners_program.call("getAddressTranslations", on=ready.pk, mask="mask[networkTunnelContext]")
    assert ready.key_reveals.count() == 3
    # A mask without the key does not.
    owners_program.call("getObject", on=ready.pk, mask="mask[id,name]")
    assert ready.key_reveals.count() == 3


def test_a_filter_by_preshared_key_matches_only_for_owners_and_is_recorded(
    ready, program, owners_program
):
    guess = {"networkTunnelContexts": {"presharedKey": {"operation": "a key"}}}
    name = "SoftLayer_Account.getNetworkTunnelContexts"

    assert program.call(name, filter=guess, mask="mask[id]") == []
    assert owners_program.call(name, filter=guess, mask="mask[id]") == [{"id": ready.pk}]
    assert ready.key_reveals.count() == 1
