"""`manage.py digests`: write the missing digests of drafts and revisions."""

from __future__ import annotations

from typing import Any

from vpnportal import services
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command to run after `migrate`, because a migration cannot decrypt drafts.

    Makes two database queries if no digest is missing.
    """

    help = "Write the missing digests of drafts and revisions."

    def handle(self, *args: Any, **options: Any) -> None:
        services.fill_missing_digests()
        self.answer({}, "")
