"""Orders and deletions of tunnels: no address is allocated twice, also to concurrent orders."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.portal_processes import Portal, run_at_once
from vpnportal import services
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.fields import Sealed
from vpnportal.models import AddressPool, Concentrator, Revision, Subnet, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.revision_cache import revisions as revision_cache

Outcome = Revision.Outcome

SEED = """
from ipaddress import IPv4Network
from django.contrib.auth.models import User
from vpnportal.models import *
User.objects.create_user("ada")
Account.objects.create(name="Example account")
houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
for number in (1, 2):
    concentrator = Concentrator.objects.create(
        name=f"hou02-vpn0{number}", datacenter=houston, public_address=f"203.0.113.{number}"
    )
    peers, blocks = f"198.51.{number}.0/28", f"10.1.{number}.0/24"
    for kind, pool in (("hosted-peer", peers), ("static-nat", blocks)):
        network = IPv4Network(pool)
        AddressPool.objects.create(concentrator=concentrator, kind=kind, network=network)
small = IPv4Network("198.51.3.0/30")
AddressPool.objects.create(concentrator=concentrator, kind="hosted-peer", network=small)
"""
ORDER_FIVE = """
import json
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import *
account, houston, ada = Account.objects.get(), Datacenter.objects.get(), User.objects.get()
print("ready", flush=True)
input()
for _ in range(5):
    try:
        tunnel = services.order(account, houston, ada)
    except services.Refused as refused:
        print(json.dumps(str(refused)))
    else:
        (block,) = tunnel.subnets.all()
        print(json.dumps([tunnel.name, tunnel.hosted_peer, str(block), tunnel.concentrator.name]))
