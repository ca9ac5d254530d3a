"""`manage.py keys`: makes the key files that are missing, and never touches one that is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.core.management.utils import get_random_secret_key

from vpnportal.encryption import new_key


class Command(BaseCommand):
    """Each file is readable by its owner only. Lose `seal.key`, and every preshared key is lost."""

    help = "Make the portal's missing key files."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        settings.KEYS.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(settings.KEYS / "session.key", get_random_secret_key())
        _make(settings.SEAL_KEY_FILE, new_key())
        _make(settings.FINGERPRINT_KEY_FILE, new_key())


def _make(file: Path, text: str) -> None:
    if file.exists():
        return
    # Written aside and renamed, so that a crash leaves no half a key.
    aside = file.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
    aside.rename(file)
