"""Permissions: every method, called with every id of another account."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.api_client import CONTAINER, CONTEXT, CUSTOMER_SUBNET, Program
from tests.integration.another_account import FIRST, all_rows, rolled_back
from vpnportal.api.arguments import as_is, struct, structs
from vpnportal.api.faults import Fault
from vpnportal.api.methods import SERVICES
from vpnportal.api.serializers import DATA_TYPES, DataType
from vpnportal.models import Membership, Role, Subnet, Tunnel

pytestmark = pytest.mark.django_db
# A read of a preshared key is recorded.
RECORDS: dict[str, list[Any]] = {"KeyReveal": [], "Event": []}
NOT_FOUND = "SoftLayer_Exception_ObjectNotFound"


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


# The methods that change rows, by the role that they need. A method that is not here changes none.
CHANGING = {
    Role.OPERATOR: {
        f"{CONTEXT}.{name}"
        for name in (
            "editObject",
            "applyConfigurationsToDevice",
            "addPrivateSubnetToNetworkTunnel",
            "removePrivateSubnetFromNetworkTunnel",
            "addServiceSubnetToNetworkTunnel",
            "removeServiceSubnetFromNetworkTunnel",
            "addCustomerSubnetToNetworkTunnel",
            "removeCustomerSubnetFromNetworkTunnel",
            "createAddressTranslation",
            "createAddressTranslations",
            "editAddressTranslation",
            "editAddressTranslations",
            "deleteAddressTranslation",
        )
    }
    | {f"{CUSTOMER_SUBNET}.createObject", f"{CUSTOMER_SUBNET}.deleteObject"},
    Role.OWNER: {
        "SoftLayer_Billing_Item.cancelItem",
        "SoftLayer_Billing_Item.cancelService",
        "SoftLayer_Product_Order.placeOrder",
    },
}
MAY_CHANGE = {
    Role.VIEWER: set(),
    Role.OPERATOR: CHANGING[Role.OPERATOR],
    Role.OWNER: CHANGING[Role.OPERATOR] | CHANGING[Role.OWNER],
}


@pytest.mark.parametrize("role", Role)
def test_a_key_changes_what_its_role_allows_and_nothing_else(
    role, ready, account, owner, concentrator, gateway
):
    """A new method that changes rows fails here until `CHANGING` has its role."""
    Membership.objects.filter(user=owner).update(role=role)
    program, changed = Program(owner, account), set()
    for kind, network in (("hosted-peer", "203.0.113.32/28"), ("static-nat", "10.1.248.0/24")):
        concentrator.pools.create(kind=kind, network=IPv4Network(network))
    translation, hosted = ready.translations.get(), ready.subnets.get(kind=Subnet.Kind.HOSTED)
    customer = ready.subnets.get(kind=Subnet.Kind.CUSTOMER)
    # Each method that attaches a subnet finds one, and each that detaches one does, too.
    spare, spare_hosted, service, attached_service = (
        Subnet.objects.create(account=owner_of, kind=kind, network=IPv4Network(network))
        for owner_of, kind, network in (
            (account, Subnet.Kind.CUSTOMER, "192.168.99.0/24"),
            (account, Subnet.Kind.HOSTED, "10.9.0.0/24"),
            (None, Subnet.Kind.SERVICE, "10.200.0.0/24"),
            (None, Subnet.Kind.SERVICE, "10.201.0.0/24"),
        )
    )
    ready.subnets.add(attached_service)
    fields = {
        "friendlyName": "changed",
        "notes": "changed",
        "networkIdentifier": "10.99.0.0",
        "cidr": 24,
        "complexType": CONTAINER,
        "location": "hou02",
        "prices": [{"id": 51379}],
    }
    addresses = {"internalIpAddress": "10.1.255.93", "customerIpAddress": "192.168.10.16"}
    templates = [fields | addresses, addresses, {"id": translation.pk, "notes": "changed"}, fields]
    subnets = (hosted, customer, spare, spare_hosted, service, attached_service)
    ids = (translation.pk, *(subnet.pk for subnet in subnets), True)
    arguments = (*templates, *([template] for template in templates), *ids)
    before = all_rows() | RECORDS

    for name in (f"{each}.{method}" for each in SERVICES for method in SERVICES[each].methods):
        with rolled_back():
            for on in (None, ready.pk, hosted.pk, spare.pk, owner.pk, account.pk, 0):
                for argument in arguments:
                    result = call_or_fault(program, name, argument, on=on)
                    assert role == Role.OWNER or "a key" not in str(result), name
            if all_rows() | RECORDS != before:
                changed.add(name)

    assert changed == MAY_CHANGE[role]


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
