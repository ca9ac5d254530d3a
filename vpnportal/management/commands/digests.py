"""`manage.py digests`: write missing digests, by which a list knows tunnels with changes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from vpnportal import services


class Command(BaseCommand):
    """A step after `migrate`, which cannot decrypt drafts; without missing digests two queries."""

    help = "Write the missing digests of drafts and revisions."

    def handle(self, *args: Any, **options: Any) -> None:
        services.fill_missing_digests()
