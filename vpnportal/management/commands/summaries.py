"""`manage.py summaries`: write again what the list of tunnels filters and counts by."""

from __future__ import annotations

from typing import Any

from django.db import connection

from vpnportal.deployment import summary_triggers
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that repairs summaries, which triggers keep, and says how many were wrong."""

    help = "Write the summaries of all tunnels again, by which the list filters and counts."

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = summary_triggers.differing(connection)
        made = summary_triggers.install(connection)
        if wrong and not made:
            summary_triggers.write_all(connection)
        text = f"{wrong:,} {'summary was' if wrong == 1 else 'summaries were'} wrong."
        self.answer({"wrong": wrong}, text)
