"""`manage.py watch NAME`: the monitor of one concentrator."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.models import Concentrator
from vpnportal.monitor.watcher import run_watcher


class Command(BaseCommand):
    """Command that runs the monitor on the gateway; it needs permission to open the vici socket."""

    help = "Monitor a concentrator's charon until a signal stops it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("concentrator", help="the concentrator's name, such as hou02-vpn01")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["concentrator"]
        try:
            run_watcher(name)
        except Concentrator.DoesNotExist:
            raise CommandError(f"There is no concentrator named {name}.") from None
