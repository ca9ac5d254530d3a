"""Subnets of the legacy API: remote subnets, and those at the provider."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from tests.api_client import CUSTOMER_SUBNET
from vpnportal import services
from vpnportal.models import Account, Subnet
from vpnportal.services.customer_subnets import MAX_UNUSED

pytestmark = pytest.mark.django_db
NETWORK = {"networkIdentifier": "50.100.0.0", "cidr": 26}


def remote_subnets(tunnel) -> list[str]:
    return [str(network) for network in tunnel.networks(Subnet.Kind.CUSTOMER)]


def test_a_remote_subnet_is_created_and_then_added_to_a_tunnel(tunnel, program):
    template = {"accountId": tunnel.account_id, **NETWORK}

    created = program.call(f"{CUSTOMER_SUBNET}.createObject", template)
    assert remote_subnets(tunnel) == []

    assert program.call("addCustomerSubnetToNetworkTunnel", created["id"], on=tunnel.pk) is True
    assert remote_subnets(tunnel) == ["50.100.0.0/26"]
    assert program.call("getCustomerSubnets", on=tunnel.pk) == [created]
    assert created == {
        "id": created["id"],
        "accountId": tunnel.account_id,
        "networkIdentifier": "50.100.0.0",
        "netmask": "255.255.255.192",
        "cidr": 26,
        "totalIpAddresses": 64,
    }


def test_creating_the_same_network_again_returns_the_existing_subnet(tunnel, program):
    first = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)
    again = program.call(f"{CUSTOMER_SUBNET}.createObject", {**NETWORK, "cidr": "26"})

    assert again == first
    assert program.call(f"{CUSTOMER_SUBNET}.getObject", on=first["id"]) == first


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            {"networkIdentifier": "50.100.0.1", "cidr": 26},
            "networkIdentifier: 50.100.0.1/26 has ho",
        ),
        ({"networkIdentifier": "50.100.0.0", "cidr": 33}, "networkIdentifier: Enter the CIDR as a"),
        ({"networkIdentifier": "50.100.0.0"}, "cidr: send a number."),
        ({"networkIdentifier": "0.0.0.0", "cidr": 0}, "networkIdentifier: 0.0.0.0/0 matches all"),
        ({"cidr": 26}, "networkIdentifier: send a string."),
    ],
)
def test_an_invalid_network_is_refused(tunnel, program, template, text):
    fault = program.fault(f"{CUSTOMER_SUBNET}.createObject", template)

    assert (fault.code, fault.text[: len(text)]) == ("SoftLayer_Exception_InvalidValue", text)
    assert not Subnet.objects.filter(kind=Subnet.Kind.CUSTOMER).exists()


def test_an_overlapping_subnet_is_refused_and_deleted(ready, program):
    inside = {"networkIdentifier": "192.168.10.128", "cidr": 25}
    created = program.call(f"{CUSTOMER_SUBNET}.createObject", inside)

    fault = program.fault("addCustomerSubnetToNetworkTunnel", created["id"], on=ready.pk)

    assert fault.text == "192.168.10.128/25 overlaps 192.168.10.0/24 of this tunnel."
    assert remote_subnets(ready) == ["192.168.10.0/24"]
    assert program.fault(f"{CUSTOMER_SUBNET}.getObject", on=created["id"]).status == 404


def test_a_subnet_refused_by_a_locked_tunnel_is_not_deleted(ready, program, user, gateway):
    created = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)
    services.apply(ready, user)

    assert (
        program.fault("addCustomerSubnetToNetworkTunnel", created["id"], on=ready.pk).status == 423
    )
    assert program.call(f"{CUSTOMER_SUBNET}.getObject", on=created["id"]) == created


def test_a_removed_subnet_is_deleted_unless_another_tunnel_has_it(
    ready, second_tunnel, program, user
):
    services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)
    (row,) = program.call("getCustomerSubnets", on=ready.pk)

    assert program.call("removeCustomerSubnetFromNetworkTunnel", row["id"], on=ready.pk) is True
    assert program.fault("removeCustomerSubnetFromNetworkTunnel", row["id"], on=ready.pk)
    assert program.call(f"{CUSTOMER_SUBNET}.getObject", on=row["id"]) == row

    assert program.call("removeCustomerSubnetFromNetworkTunnel", row["id"], on=second_tunnel.pk)
    assert program.fault(f"{CUSTOMER_SUBNET}.getObject", on=row["id"]).status == 404


def test_only_a_subnet_without_a_tunnel_can_be_deleted(ready, program):
    (used,) = program.call("getCustomerSubnets", on=ready.pk)
    unused = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    fault = program.fault(f"{CUSTOMER_SUBNET}.deleteObject", on=used["id"])
    assert fault.text == "192.168.10.0/24 is used by ipsec001. Remove it there first."
    assert program.call(f"{CUSTOMER_SUBNET}.deleteObject", on=unused["id"]) is True
    assert program.fault(f"{CUSTOMER_SUBNET}.deleteObject", on=unused["id"]).status == 404
    assert remote_subnets(ready) == ["192.168.10.0/24"]


def test_the_number_of_subnets_without_a_tunnel_is_limited(tunnel, program):
    for number in range(MAX_UNUSED):
        services.make_customer_subnet(tunnel.account, IPv4Network(f"10.99.{number}.0/24"))

    fault = program.fault(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    assert fault.text == (
        "This account has 100 unused customer subnets. Attach or delete some of them first."
    )
    existing = {"networkIdentifier": "10.99.0.0", "cidr": 24}
    assert program.call(f"{CUSTOMER_SUBNET}.createObject", existing)["cidr"] == 24


def test_the_addresses_of_a_remote_subnet_are_paged(ready, program):
    (row,) = program.call("getCustomerSubnets", on=ready.pk)

    page = program.call(
        f"{CUSTOMER_SUBNET}.getIpAddresses",
        on=row["id"],
        limit=2,
        offset=15,
        mask="mask[ipAddress]",
    )

    assert page == [{"ipAddress": "192.168.10.15"}, {"ipAddress": "192.168.10.16"}]


def test_terraform_adds_a_subnet_without_a_context_id(tunnel, program):
    created = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    assert program.call("addCustomerSubnetToNetworkTunnel", created["id"]) is True
    assert remote_subnets(tunnel) == ["50.100.0.0/26"]


def test_a_subnet_without_a_context_id_is_refused_if_there_are_two_contexts(
    ready, second_tunnel, program
):
    created = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    fault = program.fault("addCustomerSubnetToNetworkTunnel", created["id"])

    assert fault.code == "SoftLayer_Exception_ObjectNotFound"
    assert remote_subnets(ready) == ["192.168.10.0/24"]
    assert remote_subnets(second_tunnel) == ["192.168.20.0/24"]


def test_a_hosted_subnet_is_listed_and_can_be_attached(tunnel, program, account, concentrator):
    new = Subnet.objects.create(
        account=account,
        kind=Subnet.Kind.HOSTED,
        network=IPv4Network("10.5.0.0/28"),
        datacenter=concentrator.datacenter,
        name="servers",
    )
    mask = (
        "mask[hardware,datacenter,networkVlanId,ipAddressCount,virtualGuests,id,networkIdentifier,"
        "cidr,subnetType,gateway,broadcastAddress,usableIpAddressCount,note,tagReferences[tag],"
        "networkVlan[id, primaryRouter, networkSpace,fullyQualifiedName],addressSpace,"
        "endPointIpAddress]"
    )
    by_id = {"subnets": {"id": {"operation": new.pk}}}

    (subnet,) = program.call("SoftLayer_Account.getSubnets", mask=mask, filter=by_id, limit=100)

    datacenter = {"id": concentrator.datacenter_id, "name": "hou02", "longName": "Houston 2"}
    assert subnet == {
        "id": new.pk,
        "networkIdentifier": "10.5.0.0",
        "cidr": 28,
        "subnetType": "PRIMARY",
        "broadcastAddress": "10.5.0.15",
        "usableIpAddressCount": "14",
        "ipAddressCount": 16,
        "note": "servers",
        "addressSpace": "PRIVATE",
        "datacenter": {**datacenter, "statusId": 2},
        "hardware": [],
        "virtualGuests": [],
        "tagReferences": [],
    }
    assert program.call("addPrivateSubnetToNetworkTunnel", new.pk, on=tunnel.pk) is True
    assert new.network in tunnel.networks(Subnet.Kind.HOSTED)
    assert program.call("removePrivateSubnetFromNetworkTunnel", new.pk, on=tunnel.pk) is True
    assert new.network not in tunnel.networks(Subnet.Kind.HOSTED)


def test_the_list_of_subnets_has_no_services_and_no_remote_subnets(ready, program):
    Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    Subnet.objects.create(
        account=Account.objects.create(name="Another account"),
        kind=Subnet.Kind.HOSTED,
        network=IPv4Network("10.77.0.0/24"),
    )

    listed = program.call("SoftLayer_Account.getSubnets", mask="mask[networkIdentifier]")
    private = program.call("SoftLayer_Account.getPrivateSubnets", mask="mask[networkIdentifier]")

    assert listed == [{"networkIdentifier": "10.2.0.0"}, {"networkIdentifier": "10.1.255.92"}]
    assert private == listed[:1]
