"""Marks: each tunnel has a number of its own at its concentrator, in a revision as in the draft."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from vpnportal import services
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.models import AddressPool, Concentrator, Revision, Tunnel, TunnelMark
from vpnportal.models.tunnel_marks import MARKS
from vpnportal.reconciler import reconcile

pytestmark = pytest.mark.django_db


def add_pools(concentrator: Concentrator, hosted_peers: str, static_nat: str) -> Concentrator:
    for kind, network in (("hosted-peer", hosted_peers), ("static-nat", static_nat)):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    return concentrator


@pytest.fixture
def old(concentrator) -> Concentrator:
    return add_pools(concentrator, "203.0.113.16/28", "10.1.255.0/24")


@pytest.fixture
def new(concentrator) -> Concentrator:
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    return add_pools(other, "203.0.113.32/28", "10.1.254.0/24")


def marks(concentrator: Concentrator) -> list[tuple[int, str | None, bool]]:
    """Return the marks of a concentrator: number, tunnel, and True while the tunnel holds it."""
    rows = concentrator.marks.order_by("number").select_related("tunnel")
    return [
        (row.number, row.tunnel.name if row.tunnel else None, row.released_at is None)
        for row in rows
    ]


def reserve_all(concentrator: Concentrator) -> None:
    taken = set(concentrator.marks.values_list("number", flat=True))
    TunnelMark.objects.bulk_create(
        TunnelMark(concentrator=concentrator, number=number, released_at=timezone.now())
        for number in MARKS
        if number not in taken
    )


def test_an_order_gives_each_tunnel_its_own_number(account, user, old):
    first, second = (services.order(account, old.datacenter, user) for _ in range(2))

    assert [first.mark, second.mark] == [1, 2]
    assert marks(old) == [(1, first.name, True), (2, second.name, True)]


def test_a_revision_keeps_the_number_of_its_tunnel(ready, user, old):
    revision = services.apply(ready, user)

    assert revision.mark == Tunnel.objects.get(pk=ready.pk).mark == 1


def test_a_moved_tunnel_holds_a_number_at_both_concentrators_until_the_old_one_is_free(
    ready, second_tunnel, user, old, new, gateway
):
    services.apply(second_tunnel, user)
    services.apply(ready, user)
    reconcile.converge(old.pk)

    services.move(ready, new, user)
    assert Tunnel.objects.get(pk=ready.pk).mark == 1
    assert marks(old) == [(1, "ipsec002", True), (2, "ipsec001", True)]
    assert marks(new) == [(1, "ipsec001", True)]
    assert ready.revisions.get().mark == 2

    assert services.apply(ready, user).mark == 1
    reconcile.converge(new.pk)
    reconcile.converge(old.pk)
    assert marks(old) == [(1, "ipsec002", True), (2, "ipsec001", False)]


def test_a_tunnel_that_moves_back_has_its_old_number_again(ready, user, old, new, gateway):
    services.apply(ready, user)
    reconcile.converge(old.pk)

    services.move(ready, new, user)
    services.move(ready, old, user)

    assert Tunnel.objects.get(pk=ready.pk).mark == 1
    assert marks(old) == [(1, "ipsec001", True)]
    assert marks(new) == [(1, "ipsec001", False)]


def test_a_rolled_back_move_has_the_number_of_the_old_concentrator(
    ready, second_tunnel, user, old, new, gateway
):
    services.apply(second_tunnel, user)
    services.apply(ready, user)
    reconcile.converge(old.pk)
    services.move(ready, new, user)
    services.apply(ready, user, trial=services.Trial(5))
    reconcile.converge(new.pk)
    gateway.ike_sas.clear()
    Revision.objects.filter(trial_ends_at__isnull=False).update(trial_ends_at=timezone.now())
    reconcile.converge(new.pk, ready.pk)

    restored = Revision.objects.get(tunnel=ready, restored_number=1)
    assert (restored.concentrator, restored.mark) == (old, 2)


def test_a_released_number_waits_until_its_zone_is_empty(account, user, old):
    tunnel = services.order(account, old.datacenter, user)
    services.cancel(tunnel, user)
    later = timezone.now() + timedelta(seconds=1)

    assert services.order(account, old.datacenter, user).mark == 2
    assert TunnelMark.objects.free(old, {1}, before=later) == 0
    assert TunnelMark.objects.free(old, set(), before=later - timedelta(hours=1)) == 0
    assert services.order(account, old.datacenter, user).mark == 3
    assert TunnelMark.objects.free(old, {2, 3}, before=later) == 1
    assert services.order(account, old.datacenter, user).mark == 1


def test_a_full_converge_frees_a_released_number_whose_zone_is_empty(ready, user, old, gateway):
    services.apply(ready, user)
    reconcile.converge(old.pk)
    services.cancel(ready, user)
    reconcile.converge(old.pk)
    assert marks(old) == [(1, "ipsec001", False)]

    gateway.flows.add(NatFlows(NatElement(NatMap.INBOUND, 1, 2), zone=1))
    reconcile.converge(old.pk)
    assert marks(old) == [(1, "ipsec001", False)]

    gateway.flows.clear()
    reconcile.converge(old.pk)
    assert marks(old) == []


def test_no_two_tunnels_of_a_concentrator_hold_one_number(tunnel, second_tunnel, old, new):
    TunnelMark.objects.create(concentrator=old, number=7, tunnel=tunnel)
    TunnelMark.objects.create(concentrator=new, number=7, tunnel=second_tunnel)

    for row in (
        TunnelMark(concentrator=old, number=7, tunnel=second_tunnel),
        TunnelMark(concentrator=old, number=8, tunnel=tunnel),
        TunnelMark(concentrator=old, number=0, tunnel=second_tunnel),
        TunnelMark(concentrator=old, number=65_536, tunnel=second_tunnel),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save()


def test_without_a_number_orders_moves_and_applies_are_refused_in_words(
    account, ready, second_tunnel, user, old, new
):
    reserve_all(old)

    with pytest.raises(services.Refused, match="No number for another tunnel is left in Houston 2"):
        old.datacenter.concentrators.exclude(pk=old.pk).delete()
        services.order(account, old.datacenter, user)
    with pytest.raises(services.Refused, match="hou02-vpn01 has no number left"):
        services.apply(ready, user)
    assert not ready.revisions.exists()


def test_a_move_to_a_concentrator_without_a_number_changes_nothing(ready, user, old, new):
    reserve_all(new)

    with pytest.raises(services.Refused, match="hou02-vpn02 has no number left"):
        services.move(ready, new, user)

    assert Tunnel.objects.get(pk=ready.pk).concentrator == old
    assert not ready.releases.exists()


@pytest.mark.parametrize(
    ("held", "lowest"), [([], 1), ([1, 2], 3), ([2, 3], 1), ([1, 2, 4, 7], 3), ([1, 3, 4], 2)]
)
def test_the_lowest_number_that_is_free_comes_next(old, held, lowest):
    TunnelMark.objects.all().delete()
    now = timezone.now()
    TunnelMark.objects.bulk_create(
        TunnelMark(concentrator=old, number=number, released_at=now) for number in held
    )

    assert TunnelMark.objects.first_unused(old) == lowest
