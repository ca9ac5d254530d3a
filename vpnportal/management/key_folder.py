"""Files of keys: made whole and once, for root and the user of the service that reads them."""

from __future__ import annotations

import base64
import grp
import os
import stat
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from vpnportal.encryption import concentrator_key, public_key_of
from vpnportal.enrolment.key_files import new_gateway_key

# The groups of bin/prepare whose users may read a file that root makes. charon has the group of the
# gateway's user, and that user is in the second one. The portal may read what it opens anyway.
PORTAL, GATEWAY = "vpnportal", "vpnportal-shared"
# The public key of a concentrator's gateway on the same machine, for `manage.py prepare_database`.
PUBLIC_KEY_FILE = "gateway.pub"


def key_files() -> set[str]:
    """Return the key files that are there, relative to their folder."""
    return {str(file.relative_to(settings.KEYS)) for file in settings.KEYS.rglob("*.key")}


def make_folder(name: str) -> None:
    """Make the keys of a gateway on this machine, in a folder that has none of the portal's."""
    folder = settings.KEYS / name
    folder.mkdir(mode=0o755, exist_ok=True)
    line, _ = new_gateway_key()
    make_missing(folder / "gateway.key", line, GATEWAY)
    make_missing(folder / "concentrator.key", line_of(name), GATEWAY)
    first_line = (folder / "gateway.key").read_text().split()[0]
    public_key_file = folder / PUBLIC_KEY_FILE
    public_key_file.write_text(public_key_of(first_line) + "\n")
    public_key_file.chmod(0o644)


def line_of(concentrator: str) -> str:
    """Return the line of `concentrator.key` for a concentrator."""
    return base64.b64encode(concentrator_key(concentrator)).decode()


def make_missing(file: Path, text: str, readers: str) -> None:
    """Make a file unless it exists. Root takes over one that exists. Raises CommandError."""
    if not os.path.lexists(file):
        make(file, text, readers)
    elif os.geteuid() == 0:
        _take_over(file, readers)


def make(file: Path, text: str, readers: str) -> None:
    """Write a file for the group `readers`. Without root, its owner alone reads it."""
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
