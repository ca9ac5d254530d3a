"""`manage.py keys`: make missing key files; existing files stay unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.core.management.utils import get_random_secret_key

from vpnportal.encryption import new_key


class Command(BaseCommand):
    """Command that makes key files which only their owner can read.

    Without `seal.key` no preshared key can be decrypted.
    """

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
    # Written to another name first, so that a crash leaves no partial key.
    new_file = file.with_suffix(".new")
    new_file.unlink(missing_ok=True)
    with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
    new_file.rename(file)
