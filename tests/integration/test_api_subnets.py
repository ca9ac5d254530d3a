"""Subnets through the retired API: those of both ends, by ids that clients look up first."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from tests.api_client import CUSTOMER_SUBNET
from vpnportal import services
from vpnportal.models import Account, Subnet
from vpnportal.services.customer_subnets import MOST_UNUSED

pytestmark = pytest.mark.django_db
NETWORK = {"networkIdentifier": "50.100.0.0", "cidr": 26}


def remote(tunnel) -> list[str]:
    return [str(network) for network in tunnel.networks(Subnet.Kind.CUSTOMER)]


def test_a_remote_subnet_is_made_and_then_protected(tunnel, program):
    template = {"accountId": tunnel.account_id, **NETWORK}

    made = program.call(f"{CUSTOMER_SUBNET}.createObject", template)
    assert remote(tunnel) == []

    assert program.call("addCustomerSubnetToNetworkTunnel", made["id"], on=tunnel.pk) is True
    assert remote(tunnel) == ["50.100.0.0/26"]
    assert program.call("getCustomerSubnets", on=tunnel.pk) == [made]
    assert made == {
        "id": made["id"],
        "accountId": tunnel.account_id,
        "networkIdentifier": "50.100.0.0",
        "netmask": "255.255.255.192",
        "cidr": 26,
        "totalIpAddresses": 64,
    }


def test_whoever_makes_it_again_is_given_the_same_one(tunnel, program):
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
def test_what_is_no_network_is_told(tunnel, program, template, text):
    fault = program.fault(f"{CUSTOMER_SUBNET}.createObject", template)

    assert (fault.code, fault.text[: len(text)]) == ("SoftLayer_Exception_InvalidValue", text)
    assert not Subnet.objects.filter(kind=Subnet.Kind.CUSTOMER).exists()


def test_one_that_overlaps_is_refused_and_does_not_stay_behind(ready, program):
    inside = {"networkIdentifier": "192.168.10.128", "cidr": 25}
    made = program.call(f"{CUSTOMER_SUBNET}.createObject", inside)

    fault = program.fault("addCustomerSubnetToNetworkTunnel", made["id"], on=ready.pk)

    assert (
        fault.text == "192.168.10.128/25 overlaps 192.168.10.0/24, which this tunnel has already."
    )
    assert remote(ready) == ["192.168.10.0/24"]
    assert program.fault(f"{CUSTOMER_SUBNET}.getObject", on=made["id"]).status == 404


def test_one_that_comes_while_the_tunnel_is_locked_may_be_tried_again(
    ready, program, user, gateway
):
    made = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)
    services.apply(ready, user)

    assert program.fault("addCustomerSubnetToNetworkTunnel", made["id"], on=ready.pk).status == 423
    assert program.call(f"{CUSTOMER_SUBNET}.getObject", on=made["id"]) == made


def test_one_that_is_removed_is_deleted_unless_another_tunnel_protects_it(
    ready, second_tunnel, program, user
):
    services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)
    (row,) = program.call("getCustomerSubnets", on=ready.pk)

    assert program.call("removeCustomerSubnetFromNetworkTunnel", row["id"], on=ready.pk) is True
    assert program.fault("removeCustomerSubnetFromNetworkTunnel", row["id"], on=ready.pk)
    assert program.call(f"{CUSTOMER_SUBNET}.getObject", on=row["id"]) == row

    assert program.call("removeCustomerSubnetFromNetworkTunnel", row["id"], on=second_tunnel.pk)
    assert program.fault(f"{CUSTOMER_SUBNET}.getObject", on=row["id"]).status == 404


def test_only_what_no_tunnel_protects_can_be_deleted(ready, program):
    (used,) = program.call("getCustomerSubnets", on=ready.pk)
    unused = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    fault = program.fault(f"{CUSTOMER_SUBNET}.deleteObject", on=used["id"])
    assert fault.text == "192.168.10.0/24 is protected by ipsec001: remove it there first."
    assert program.call(f"{CUSTOMER_SUBNET}.deleteObject", on=unused["id"]) is True
    assert program.fault(f"{CUSTOMER_SUBNET}.deleteObject", on=unused["id"]).status == 404
    assert remote(ready) == ["192.168.10.0/24"]


def test_subnets_that_nothing_protects_do_not_pile_up(tunnel, program):
    for number in range(MOST_UNUSED):
        services.make_customer_subnet(tunnel.account, IPv4Network(f"10.99.{number}.0/24"))

    fault = program.fault(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    assert "attach or delete some of them first" in fault.text
    again = {"networkIdentifier": "10.99.0.0", "cidr": 24}
    assert program.call(f"{CUSTOMER_SUBNET}.createObject", again)["cidr"] == 24


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


def test_terraform_adds_a_subnet_without_naming_the_context(tunnel, program):
    made = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    assert program.call("addCustomerSubnetToNetworkTunnel", made["id"]) is True
    assert remote(tunnel) == ["50.100.0.0/26"]


def test_which_of_two_contexts_is_meant_is_never_guessed(ready, second_tunnel, program):
    made = program.call(f"{CUSTOMER_SUBNET}.createObject", NETWORK)

    fault = program.fault("addCustomerSubnetToNetworkTunnel", made["id"])

    assert fault.code == "SoftLayer_Exception_ObjectNotFound"
    assert remote(ready) == ["192.168.10.0/24"]
    assert remote(second_tunnel) == ["192.168.20.0/24"]


def test_hosted_subnets_are_found_in_the_list_of_subnets_and_attached(
    tunnel, program, account, concentrator
):
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
    last = {"subnets": {"id": {"operation": new.pk}}}

    (shown,) = program.call("SoftLayer_Account.getSubnets", mask=mask, filter=last, limit=100)

    datacenter = {"id": concentrator.datacenter_id, "name": "hou02", "longName": "Houston 2"}
    assert shown == {
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


def test_neither_services_nor_remote_subnets_are_in_the_list_of_subnets(ready, program):
    Subnet.objects.create(kind=Subnet.Kind.SERVICE, network=IPv4Network("10.200.0.0/24"))
    Subnet.objects.create(
        account=Account.objects.create(name="Somebody else"),
        kind=Subnet.Kind.HOSTED,
        network=IPv4Network("10.77.0.0/24"),
    )

    listed = program.call("SoftLayer_Account.getSubnets", mask="mask[networkIdentifier]")
    private = program.call("SoftLayer_Account.getPrivateSubnets", mask="mask[networkIdentifier]")

    assert listed == [{"networkIdentifier": "10.2.0.0"}, {"networkIdentifier": "10.1.255.92"}]
    assert private == listed[:1]
