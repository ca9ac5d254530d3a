"""`manage.py digests`: fills in what tells a list whether a tunnel has changes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from vpnportal.services import draft_digests


class Command(BaseCommand):
    """To be run after `migrate`, which cannot open what is sealed; costs two queries afterwards."""

    help = "Fill in the digests of drafts and revisions that have none."

    def handle(self, *args: Any, **options: Any) -> None:
        draft_digests.fill_missing()
