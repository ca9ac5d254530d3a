"""A call of the retired API costs the same number of queries, however much its mask leads to."""

from __future__ import annotations

import tracemalloc
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api_client import CONTEXT, DETAIL, Program, only
from vpnportal.api.registry import SERVICES
from vpnportal.api.serializers import DATA_TYPES, DataType
from vpnportal.fields import Sealed
from vpnportal.models import (
    Account,
    AddressTranslation,
    Concentrator,
    Datacenter,
    Revision,
    Subnet,
    Tunnel,
)

pytestmark = pytest.mark.django_db
LIST = "SoftLayer_Account.getNetworkTunnelContexts"


def grow(account: Account, first: int, count: int) -> None:
    """More tunnels, each somewhere else, with subnets, translations, a key, and a revision."""
    for number in range(first, first + count):
        place = Datacenter.objects.create(name=f"dc{number}", long_name=f"City {number}")
        concentrator = Concentrator.objects.create(
            name=f"vpn{number}", datacenter=place, public_address=f"192.0.2.{number}"
        )
        tunnel = Tunnel.objects.create(
            account=account,
            concentrator=concentrator,
            name=f"ipsec{number}",
            hosted_peer=f"192.0.2.{number}",
        )
        tunnel.preshared_key = Sealed.of("a key", tunnel.preshared_key_context)
        tunnel.remote_peer = "203.0.113.9"
        tunnel.save()
        for kind, network in (
            (Subnet.Kind.HOSTED, f"10.10.{number}.0/24"),
            (Subnet.Kind.STATIC_NAT, f"10.11.{number}.0/29"),
            (Subnet.Kind.CUSTOMER, f"192.168.{number}.0/24"),
        ):
            tunnel.subnets.create(
                account=account, kind=kind, network=IPv4Network(network), datacenter=place
            )
        Subnet.objects.create(
            kind=Subnet.Kind.SERVICE, network=IPv4Network(f"10.12.{number}.0/24"), datacenter=place
        )
        AddressTranslation.objects.bulk_create(
            AddressTranslation(
                tunnel=tunnel,
                internal_address=str(IPv4Address(f"10.11.{number}.0") + at),
                customer_address=str(IPv4Address(f"192.168.{number}.1") + at),
            )
            for at in range(number % 8)
        )
        Revision.next_for(tunnel, tunnel.draft(), None).save()


def queries(program: Program, *call: object, **how: object) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert program.call(*call, **how)
    return len(captured)


def masks_of(shape: DataType) -> list[str]:
    """A mask for each of its relations, with all that is one level further than that."""
    return [
        f"mask[{name}[{','.join(DATA_TYPES[relation.type_name].relations)}]]"
        for name, relation in shape.relations.items()
    ]


@pytest.mark.parametrize("mask", masks_of(DATA_TYPES[CONTEXT]))
def test_each_relation_costs_the_same_for_two_contexts_and_for_twelve(
    account, owners_program, mask
):
    grow(account, first=1, count=2)
    few = queries(owners_program, LIST, mask=mask)
    grow(account, first=3, count=10)

    assert queries(owners_program, LIST, mask=mask) == few <= 12


@pytest.mark.parametrize("mask", masks_of(DATA_TYPES["SoftLayer_Network_Subnet"]))
def test_each_relation_costs_the_same_for_few_subnets_and_for_many(account, owners_program, mask):
    mask = mask.replace("ipAddresses", "ipAddressCount")
    grow(account, first=1, count=2)
    few = queries(owners_program, "SoftLayer_Account.getSubnets", mask=mask)
    grow(account, first=3, count=10)

    assert queries(owners_program, "SoftLayer_Account.getSubnets", mask=mask) == few <= 12


def test_what_slcli_asks_for_in_detail_costs_few_queries(account, owners_program):
    grow(account, first=1, count=9)
    tunnel = Tunnel.objects.get(name="ipsec7")

    # The tunnel, its translations, its subnets, and the key that is shown.
    assert queries(owners_program, "getObject", on=tunnel.pk, mask=DETAIL) == 4
    # And the account.
    assert queries(owners_program, LIST, filter=only(tunnel), mask=DETAIL) == 5


def test_every_relation_has_a_getter(account, owners_program):
    for name, relation in DATA_TYPES[CONTEXT].relations.items():
        method = SERVICES[CONTEXT].methods[f"get{name[0].upper()}{name[1:]}"]
        assert (method.data_type, method.many, method.filter_root) == (
            DATA_TYPES[relation.type_name],
            relation.many,
            name,
        )


def test_a_subnet_of_millions_of_addresses_is_paged_or_refused(account, program):
    huge = account.subnets.create(kind=Subnet.Kind.CUSTOMER, network=IPv4Network("10.0.0.0/8"))
    service = "SoftLayer_Network_Customer_Subnet"

    assert program.call(f"{service}.getObject", on=huge.pk, mask="mask[id,totalIpAddresses]") == {
        "id": huge.pk,
        "totalIpAddresses": 2**24,
    }
    for call in (
        {"name": f"{service}.getIpAddresses"},
        {"name": f"{service}.getObject", "mask": "mask[ipAddresses]"},
        {"name": f"{service}.getIpAddresses", "filter": {"ipAddresses": {"id": {"operation": 1}}}},
    ):
        assert "more than 100,000 objects" in program.fault(on=huge.pk, **call).text


def test_subnets_that_have_too_many_addresses_together_are_refused_before_they_are_told(
    tunnel, program
):
    for number in range(32):
        network = IPv4Network(f"172.{16 + number // 2}.{number % 2 * 128}.0/17")
        tunnel.subnets.create(account=tunnel.account, kind=Subnet.Kind.CUSTOMER, network=network)
    tracemalloc.start()

    fault = program.fault("getObject", on=tunnel.pk, mask="mask[customerSubnets.ipAddresses]")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "more than 100,000 objects" in fault.text
    assert most < 10_000_000


@pytest.mark.django_db(transaction=True)
def test_what_only_reads_asks_for_no_lock_of_the_database(ready, program):
    """A transaction begins as a writer's here, and every writer would be waited for."""
    with CaptureQueriesContext(connection) as said:
        program.call("getObject", on=ready.pk, mask=DETAIL)

    assert {one["sql"].split()[0] for one in said} == {"SELECT"}
