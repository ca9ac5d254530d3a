"""Two gateways with a tunnel each, and the sealed text of all tables, for tests of their keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import TypeAlias

import pytest
from django.apps import apps

from tests.fake_gateway import FakeGateway
from tests.integration.conftest import make_tunnel
from vpnportal import services
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed, SealedField
from vpnportal.maintenance.mail import store_mail
from vpnportal.management.database_copy.seals import CONTEXTS
from vpnportal.models import AddressPool, Concentrator, HeldTunnel, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.local_target import _local_target
from vpnportal.reconciler.revision_cache import revisions as revision_cache

Outcome = Revision.Outcome
ONE, TWO = "hou02-vpn01", "hou02-vpn02"
# Column, tunnel id, token and context of a sealed value.
SealedRow: TypeAlias = "tuple[str, int, Sealed, str]"


@pytest.fixture(autouse=True)
def new_worker():
    """Let each test have a worker that remembers nothing."""
    revision_cache.retain(())
    _local_target.cache_clear()


@pytest.fixture
def other(concentrator) -> Concentrator:
    """Return a second concentrator, with addresses for a tunnel that moves."""
    row = Concentrator.objects.create(
        name=TWO, datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    network = IPv4Network("203.0.113.32/29")
    AddressPool.objects.create(concentrator=row, kind="hosted-peer", network=network)
    return row


@pytest.fixture
def gateways(concentrator, other, monkeypatch) -> dict[int, FakeGateway]:
    fakes = {concentrator.pk: FakeGateway(), other.pk: FakeGateway()}
    monkeypatch.setattr(reconcile, "driver_for", lambda concentrator: fakes[concentrator.pk])
    return fakes


@pytest.fixture
def live(ready, user, gateways) -> Tunnel:
    """Return the tunnel of the example, live at gateway 1."""
    applied(ready, user)
    return ready


@pytest.fixture
def full(live, other, account, user, settings) -> tuple[Tunnel, Tunnel]:
    """Return a tunnel at each gateway, each with a row in every table that has sealed text."""
    settings.QUOTAS = {**settings.QUOTAS, "probes": 2}
    second = make_tunnel(account, other, "ipsec009", hosted="10.9.0.0/24")
    services.edit(second, "remote_peer", "203.0.113.9", user)
    services.set_preshared_key(second, "a key of gateway 2", user)
    services.add_remote_subnet(second, IPv4Network("192.168.90.0/24"), user)
    applied(second, user)
    for tunnel in (live, second):
        tunnel = Tunnel.objects.get(pk=tunnel.pk)
        services.edit(tunnel, "dpd_seconds", 40, user)
        services.discard(tunnel, user)
        services.start_probe(tunnel, user)
        HeldTunnel.objects.create(
            concentrator=tunnel.concentrator,
            tunnel_id=tunnel.pk,
            kind=HeldTunnel.Kind.CHANGED,
            number=7,
            specification=Revision.sealed(tunnel.draft(), 7, tunnel.concentrator.reader),
        )
    store_mail("anna@example.com", "Invitation", "a link")
    return live, second


def applied(tunnel: Tunnel, user) -> Revision:
    """Apply the draft, and return the revision as the converge left it."""
    revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), user)
    reconcile.converge(revision.concentrator_id)
    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    return revision


def sealed_rows() -> Iterator[SealedRow]:
    """Yield column, tunnel id, token and context of each sealed value in the database.

    The tunnel id is 0 in a table that has none.
    """
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SealedField):
                column = f"{model._meta.db_table}.{field.column}"
                rows = list(model._base_manager.exclude(**{field.name: ""}))
                assert rows, f"no row has something in {column}"
                for row in rows:
                    tunnel_id = row.pk if model is Tunnel else getattr(row, "tunnel_id", 0)
                    yield column, tunnel_id, getattr(row, field.name), CONTEXTS[model][0](row)


def opened(rows: Iterable[SealedRow]) -> set[tuple[str, int]]:
    """Return column and tunnel id of the values that open with the keys of this process."""
    found = set()
    for column, tunnel_id, sealed, context in rows:
        try:
            assert sealed.open(context)
            found.add((column, tunnel_id))
        except CannotOpen:
            pass
    return found
