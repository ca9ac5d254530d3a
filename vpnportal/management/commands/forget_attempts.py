"""`manage.py forget_attempts`: remove the counters of wrong passwords."""

from __future__ import annotations

from typing import Any

from vpnportal import services
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that lets all networks and users try passwords again."""

    help = "Remove the delays after wrong passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        count = services.forget_attempts()
        counters = "1 counter is" if count == 1 else f"{count:,} counters are"
        self.answer({"removed": count}, f"{counters} removed.")
