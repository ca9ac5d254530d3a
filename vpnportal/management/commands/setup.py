"""`manage.py setup`: prepare a portal to start, in one process; safe to repeat."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command

from vpnportal.management.commands import firsttime


class Command(firsttime.Command):
    """Command that runs all setup steps after `keys`.

    The key files must exist when a process starts.
    """

    help = "Run migrate, digests, collectstatic and firsttime."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("digests")
        call_command("collectstatic", interactive=False, verbosity=0)
        super().handle(*args, **options)
