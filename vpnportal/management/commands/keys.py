"""`manage.py keys`: make missing key files; the keys in existing files stay unchanged."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.core.management.utils import get_random_secret_key

from vpnportal.encryption import new_key

# The groups of bin/prepare whose users may read a file that root makes: the session key is the web
# process's, and the worker opens sealed revisions, too.
PORTAL, PORTAL_AND_GATEWAY = "vpnportal", "vpnportal-shared"


class Command(BaseCommand):
    """Command that makes key files which only their owner can read, or root's two users.

    Without `seal.key` no preshared key can be decrypted.
    """

    help = "Make the portal's missing key files."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        settings.KEYS.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, text, readers in (
            (settings.KEYS / "session.key", get_random_secret_key(), PORTAL),
            (settings.SEAL_KEY_FILE, new_key(), PORTAL_AND_GATEWAY),
            (settings.FINGERPRINT_KEY_FILE, new_key(), PORTAL_AND_GATEWAY),
        ):
            if not os.path.lexists(file):
                _make(file, text, readers)
            elif os.geteuid() == 0:
                _take_over(file, readers)


def _make(file: Path, text: str, readers: str) -> None:
    # Written to another name first, so that a crash leaves no partial key.
    new_file = file.with_suffix(".new")
    new_file.unlink(missing_ok=True)
    with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
        _share(out.fileno(), readers)
    new_file.rename(file)


def _take_over(file: Path, readers: str) -> None:
    """Give root a file that an older version made as the user of the portal."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise CommandError(f"{file} cannot be opened: {error.strerror}.") from error
    with os.fdopen(descriptor) as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise CommandError(f"{file} is no file of its own; remove it.")
        _share(opened.fileno(), readers)


def _share(descriptor: int, readers: str) -> None:
    """Let the users of the group read root's file. Without root, it stays its owner's."""
    if os.geteuid() == 0:
        try:
            group = grp.getgrnam(readers).gr_gid
        except KeyError:
            return
        os.fchown(descriptor, 0, group)
        os.fchmod(descriptor, 0o640)
