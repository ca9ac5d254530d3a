"""Tunnels of ten concentrators and many accounts, written with COPY to PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.utils import timezone

from vpnportal.deployment import summary_triggers
from vpnportal.domain.tunnel.serialization import serialize, spec_digest
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Translation, TunnelSpec
from vpnportal.encryption import fingerprint_key
from vpnportal.fields import Sealed
from vpnportal.management.database_copy.tables import Table
from vpnportal.models import (
    Account,
    AddressTranslation,
    Concentrator,
    Datacenter,
    Membership,
    RemoteClaim,
    Revision,
    Role,
    Subnet,
    Tunnel,
    TunnelMark,
)

CONCENTRATORS, TRANSLATIONS, IN_SMALL_ACCOUNT = 10, 5, 200
# Every tenth tunnel belongs to the large account.
LARGE_SHARE = 10
LARGE, OPERATOR, OWNER, SMALL = "Large account", "operator", "large", "small"
HOSTED_PEERS, REMOTE_PEERS = IPv4Address("198.18.0.1"), IPv4Address("100.64.0.1")
STATIC_NAT, REMOTE_NETWORKS = IPv4Address("11.0.0.0"), IPv4Address("10.64.0.0")
HOSTED_NETWORKS = IPv4Address("172.16.0.0")
STATUSES = ("up", "up", "up", "down", "connecting", "")
CITIES = ("Lima", "Oslo", "Rome", "Dallas", "Houston", "Lagos", "Osaka")


class ScaleData:
    """The rows of one database, which grows from size to size."""

    def __init__(self) -> None:
        self.count = self.grown = 0
        self.accounts: dict[str, Account] = {}
        self.hosted: dict[int, Subnet] = {}
        self._ids: defaultdict[type[models.Model], int] = defaultdict(int)
        self.operator, self.owner, self.small = (
            User.objects.create(username=name) for name in (OPERATOR, OWNER, SMALL)
        )
        places = [
            Datacenter.objects.create(name=f"dc{n}", long_name=f"City {n}")
            for n in range(CONCENTRATORS // 2)
        ]
        self.concentrators = [
            Concentrator.objects.create(
                name=f"dc{n // 2}-vpn0{n % 2 + 1}",
                datacenter=places[n // 2],
                public_address=f"192.0.2.{n + 1}",
                seen_at=timezone.now(),
            )
            for n in range(CONCENTRATORS)
        ]

    def grow(self, size: int) -> None:
        """Add tunnels until there are `size`, without triggers, and analyze all tables."""
        summary_triggers.drop_triggers(connection)
        for model in self._ids:
            # Measurements have added revisions and claims.
            self._ids[model] = (
                model._base_manager.order_by("pk").values_list("pk", flat=True).last()
            )
        for first in range(self.count, size, 5_000):
            self._add(range(first, min(first + 5_000, size)))
        self.count, self.grown = size, self.grown + 1
        summary_triggers.install(connection)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            for model, last in self._ids.items():
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)",
                    [model._meta.db_table, last],
                )

    def keep_online(self) -> None:
        """Let nine concentrators report now; the tenth is offline."""
        rows = Concentrator.objects.exclude(pk=self.concentrators[-1].pk)
        rows.update(seen_at=timezone.now())

    def _add(self, numbers: range) -> None:
        rows: defaultdict[type[models.Model], list[models.Model]] = defaultdict(list)
        link = Tunnel.subnets.through
        translations: list[tuple[Any, ...]] = []
        key = fingerprint_key()
        for number in numbers:
            account = self._account(number)
            spec = specification(number, self.hosted[account.pk].network)
            digest = spec_digest(spec, key)
            tunnel = self._tunnel(number, spec, account, digest)
            rows[Tunnel].append(tunnel)
            mark = TunnelMark(
                concentrator_id=tunnel.concentrator_id, tunnel_id=tunnel.pk, number=tunnel.mark
            )
            rows[TunnelMark].append(self._numbered(mark))
            for kind, network in (
                (Subnet.Kind.CUSTOMER, spec.remote_subnets[0]),
                (Subnet.Kind.STATIC_NAT, spec.static_nat_subnets[0]),
            ):
                subnet = self._numbered(Subnet(account=account, kind=kind, network=network))
                rows[Subnet].append(subnet)
                own = link(tunnel_id=tunnel.pk, subnet_id=subnet.pk)
                rows[link].append(self._numbered(own))
            shared = link(tunnel_id=tunnel.pk, subnet_id=self.hosted[account.pk].pk)
            rows[link].append(self._numbered(shared))
            for row in spec.translations:
                # Five of each tunnel: as values, because model objects take longer.
                self._ids[AddressTranslation] += 1
                values = (tunnel.pk, str(row.internal), str(row.customer), row.name)
                translations.append((self._ids[AddressTranslation], *values))
            for revision in self._revisions(number, spec, tunnel, digest):
                rows[Revision].append(revision)
                if revision.outcome == Revision.Outcome.LIVE:
                    claims = RemoteClaim.all_of(revision, spec)
                    rows[RemoteClaim] += [self._numbered(claim) for claim in claims]
        for model in (Tunnel, TunnelMark, Subnet, link, Revision, RemoteClaim):
            write(model, rows[model])
        Table(AddressTranslation).write(translations, DEFAULT_DB_ALIAS)

    def _numbered(self, row: Any) -> Any:
        self._ids[type(row)] += 1
        row.pk = self._ids[type(row)]
        return row

    def _account(self, number: int) -> Account:
        """Return the account of a tunnel: the large one, or one of a few hundred small ones."""
        name = LARGE if number % LARGE_SHARE == 0 else f"Account {number // IN_SMALL_ACCOUNT:04}"
        if name not in self.accounts:
            account = self.accounts[name] = Account.objects.create(name=name)
            Membership.objects.create(account=account, user=self.operator, role=Role.OPERATOR)
            owner = {LARGE: self.owner, "Account 0000": self.small}.get(name)
            if owner:
                Membership.objects.create(account=account, user=owner, role=Role.OWNER)
            network = IPv4Network((int(HOSTED_NETWORKS) + len(self.accounts) * 256, 24))
            subnet = self._numbered(
                Subnet(account=account, kind=Subnet.Kind.HOSTED, network=network)
            )
            write(Subnet, [subnet])
            self.hosted[account.pk] = subnet
        return self.accounts[name]

    def _tunnel(self, number: int, spec: TunnelSpec, account: Account, digest: str) -> Tunnel:
        tunnel = Tunnel(
            account=account,
            concentrator=self.concentrators[number // 10 % CONCENTRATORS],
            name=f"ipsec{number + 1:05}",
            friendly_name=f"Branch {CITIES[number % len(CITIES)]} {number}",
            notes="Rack 7, call the night shift first" if number % 20 == 0 else "",
            hosted_peer=str(spec.hosted_peer),
            remote_peer=str(spec.remote_peer),
            preshared_key=Sealed.of(spec.preshared_key, f"tunnel {number + 1} preshared key"),
            ike_version=spec.ike_version,
            phase_one_encryption="AES128",
            phase_one_authentication="SHA1",
            phase_two_encryption="AES128",
            phase_two_authentication="SHA1",
            mark=place_at_concentrator(number) + 1,
            draft_digest="of another draft" if number % 7 == 3 else digest,
            sa_status=STATUSES[number % len(STATUSES)],
            disconnected_at=timezone.now() if number % 97 == 0 else None,
            cancelled_at=timezone.now() if number % 101 == 100 else None,
        )
        return self._numbered(tunnel)

    def _revisions(
        self, number: int, spec: TunnelSpec, tunnel: Tunnel, digest: str
    ) -> Iterator[Revision]:
        now, outcomes = timezone.now(), ["live"]
        if number % 50 == 7:
            outcomes = []
        elif tunnel.cancelled_at:
            outcomes = ["replaced"]
        elif number % 50 == 9:
            outcomes = ["live", "failed"]
        for index, outcome in enumerate(outcomes, 1):
            sealed = Sealed.of(serialize(spec), Revision.context(tunnel.pk, index))
            yield self._numbered(
                Revision(
                    tunnel_id=tunnel.pk,
                    concentrator_id=tunnel.concentrator_id,
                    number=index,
                    specification=sealed,
                    digest=digest,
                    hosted_peer=tunnel.hosted_peer,
                    remote_peer=tunnel.remote_peer,
                    mark=tunnel.mark,
                    author=self.operator,
                    created_at=now - timedelta(days=1),
                    finished_at=now - timedelta(minutes=10 + number % 40_000),
                    first_up_at=now,
                    outcome=outcome,
                )
            )


def place_at_concentrator(number: int) -> int:
    """Return how many tunnels of the same concentrator come before tunnel `number`."""
    return number // (10 * CONCENTRATORS) * 10 + number % 10


def specification(number: int, hosted: IPv4Network) -> TunnelSpec:
    """Return tunnel `number`, with a remote network of its own."""
    remote = IPv4Network((int(REMOTE_NETWORKS) + number * 16, 28))
    static_nat = IPv4Network((int(STATIC_NAT) + number * 8, 29))
    return TunnelSpec(
        tunnel_id=number + 1,
        hosted_peer=HOSTED_PEERS + number,
        remote_peer=REMOTE_PEERS + number,
        preshared_key=f"preshared key {number:06}",
        ike_version=1,
        phase_one=PhaseOne("AES128", "SHA1", 2, 14_400),
        phase_two=PhaseTwo("AES128", "SHA1", True, 2, 3_600),
        hosted_subnets=(hosted,),
        remote_subnets=(remote,),
        static_nat_subnets=(static_nat,),
        translations=tuple(
            Translation(static_nat[n], remote[n], f"host {n}") for n in range(1, TRANSLATIONS + 1)
        ),
    )


def write(model: Any, rows: list[Any]) -> None:
    """Write new rows with COPY."""
    table = Table(model)
    for row in rows if model is Subnet else ():
        for name in ("first", "last"):
            Subnet._meta.get_field(name).pre_save(row, add=True)
    names = [field.attname for field in table.fields]
    table.write([tuple(getattr(row, name) for name in names) for row in rows], DEFAULT_DB_ALIAS)