"""
USED_UP = (
    "No hosted peer address is left in Houston 2. "
    "Ask the operators of the service for more, or choose another location."
)


def test_forty_concurrent_orders_of_thirty_addresses_give_thirty_tunnels(tmp_path):
    portal = Portal(tmp_path)
    portal.run("shell", "-v0", "-c", SEED)
    workers = [portal.start(ORDER_FIVE) for _ in range(8)]

    results = [json.loads(line) for line in run_at_once(workers)]

    tunnels = [result for result in results if isinstance(result, list)]
    names, peers, blocks, concentrators = zip(*tunnels, strict=True)
    assert [result for result in results if isinstance(result, str)] == [USED_UP] * 10
    assert sorted(names) == [f"ipsec{number:03}" for number in range(1, 31)]
    assert (len(set(peers)), len(set(blocks))) == (30, 30)
    assert sorted(map(concentrators.count, set(concentrators))) == [14, 16]


@pytest.fixture
def pools(concentrator) -> Concentrator:
    """Return a concentrator with two hosted peer addresses and two static NAT subnets."""
    for kind, network in (("hosted-peer", "198.51.100.0/30"), ("static-nat", "10.1.9.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator


def facts(tunnel: Tunnel) -> tuple[str, str, list[str]]:
    return tunnel.name, tunnel.hosted_peer, [str(row) for row in tunnel.subnets.all()]


def test_an_order_creates_a_tunnel_with_name_address_and_block_and_without_revision(
    pools, account, user
):
    houston = pools.datacenter

    first = services.order(account, houston, user)
    second = services.order(account, houston, user)

    assert facts(first) == ("ipsec001", "198.51.100.1", ["10.1.9.0/30"])
    assert facts(second) == ("ipsec002", "198.51.100.2", ["10.1.9.4/30"])
    assert (first.account, first.ordered_by) == (account, user)
    assert services.state_of(first).label == "Never applied"


@pytest.mark.parametrize(
    ("peers", "blocks", "taken"),
    [
        ("198.51.100.0/29", "10.1.9.0/26", []),
        ("198.51.100.0/29", "10.1.9.0/28", ["10.1.9.8/29", "10.1.9.1/32"]),
        ("198.51.100.0/31", "10.1.9.0/28", []),
        ("198.51.100.0/28", "10.1.9.0/28", ["10.0.0.0/8"]),
    ],
    ids=["peers end first", "blocks end first", "two addresses without ends", "a larger subnet"],
)
def test_the_numbers_of_free_addresses_are_those_of_the_orders_that_succeed(
    concentrator, account, user, peers, blocks, taken
):
    for kind, network in (("hosted-peer", peers), ("static-nat", blocks)):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    for network in taken:
        Subnet.objects.create(
            account=account, kind=Subnet.Kind.HOSTED, network=IPv4Network(network)
        )

    counted = []
    for _ in range(20):
        counted.append([use.free for use in services.pool_uses()])
        try:
            services.order(account, concentrator.datacenter, user)
        except services.Refused:
            break

    orders = len(counted) - 1
    assert min(counted[0]) == orders
    assert counted == [[counted[0][0] - n, counted[0][1] - n] for n in range(orders + 1)]


def test_an_order_uses_the_concentrator_with_the_fewest_tunnels_and_free_addresses(
    pools, account, user, tunnel
):
    empty = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=pools.datacenter, public_address="203.0.113.5"
    )
    assert services.order(account, pools.datacenter, user).concentrator == pools

    for kind, network in (("hosted-peer", "198.51.100.8/30"), ("static-nat", "10.1.8.0/30")):
        AddressPool.objects.create(concentrator=empty, kind=kind, network=IPv4Network(network))

    assert services.order(account, pools.datacenter, user).concentrator == empty


@pytest.mark.parametrize("taken", ["10.1.9.4/31", "10.1.8.0/23", "10.1.9.0/29"])
def test_a_block_that_overlaps_a_network_of_the_provider_is_not_allocated(
    pools, account, user, taken
):
    Subnet.objects.create(account=account, kind=Subnet.Kind.HOSTED, network=IPv4Network(taken))

    if taken == "10.1.9.4/31":
        assert facts(services.order(account, pools.datacenter, user))[2] == ["10.1.9.0/30"]
    with pytest.raises(services.Refused) as refusal:
        services.order(account, pools.datacenter, user)

    assert refusal.value.problems[0].text == USED_UP.replace(
        "hosted peer address", "static NAT subnet"
    )


def test_an_order_at_a_location_without_concentrator_is_refused(account, user, pools):
    pools.delete()

    with pytest.raises(services.Refused) as refusal:
        services.order(account, pools.datacenter, user)

    assert str(refusal.value).startswith("There is no concentrator in Houston 2 yet.")


@pytest.fixture
def applied(pools, ready, user, gateway) -> Tunnel:
    """Return the tunnel of the example, live, with a static NAT subnet from a pool."""
    block = IPv4Network("10.1.255.0/24")
    AddressPool.objects.create(concentrator=pools, kind="static-nat", network=block)
    services.apply(ready, user)
    reconcile.converge(pools.pk, ready.pk)
    return ready


def test_the_addresses_of_a_deleted_tunnel_are_free_after_its_removal(
    applied,
    user,
    gateway,
):
    revision = applied.revisions.get()
    AddressPool.objects.create(
        concentrator=applied.concentrator, kind="hosted-peer", network=IPv4Network("203.0.113.0/30")
    )
    AddressPool.objects.filter(network="198.51.100.0/30").delete()
    Concentrator.objects.update(public_address="203.0.113.2")

    services.cancel(applied, user)

    assert services.state_of(applied).label == "Being deleted"
    assert services.state_of(applied).releasing_from == ("hou02-vpn01",)
    assert applied.subnets.filter(network="10.1.255.92/30").exists()
    with pytest.raises(services.Refused, match="No hosted peer address is left"):
        services.order(applied.account, applied.concentrator.datacenter, user)

    reconcile.converge(applied.concentrator_id)

    assert (gateway.connections, gateway.secrets, gateway.elements) == ({}, {}, set())
    assert services.state_of(applied).label == "Deleted"
    assert not Subnet.objects.filter(kind__in=("static-nat", "customer")).exists()
    release = applied.releases.get()
    assert (release.author, release.hosted_peer) == (user, "203.0.113.1")
    assert f"Unloaded the connection ctx{applied.pk}" in [step["text"] for step in release.steps]
    revision.refresh_from_db()
    assert (revision.outcome, revision.reason) == (Outcome.WITHDRAWN, "The tunnel was deleted.")
    again = services.order(applied.account, applied.concentrator.datacenter, user)
    assert (again.name, again.hosted_peer) == ("ipsec002", "203.0.113.1")


def test_the_addresses_of_a_deleted_tunnel_stay_reserved_while_its_concentrator_is_offline(
    applied,
    user,
    gateway,
):
    gateway.unreachable = "charon is not running."
    services.cancel(applied, user)

    with pytest.raises(reconcile.GatewayError):
        reconcile.converge(applied.concentrator_id)
    # An observation of one tunnel does not show that nothing of the tunnel is left.
    gateway.unreachable = ""
    reconcile.converge(applied.concentrator_id, applied.pk)

    assert services.state_of(applied).releasing_from == ("hou02-vpn01",)
    reconcile.converge(applied.concentrator_id)
    assert services.state_of(applied).releasing_from == ()


def test_the_remains_of_a_deleted_tunnel_keep_its_addresses_reserved(
    applied, user, gateway, second_tunnel
):
    """While a revision does not decrypt, the tunnels of the loaded translations are not known."""
    other = services.apply(second_tunnel, user)
    reconcile.converge(applied.concentrator_id, second_tunnel.pk)
    sealed = other.specification
    Revision.objects.filter(pk=other.pk).update(specification=Sealed("00000000:nothing"))
    # The worker restarts with an empty cache.
    revision_cache.retain([])

    elements = set(gateway.elements)
    services.cancel(applied, user)
    reconcile.converge(applied.concentrator_id)
    assert (gateway.elements, services.state_of(applied).label) == (elements, "Being deleted")

    Revision.objects.filter(pk=other.pk).update(specification=sealed)
    reconcile.converge(applied.concentrator_id)
    assert services.state_of(applied).label == "Deleted"
    assert NatMap.INBOUND not in {element.map for element in gateway.elements}


def test_the_removal_of_a_deleted_tunnel_is_no_drift_repair(applied, user):
    services.cancel(applied, user)
    reconcile.converge(applied.concentrator_id)

    assert not applied.concentrator.repairs.exists()


def test_a_late_message_for_a_deleted_tunnel_removes_nothing_of_its_successor(
    applied,
    user,
    gateway,
    second_tunnel,
):
    services.cancel(applied, user)
    reconcile.converge(applied.concentrator_id)
    block = Subnet.objects.create(
        account=applied.account, kind="static-nat", network=IPv4Network("10.1.255.92/30")
    )
    second_tunnel.subnets.add(block)
    services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)
    row = services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"))
    services.set_translations(second_tunnel, [row], user)
    services.apply(second_tunnel, user)
    reconcile.converge(applied.concentrator_id, second_tunnel.pk)
    elements = set(gateway.elements)

    reconcile.converge(applied.concentrator_id, applied.pk)

    assert gateway.elements == elements != set()


def test_a_tunnel_without_revision_is_deleted_at_once(pools, account, user):
    tunnel = services.order(account, pools.datacenter, user)

    services.cancel(tunnel, user)

    assert services.state_of(tunnel).label == "Deleted"
    assert facts(services.order(account, pools.datacenter, user)) == (
        "ipsec002",
        "198.51.100.1",
        ["10.1.9.0/30"],
    )


def test_a_block_from_no_pool_stays_with_the_account(tunnel, user):
    services.cancel(tunnel, user)

    assert [str(row) for row in Subnet.objects.order_by("pk")] == ["10.2.0.0/24", "10.1.255.92/30"]


@pytest.mark.parametrize("operation", [services.apply, services.cancel])
def test_every_operation_on_a_deleted_tunnel_is_refused(tunnel, user, operation):
    services.cancel(tunnel, user)

    with pytest.raises(services.Refused, match="was deleted"):
        operation(tunnel, user)
