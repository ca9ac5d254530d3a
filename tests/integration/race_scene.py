"""The tunnels for two operations at once: live, with pending changes, at one concentrator."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User
from django.test import Client

from tests.integration.conftest import make_tunnel
from vpnportal import models, services
from vpnportal.fields import Sealed
from vpnportal.models import Account, Concentrator, Datacenter, Role, Subnet, Tunnel
from vpnportal.reconciler import revision_outcomes

# Both drafts have the shared network, so only one of them can be applied.
SHARED, UNUSED = IPv4Network("192.168.77.0/24"), IPv4Network("192.168.79.0/24")
# Rows of an earlier pair, in an order in which each may be deleted.
RENEWED = (
    models.HeldTunnel,
    models.DriftRepair,
    models.AddressRelease,
    models.TunnelCommand,
    models.PeerProbe,
    models.TranslationImport,
    models.KeyRotation,
    models.KeyReveal,
    models.LastEdit,
    models.DraftBackup,
    models.DiagnosticLog,
    models.TranslationUsage,
    models.Traffic,
    models.RemoteClaim,
    models.RefusedApply,
    models.Revision,
    models.AddressTranslation,
    models.TunnelMark,
    models.Tunnel.subnets.through,
    models.Tunnel,
    models.Subnet,
    models.AddressPool,
    models.Invitation,
    models.ApiKey,
    models.Membership,
)


class Scene:
    """Two tunnels of one account at one concentrator, live and with pending changes."""

    def __init__(self) -> None:
        houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
        self.concentrator, self.other_concentrator = (
            Concentrator.objects.create(
                name=f"hou02-vpn0{n}", datacenter=houston, public_address=f"203.0.113.{n}"
            )
            for n in (1, 2)
        )
        self.account = Account.objects.create(name="Example account")
        self.people = [User.objects.create_user(name) for name in ("olga", "ada", "bob", "eve")]
        # Of a service operator.
        self.page = Client()
        self.page.force_login(User.objects.create_superuser("otto"))

        self._make_rows()
        # In an order in which each may be inserted.
        models_with_rows = [model for model in reversed(RENEWED) if model._base_manager.exists()]
        self._envelope_keys = dict(Concentrator.objects.values_list("pk", "envelope_key"))
        self._rows = {model: list(model._base_manager.all()) for model in models_with_rows}

    def renew(self) -> None:
        """Put back all rows that an operation may have changed."""
        for concentrator in (self.concentrator, self.other_concentrator):
            # The revisions that are put back are sealed for this key.
            concentrator.envelope_key = self._envelope_keys[concentrator.pk]
            concentrator.save(update_fields=["envelope_key"])
        for model in RENEWED:
            model._base_manager.all()._raw_delete("default")
        for model, rows in self._rows.items():
            model._base_manager.bulk_create(rows)
        self.tunnel, self.neighbour = Tunnel.objects.order_by("pk")

    def _make_rows(self) -> None:
        self.olga, self.ada, self.bob, self.eve = self.people
        for person, role in zip(self.people, (Role.OWNER, Role.OWNER, Role.OPERATOR), strict=False):
            models.Membership.objects.create(account=self.account, user=person, role=role)
        for number, concentrator in enumerate((self.concentrator, self.other_concentrator), 1):
            concentrator.pools.create(kind="hosted-peer", network=f"198.51.100.{16 * number}/28")
            concentrator.pools.create(kind="static-nat", network=f"10.{100 + number}.0.0/24")
        self.offered = Subnet.objects.create(
            account=self.account, kind=Subnet.Kind.HOSTED, network=IPv4Network("10.9.0.0/24")
        )
        for number in (1, 2):
            self._make_live(number)
        self.token = services.invite(self.account, Role.VIEWER, "", self.olga)
        services.create_api_key(self.account, self.bob, "a program")

    def _make_live(self, number: int) -> None:
        tunnel = make_tunnel(
            self.account,
            self.concentrator,
            f"ipsec{number:03}",
            hosted=f"10.{number}.0.0/24",
            static_nat=f"10.20{number}.0.0/30",
            customer=f"192.168.{number}.0/24",
        )
        tunnel.remote_peer = f"192.0.2.{number}"
        tunnel.preshared_key = Sealed.of("a key", tunnel.preshared_key_context)
        tunnel.save()
        for group in (5, 14):
            services.edit(tunnel, "phase_one_group", group, self.bob)
            revision = services.apply(tunnel, self.bob)
            revision_outcomes.mark_live([revision])
            revision_outcomes.mark_up([revision.pk])
        services.edit(tunnel, "phase_two_group", 14, self.bob)
        services.add_remote_subnet(tunnel, SHARED, self.bob)
        row = services.TranslationRow(
            IPv4Address(f"10.20{number}.0.1"), IPv4Address(f"192.168.{number}.9")
        )
        services.set_translations(tunnel, [row], self.bob)

    def subnet(self, network: IPv4Network) -> Subnet:
        """Return the customer subnet with a network."""
        return Subnet.objects.get(account=self.account, kind="customer", network=network)

    def membership(self, person: User) -> models.Membership:
        """Return the membership of a person."""
        return models.Membership.objects.get(account=self.account, user=person)
