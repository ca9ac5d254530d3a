"""`manage.py setup`: all that a portal needs before it starts, in one process, again and again."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command

from vpnportal.management.commands import firsttime


class Command(firsttime.Command):
    """After `keys`, whose files are read when a process begins."""

    help = "Run migrate, digests, collectstatic and firsttime."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("digests")
        call_command("collectstatic", interactive=False, verbosity=0)
        super().handle(*args, **options)
