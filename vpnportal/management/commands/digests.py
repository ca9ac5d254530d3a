"""`manage.py digests`: write the missing digests of drafts and revisions."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from vpnportal import services


class Command(BaseCommand):
    """Command to run after `migrate`, because a migration cannot decrypt drafts.

    Makes two database queries if no digest is missing.
    """

    help = "Write the missing digests of drafts and revisions."

    def handle(self, *args: Any, **options: Any) -> None:
        services.fill_missing_digests()
