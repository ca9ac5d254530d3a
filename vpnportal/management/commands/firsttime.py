"""`manage.py firsttime`: the data that a new portal starts with, made once."""

from __future__ import annotations

import os
import secrets
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from vpnportal.models import Account, Concentrator, Datacenter, Membership, Subnet, Tunnel

USER_NAME = "admin"
PASSWORD_BYTES = 15


class Command(BaseCommand):
    """One account with its admin, one data center, one concentrator and one tunnel."""

    help = "Make the first account, its admin user and its first tunnel, unless there is one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password-file", type=Path, required=True)
        parser.add_argument("--concentrator", default="hou02-vpn01")

    def handle(self, *args: Any, **options: Any) -> None:
        if Account.objects.exists():
            return
        with transaction.atomic():
            account = Account.objects.create(name="Example account")
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            user = User.objects.create_user(USER_NAME, password=password)
            Membership.objects.create(account=account, user=user, role=Membership.Role.OWNER)
            _first_tunnel(account, options["concentrator"])
            _keep(options["password_file"], password)


def _first_tunnel(account: Account, concentrator_name: str) -> None:
    """What the laboratory and the mission's example have."""
    houston, _ = Datacenter.objects.get_or_create(name="hou02", long_name="Houston 2")
    concentrator, _ = Concentrator.objects.get_or_create(
        name=concentrator_name, datacenter=houston, public_address="203.0.113.1"
    )
    tunnel = Tunnel.objects.create(
        account=account, concentrator=concentrator, name="ipsec001", hosted_peer="203.0.113.1"
    )
    for kind, network in (
        (Subnet.Kind.HOSTED, "10.2.0.0/24"),
        (Subnet.Kind.STATIC_NAT, "10.1.255.92/30"),
    ):
        subnet = Subnet.objects.create(account=account, kind=kind, network=IPv4Network(network))
        tunnel.subnets.add(subnet)


def _keep(file: Path, password: str) -> None:
    """The only place where the password is; its owner can read it and nobody else."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(password + "\n")
