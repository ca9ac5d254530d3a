"""A restored backup beside a gateway that is newer, for the tests of epochs and held tunnels."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from tests.html import read
from vpnportal import services
from vpnportal.models import (
    AddressPool,
    Concentrator,
    HeldTunnel,
    Revision,
    Tunnel,
)
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.local_target import _local_target

Outcome = Revision.Outcome
Kind = HeldTunnel.Kind
# charon renews keys after 90 % of their life, which is an hour in a new draft.
REKEY_OF_AN_HOUR = "3240"


class Backup:
    """The state of the database at its creation, and of `gateway` at the restore."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._savepoint = transaction.savepoint()

    def restore(self) -> None:
        """Bring the database back, with new epochs, and the worker to a new process."""
        transaction.savepoint_rollback(self._savepoint)
        for row in Concentrator.objects.all():
            Concentrator.objects.filter(pk=row.pk).update(
                epoch=uuid4(), restored_from=timezone.now() - timedelta(hours=1)
            )
        _local_target.cache_clear()
        self.gateway_before = state(self._gateway)
        self._gateway.plans.clear()
        self._gateway.initiated.clear()

    def changed(self) -> bool:
        """Return True if the gateway is not as it was at the restore."""
        return bool(
            state(self._gateway) != self.gateway_before
            or self._gateway.initiated
            or any(self._gateway.plans)
        )


def state(gateway: FakeGateway) -> tuple[object, ...]:
    parts = (gateway.connections, gateway.secrets, gateway.elements, gateway.routes)
    return (*map(copy, parts), copy(gateway.ike_sas), copy(gateway.loopback_addresses))


def converge(concentrator: Concentrator, tunnel_id: int | None = None) -> None:
    while reconcile.converge(concentrator.pk, tunnel_id):
        pass


def fresh(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def apply(tunnel: Tunnel, user: User, keylife: int | None = None) -> Revision:
    """Apply the draft, with another key life, and converge the tunnel."""
    if keylife:
        services.edit(fresh(tunnel), "phase_two_keylife", keylife, user)
    revision = services.apply(fresh(tunnel), user)
    converge(fresh(tunnel).concentrator, tunnel.pk)
    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    return revision


def held() -> dict[int, str]:
    return dict(HeldTunnel.objects.undecided().values_list("tunnel_id", "kind"))


@pytest.fixture
def pools(concentrator) -> None:
    AddressPool.objects.create(
        concentrator=concentrator, kind="hosted-peer", network="203.0.113.16/28"
    )
    AddressPool.objects.create(concentrator=concentrator, kind="static-nat", network="10.9.0.0/28")


@pytest.fixture
def ordered(ready, account, concentrator, pools, user, owner, gateway) -> Callable[[], Tunnel]:
    """Return a function that orders a tunnel, fills it in and applies it."""

    def order() -> Tunnel:
        tunnel = services.order(account, concentrator.datacenter, owner)
        services.edit(tunnel, "remote_peer", "198.51.100.77", user)
        services.set_preshared_key(tunnel, "another key", user)
        services.add_remote_subnet(tunnel, services.parse_subnet("192.168.70.0", "24"), user)
        hosted = account.subnets.filter(kind="hosted").earliest("pk")
        services.attach_subnet(tunnel, hosted, user)
        internal = tunnel.subnets.get(kind="static-nat").network[1]
        row = services.TranslationRow(
            internal, services.parse_address("192.168.70.5"), "behind the peer"
        )
        services.set_translations(tunnel, [row], user)
        apply(tunnel, user)
        return tunnel

    return order


@pytest.fixture
def three_kinds(ready, second_tunnel, ordered, user, owner, gateway) -> tuple[Backup, Tunnel]:
    """Return a restored backup, and the tunnel that it does not know.

    `ready` was applied after the backup, `second_tunnel` was disconnected.
    """
    apply(ready, user)
    apply(second_tunnel, user)
    backup = Backup(gateway)
    unknown = ordered()
    apply(ready, user, 1_800)
    apply(ready, user, 2_400)
    services.disconnect(fresh(second_tunnel), owner)
    converge(ready.concentrator, second_tunnel.pk)
    converge(ready.concentrator)
    backup.restore()
    return backup, unknown


def text_of(response: HttpResponse) -> str:
    """Return the words of a page."""
    return " ".join(" ".join(read(response).itertext()).split())
