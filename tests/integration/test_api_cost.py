"""Cost of a call: the number of queries depends on the mask, and not on the number of objects."""

from __future__ import annotations

import tracemalloc
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api_client import CONTEXT, CUSTOMER_SUBNET, DETAIL, Program, filter_by_id
from vpnportal.api import budget
from vpnportal.api.methods import SERVICES
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


def add_tunnels(account: Account, first: int, count: int) -> None:
    """Create tunnels, each in its own data center, with everything that a mask can name."""
    for number in range(first, first + count):
        datacenter = Datacenter.objects.create(name=f"dc{number}", long_name=f"City {number}")
        concentrator = Concentrator.objects.create(
            name=f"vpn{number}", datacenter=datacenter, public_address=f"192.0.2.{number}"
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
                account=account, kind=kind, network=IPv4Network(network), datacenter=datacenter
            )
        Subnet.objects.create(
            kind=Subnet.Kind.SERVICE,
            network=IPv4Network(f"10.12.{number}.0/24"),
            datacenter=datacenter,
        )
        AddressTranslation.objects.bulk_create(
            AddressTranslation(
                tunnel=tunnel,
                internal_address=str(IPv4Address(f"10.11.{number}.0") + offset),
                customer_address=str(IPv4Address(f"192.168.{number}.1") + offset),
            )
            for offset in range(number % 8)
        )
        Revision.next_for(tunnel, tunnel.draft(), None).save()


def count_queries(program: Program, name: str, **options: object) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert program.call(name, **options)
    return len(captured)


def relation_masks(data_type: DataType) -> list[str]:
    """Return a mask for each relation, with all relations of the type behind it."""
    return [
        f"mask[{name}[{','.join(DATA_TYPES[relation.type_name].relations)}]]"
        for name, relation in data_type.relations.items()
    ]


@pytest.mark.parametrize("mask", relation_masks(DATA_TYPES[CONTEXT]))
def test_a_relation_costs_as_many_queries_for_twelve_contexts_as_for_two(
    account, owners_program, mask
):
    add_tunnels(account, first=1, count=2)
    few = count_queries(owners_program, LIST, mask=mask)
    add_tunnels(account, first=3, count=10)

    assert count_queries(owners_program, LIST, mask=mask) == few <= 12


@pytest.mark.parametrize("mask", relation_masks(DATA_TYPES["SoftLayer_Network_Subnet"]))
def test_a_relation_costs_as_many_queries_for_many_subnets_as_for_few(
    account, owners_program, mask
):
    mask = mask.replace("ipAddresses", "ipAddressCount")
    add_tunnels(account, first=1, count=2)
    few = count_queries(owners_program, "SoftLayer_Account.getSubnets", mask=mask)
    add_tunnels(account, first=3, count=10)

    assert count_queries(owners_program, "SoftLayer_Account.getSubnets", mask=mask) == few <= 15


def test_slcli_detail_costs_seven_queries_by_id_and_eight_by_filter(account, owners_program):
    add_tunnels(account, first=1, count=9)
    tunnel = Tunnel.objects.get(name="ipsec7")

    # The tunnel, its translations, its subnets, and the record of the revealed key with its event:
    # four with the savepoint around both.
    assert count_queries(owners_program, "getObject", on=tunnel.pk, mask=DETAIL) == 7
    # One more for the account.
    assert count_queries(owners_program, LIST, filter=filter_by_id(tunnel), mask=DETAIL) == 8


def test_every_relation_of_a_context_has_a_getter():
    for name, relation in DATA_TYPES[CONTEXT].relations.items():
        method = SERVICES[CONTEXT].methods[f"get{name[0].upper()}{name[1:]}"]
        assert (method.data_type, method.many, method.filter_root) == (
            DATA_TYPES[relation.type_name],
            relation.many,
            name,
        )


def test_millions_of_addresses_are_refused(account, program):
    subnet = account.subnets.create(kind=Subnet.Kind.CUSTOMER, network=IPv4Network("10.0.0.0/8"))
    service = "SoftLayer_Network_Customer_Subnet"

    assert program.call(f"{service}.getObject", on=subnet.pk, mask="mask[id,totalIpAddresses]") == {
        "id": subnet.pk,
        "totalIpAddresses": 2**24,
    }
    for call in (
        {"name": f"{service}.getIpAddresses"},
        {"name": f"{service}.getObject", "mask": "mask[ipAddresses]"},
        {"name": f"{service}.getIpAddresses", "filter": {"ipAddresses": {"id": {"operation": 1}}}},
    ):
        assert "more than 100,000 objects" in program.fault(on=subnet.pk, **call).text


def test_too_many_addresses_of_all_subnets_are_refused_before_they_are_serialized(tunnel, program):
    for number in range(32):
        network = IPv4Network(f"172.{16 + number // 2}.{number % 2 * 128}.0/17")
        tunnel.subnets.create(account=tunnel.account, kind=Subnet.Kind.CUSTOMER, network=network)
    tracemalloc.start()

    fault = program.fault("getObject", on=tunnel.pk, mask="mask[customerSubnets.ipAddresses]")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "more than 100,000 objects" in fault.text
    assert peak_bytes < 10_000_000


@pytest.mark.django_db(transaction=True)
def test_a_read_runs_only_select_statements(ready, program):
    """Every transaction begins with the write lock, and would wait for other writers."""
    with CaptureQueriesContext(connection) as queries:
        program.call("getObject", on=ready.pk, mask=DETAIL)

    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}


def test_s7_a_filter_with_many_conditions_on_many_addresses_is_refused(program, tunnel):
    subnet = Subnet.objects.create(
        account=tunnel.account, kind=Subnet.Kind.CUSTOMER, network=IPv4Network("172.16.0.0/18")
    )
    conditions = {"name": "data", "value": ["< 01/01/2001"] * 99}
    leaf = {"operation": "or", "options": [conditions]}

    fault = program.fault(
        f"{CUSTOMER_SUBNET}.getIpAddresses",
        on=subnet.pk,
        filter={"ipAddresses": {"ipAddress": leaf}},
    )

    assert fault.text == budget.TOO_MANY_TESTS
    narrow = {"ipAddresses": {"ipAddress": {"operation": "172.16.1.1"}}}
    found = program.call(f"{CUSTOMER_SUBNET}.getIpAddresses", on=subnet.pk, filter=narrow)
    assert [address["ipAddress"] for address in found] == ["172.16.1.1"]


def test_s7_a_reply_that_takes_too_long_is_a_fault(program, tunnel, monkeypatch):
    monkeypatch.setattr(budget.Budget.__init__, "__defaults__", (budget.MAX_TESTS, -1.0))

    fault = program.fault("getObject", on=tunnel.pk)

    assert (fault.text, fault.status) == (budget.TOO_SLOW, 503)
