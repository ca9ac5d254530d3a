"""`manage.py watch NAME`: the process that listens to one concentrator's charon."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.models import Concentrator
from vpnportal.monitor.watcher import run_watcher


class Command(BaseCommand):
    """Runs where charon runs, with the right to open its vici socket."""

    help = "Listen to a concentrator's charon until told to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("concentrator", help="the concentrator's name, such as hou02-vpn01")

    def handle(self, *args: Any, **options: Any) -> None:
        concentrator = Concentrator.objects.filter(name=options["concentrator"]).first()
        if concentrator is None:
            raise CommandError(f"There is no concentrator named {options['concentrator']}.")
        run_watcher(concentrator)
