"""`manage.py firsttime`: create the initial data of a new portal, once."""

from __future__ import annotations

import os
import secrets
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from vpnportal import services
from vpnportal.models import (
    Account,
    AddressPool,
    Concentrator,
    Datacenter,
    Event,
    Membership,
    Role,
    Subnet,
    Tunnel,
    record_event,
)

# Public address, hosted peer addresses and static NAT subnets of the laboratory's concentrators.
SITES = (
    ("203.0.113.1", "203.0.113.16/28", "10.1.255.0/24"),
    ("203.0.113.5", "203.0.113.32/28", "10.1.254.0/24"),
)
USER_NAME = "admin"
PASSWORD_BYTES = 15


class Command(BaseCommand):
    """Command that creates an account with an admin, a data center, concentrators and a tunnel.

    The admin is also an operator. A later run creates only additional concentrators with new names.
    """

    help = (
        "Create the first account, its admin user and its first tunnel, unless there is an account."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--password-file", required=True, help="gets the admin's password; - is standard output"
        )
        parser.add_argument("--concentrators", nargs="+", default=["hou02-vpn01"])

    def handle(self, *args: Any, **options: Any) -> None:
        first, *additional = options["concentrators"][: len(SITES)]
        with transaction.atomic():
            if not Account.objects.exists():
                password = self.make_account(_concentrator(first, SITES[0]))
                self.write_password(options["password_file"], password)
            for name, site in zip(additional, SITES[1:], strict=False):
                _concentrator(name, site)

    def make_account(self, concentrator: Concentrator) -> str:
        """Create the account, its admin and its first tunnel; return the admin's password."""
        account = Account.objects.create(name="Example account")
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        user = User.objects.create_superuser(USER_NAME, password=password)
        Membership.objects.create(account=account, user=user, role=Role.OWNER)
        first_tunnel(account, concentrator)
        record_event(Event.Action.ACCOUNT_CREATED, actor="vpnportal firsttime", account=account)
        return password

    def write_password(self, file: str, password: str) -> None:
        """Write the only copy of the password to a file that only its owner can read."""
        if file == "-":
            self.stdout.write(password)
            self.stdout.flush()
            return
        Path(file).unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(password + "\n")


def _concentrator(name: str, site: tuple[str, str, str]) -> Concentrator:
    """Return the concentrator `name`; create it with two address pools if it does not exist."""
    address, hosted_peers, static_nat = site
    houston, _ = Datacenter.objects.get_or_create(name="hou02", long_name="Houston 2")
    concentrator, created = Concentrator.objects.get_or_create(
        name=name, defaults={"datacenter": houston, "public_address": address}
    )
    if created:
        for kind, network in (
            (AddressPool.Kind.HOSTED_PEER, hosted_peers),
            (AddressPool.Kind.STATIC_NAT, static_nat),
        ):
            pool = AddressPool(concentrator=concentrator, kind=kind, network=IPv4Network(network))
            pool.save()
    return concentrator


def first_tunnel(account: Account, concentrator: Concentrator) -> None:
    """Create the tunnel of the example, with its hosted and static NAT subnets."""
    # The addresses are those of the laboratory and of the README's example.
    tunnel = Tunnel.objects.create(
        account=account,
        concentrator=concentrator,
        name="ipsec001",
        hosted_peer=concentrator.public_address,
        ordered_at=timezone.now(),
    )
    services.ensure_mark(tunnel)
    for kind, network in (
        (Subnet.Kind.HOSTED, "10.2.0.0/24"),
        (Subnet.Kind.STATIC_NAT, "10.1.255.92/30"),
    ):
        datacenter = concentrator.datacenter if kind == Subnet.Kind.HOSTED else None
        subnet = Subnet.objects.create(
            account=account, datacenter=datacenter, kind=kind, network=IPv4Network(network)
        )
        tunnel.subnets.add(subnet)
