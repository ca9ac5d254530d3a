"""Orders and cancellations: what is given is given once, also to many who ask at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tests.running_portal import ROOT
from vpnportal import services
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
    AddressPool.objects.create(concentrator=concentrator, kind="hosted-peer", network=IPv4Network(peers))
    AddressPool.objects.create(concentrator=concentrator, kind="static-nat", network=IPv4Network(blocks))
one_more = IPv4Network("198.51.3.0/30")
AddressPool.objects.create(concentrator=concentrator, kind="hosted-peer", network=one_more)
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


class Portal:
    """A portal's database file of its own, and processes that work on it."""

    def __init__(self, folder: Path) -> None:
        (folder / "db").mkdir()
        self.environment = {
            **os.environ,
            "VPNPORTAL_STATE": str(folder),
            "VPNPORTAL_SECRET_KEY": "only for this test",
        }
        self.run("migrate", "-v0")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), env=self.environment, cwd=ROOT, check=True)

    def start(self, code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("shell", "-v0", "-c", code),
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def test_forty_orders_at_once_for_thirty_addresses_are_thirty_tunnels_and_ten_sentences(tmp_path):
    portal = Portal(tmp_path)
    portal.run("shell", "-v0", "-c", SEED)
    workers = [portal.start(ORDER_FIVE) for _ in range(8)]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 8

    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [line for worker in workers for line in worker.communicate()[0].splitlines()]
    answers = [json.loads(line) for line in said]

    given = [answer for answer in answers if isinstance(answer, list)]
    names, peers, blocks, concentrators = zip(*given, strict=True)
    assert [answer for answer in answers if isinstance(answer, str)] == [USED_UP] * 10
    assert sorted(names) == [f"ipsec{number:03}" for number in range(1, 31)]
    assert (len(set(peers)), len(set(blocks))) == (30, 30)
    assert sorted(map(concentrators.count, set(concentrators))) == [14, 16]


@pytest.fixture
def pools(concentrator) -> Concentrator:
    """Two hosted peer addresses and two static NAT subnets."""
    for kind, network in (("hosted-peer", "198.51.100.0/30"), ("static-nat", "10.1.9.0/29")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator


def facts(tunnel: Tunnel) -> tuple[str, str, list[str]]:
    return tunnel.name, tunnel.hosted_peer, [str(row) for row in tunnel.subnets.all()]


def test_an_order_is_a_tunnel_with_a_name_an_address_and_a_block_and_nothing_applied(
    pools, account, user
):
    houston = pools.datacenter

    first = services.order(account, houston, user)
    second = services.order(account, houston, user)

    assert facts(first) == ("ipsec001", "198.51.100.1", ["10.1.9.0/30"])
    assert facts(second) == ("ipsec002", "198.51.100.2", ["10.1.9.4/30"])
    assert (first.account, first.ordered_by) == (account, user)
    assert services.state_of(first).label == "Never applied"


def test_the_concentrator_with_the_fewest_tunnels_and_room_is_taken(pools, account, user, tunnel):
    empty = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=pools.datacenter, public_address="203.0.113.5"
    )
    assert services.order(account, pools.datacenter, user).concentrator == pools

    for kind, network in (("hosted-peer", "198.51.100.8/30"), ("static-nat", "10.1.8.0/30")):
        AddressPool.objects.create(concentrator=empty, kind=kind, network=IPv4Network(network))

    assert services.order(account, pools.datacenter, user).concentrator == empty


@pytest.mark.parametrize("taken", ["10.1.9.4/31", "10.1.8.0/23", "10.1.9.0/29"])
def test_a_block_that_overlaps_a_network_of_the_provider_is_not_given(pools, account, user, taken):
    Subnet.objects.create(account=account, kind=Subnet.Kind.HOSTED, network=IPv4Network(taken))

    if taken == "10.1.9.4/31":
        assert facts(services.order(account, pools.datacenter, user))[2] == ["10.1.9.0/30"]
    with pytest.raises(services.Refused) as refusal:
        services.order(account, pools.datacenter, user)

    assert refusal.value.problems[0].text == USED_UP.replace(
        "hosted peer address", "static NAT subnet"
    )


def test_a_location_without_a_concentrator_is_told(account, user, pools):
    pools.delete()

    with pytest.raises(services.Refused) as refusal:
        services.order(account, pools.datacenter, user)

    assert str(refusal.value).startswith("There is no concentrator in Houston 2 yet.")


@pytest.fixture
def applied(pools, ready, user, gateway) -> Tunnel:
    """The mission's example, live; its static NAT subnet is one of a pool."""
    block = IPv4Network("10.1.255.0/24")
    AddressPool.objects.create(concentrator=pools, kind="static-nat", network=block)
    services.apply(ready, user)
    reconcile.converge(pools.pk, ready.pk)
    return ready


def test_a_cancelled_tunnel_is_taken_off_first_and_then_its_addresses_are_free(
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
    departure = applied.releases.get()
    assert (departure.author, departure.hosted_peer) == (user, "203.0.113.1")
    assert f"Unloaded the connection ctx{applied.pk}" in [one["text"] for one in departure.steps]
    revision.refresh_from_db()
    assert (revision.outcome, revision.reason) == (Outcome.WITHDRAWN, "The tunnel was deleted.")
    again = services.order(applied.account, applied.concentrator.datacenter, user)
    assert (again.name, again.hosted_peer) == ("ipsec002", "203.0.113.1")


def test_a_cancelled_tunnels_addresses_stay_taken_while_its_concentrator_is_away(
    applied,
    user,
    gateway,
):
    gateway.unreachable = "charon is not running."
    services.cancel(applied, user)

    with pytest.raises(reconcile.GatewayError):
        reconcile.converge(applied.concentrator_id)
    # A look at this tunnel alone does not tell that nothing is left of it.
    gateway.unreachable = ""
    reconcile.converge(applied.concentrator_id, applied.pk)

    assert services.state_of(applied).releasing_from == ("hou02-vpn01",)
    reconcile.converge(applied.concentrator_id)
    assert services.state_of(applied).releasing_from == ()


def test_what_is_left_of_a_cancelled_tunnel_keeps_its_addresses(
    applied, user, gateway, second_tunnel
):
    """While a revision cannot be opened, nobody knows whose the translations are that stand."""
    other = services.apply(second_tunnel, user)
    reconcile.converge(applied.concentrator_id, second_tunnel.pk)
    sealed = other.specification
    Revision.objects.filter(pk=other.pk).update(specification=Sealed("00000000:nothing"))
    # The worker starts anew, and remembers nothing.
    revision_cache.retain([])

    services.cancel(applied, user)
    reconcile.converge(applied.concentrator_id)
    assert (len(gateway.elements), services.state_of(applied).label) == (2, "Being deleted")

    Revision.objects.filter(pk=other.pk).update(specification=sealed)
    reconcile.converge(applied.concentrator_id)
    assert (gateway.elements, services.state_of(applied).label) == (set(), "Deleted")


def test_taking_a_cancelled_tunnel_off_is_no_drift(applied, user):
    services.cancel(applied, user)
    reconcile.converge(applied.concentrator_id)

    assert not applied.concentrator.repairs.exists()


def test_a_late_message_about_a_cancelled_tunnel_takes_nothing_from_its_successor(
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
    held = set(gateway.elements)

    reconcile.converge(applied.concentrator_id, applied.pk)

    assert gateway.elements == held != set()


def test_a_tunnel_that_was_never_applied_is_cancelled_at_once(pools, account, user):
    tunnel = services.order(account, pools.datacenter, user)

    services.cancel(tunnel, user)

    assert services.state_of(tunnel).label == "Deleted"
    assert facts(services.order(account, pools.datacenter, user)) == (
        "ipsec002",
        "198.51.100.1",
        ["10.1.9.0/30"],
    )


def test_a_block_that_came_from_no_pool_stays_the_accounts(tunnel, user):
    services.cancel(tunnel, user)

    assert [str(row) for row in Subnet.objects.order_by("pk")] == ["10.2.0.0/24", "10.1.255.92/30"]


@pytest.mark.parametrize("act", [services.apply, services.cancel])
def test_nothing_is_done_to_a_cancelled_tunnel(tunnel, user, act):
    services.cancel(tunnel, user)

    with pytest.raises(services.Refused, match="was deleted"):
        act(tunnel, user)
