"""`manage.py axes_reset`: the command of django-axes, with `--json`."""

from __future__ import annotations

from typing import Any

from axes.utils import reset
from django.db import transaction

from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Event, record_event


class Command(JsonCommand):
    """Command that lets all addresses and users try passwords again."""

    help = "Remove the blocks of addresses after wrong passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            count = reset()
            record_event(Event.Action.USER_BLOCKS_REMOVED, count=count)
        attempts = "1 failed sign-in is" if count == 1 else f"{count:,} failed sign-ins are"
        self.answer({"removed": count}, f"{attempts} forgotten.")
