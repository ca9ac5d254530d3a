"""`manage.py keys`: make missing key files; the keys in existing files stay unchanged."""

from __future__ import annotations

import base64
import grp
import os
import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.utils import get_random_secret_key

from vpnportal.encryption import (
    concentrator_key,
    gateway_public_keys,
    has_keys,
    new_key,
    public_key_of,
)
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.management.json_command import JsonCommand

# The groups of bin/prepare whose users may read a file that root makes. charon has the group of the
# gateway's user, and that user is in the second one. The portal may read what it opens anyway.
PORTAL, GATEWAY = "vpnportal", "vpnportal-shared"
# The public key of a concentrator's gateway on the same machine, for `manage.py prepare_database`.
PUBLIC_KEY_FILE = "gateway.pub"


class Command(JsonCommand):
    """Command that makes key files which only their owner can read, or root's user of the service.

    On a gateway it makes `gateway.key`, and prints the public key that the portal needs. Elsewhere
    it makes the portal's files: without `seal.key` no preshared key can be decrypted.
    """

    help = "Make the missing key files of this portal or gateway."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concentrators",
            nargs="+",
            metavar="NAME",
            default=[],
            help="on a portal: also make the keys of these gateways on the same machine",
        )
        parser.add_argument(
            "--rotate",
            action="store_true",
            help="on a gateway: add a new line to gateway.key",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        settings.KEYS.mkdir(mode=0o700, parents=True, exist_ok=True)
        if settings.MACHINE == "gateway":
            self._make_keys_of_gateway(options["rotate"])
            return
        earlier = _key_files()
        if options["rotate"]:
            raise CommandError("--rotate is for a gateway. docs/operations.md has the portal's.")
        for file, text in (
            (settings.KEYS / "session.key", get_random_secret_key()),
            (settings.SEAL_KEY_FILE, new_key()),
            (settings.FINGERPRINT_KEY_FILE, new_key()),
        ):
            _make_missing(file, text, PORTAL)
        for name in options["concentrators"]:
            _make_folder(name)
        self.answer({"made": sorted(_key_files() - earlier)}, "")

    def _make_keys_of_gateway(self, rotates: bool) -> None:
        line, _ = new_gateway_key()
        file, earlier = settings.GATEWAY_KEY_FILE, _key_files()
        if rotates and has_keys(file):
            _make(file, f"{line}\n{file.read_text().rstrip()}", GATEWAY)
        _make_missing(file, line, GATEWAY)
        # The version before had the key from which all are derived.
        if settings.CONCENTRATOR and has_keys(settings.FINGERPRINT_KEY_FILE):
            _make_missing(settings.CONCENTRATOR_KEY_FILE, _line_of(settings.CONCENTRATOR), GATEWAY)
        name, public_key = settings.CONCENTRATOR or "NAME", gateway_public_keys()[0]
        command = f"vpnportal gateway_key {name} {public_key}"
        values = {"public_key": public_key, "on_the_portal": command}
        made = sorted(_key_files() - earlier)
        self.answer({"made": made, **values}, f"On the portal: {command}")


def _key_files() -> set[str]:
    """Return the key files that are there, relative to their folder."""
    return {str(file.relative_to(settings.KEYS)) for file in settings.KEYS.rglob("*.key")}


def _make_folder(name: str) -> None:
    """Make the keys of a gateway on this machine, in a folder that has none of the portal's."""
    folder = settings.KEYS / name
    folder.mkdir(mode=0o755, exist_ok=True)
    line, _ = new_gateway_key()
    _make_missing(folder / "gateway.key", line, GATEWAY)
    _make_missing(folder / "concentrator.key", _line_of(name), GATEWAY)
    first_line = (folder / "gateway.key").read_text().split()[0]
    public_key_file = folder / PUBLIC_KEY_FILE
    public_key_file.write_text(public_key_of(first_line) + "\n")
    public_key_file.chmod(0o644)


def _line_of(concentrator: str) -> str:
    return base64.b64encode(concentrator_key(concentrator)).decode()


def _make_missing(file: Path, text: str, readers: str) -> None:
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
