"""`manage.py forget_attempts`: remove the counters of wrong passwords."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from vpnportal import services
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Event, record_event


class Command(JsonCommand):
    """Command that lets all networks and users try passwords again."""

    help = "Remove the delays after wrong passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            count = services.forget_attempts()
            record_event(Event.Action.USER_BLOCKS_REMOVED, count=count)
        counters = "1 counter is" if count == 1 else f"{count:,} counters are"
        self.answer({"removed": count}, f"{counters} removed.")
