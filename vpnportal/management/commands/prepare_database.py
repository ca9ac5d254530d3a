"""`manage.py prepare_database`: prepare a checkout's portal to start, in one process."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command

from vpnportal import services
from vpnportal.management.commands import firsttime
from vpnportal.management.key_folder import PUBLIC_KEY_FILE
from vpnportal.models import Concentrator


class Command(firsttime.Command):
    """Command that runs all steps after `keys`; it is safe to repeat.

    The key files must exist when a process starts. What concentrators on this machine read is
    sealed for their public keys, which `keys` wrote.
    """

    help = "Run migrate, digests, collectstatic and firsttime."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("digests")
        call_command("collectstatic", interactive=False, verbosity=0)
        super().handle(*args, **options)
        for concentrator in Concentrator.objects.filter(name__in=options["concentrators"]):
            file = settings.KEYS / concentrator.name / PUBLIC_KEY_FILE
            public_key = file.read_text().strip() if file.exists() else ""
            if public_key and public_key != concentrator.envelope_key:
                services.set_envelope_key(concentrator, public_key)
