"""The key files of an installation in a tar of their own, apart from the backup of the database."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from django.conf import settings

from vpnportal.management.database_backup.archive import BackupError, next_member, read_content

# With this folder, root can unpack the file in /etc/vpnportal.
FOLDER = "keys"
NAMES = ("session.key", "seal.key", "fingerprint.key")
# A rotation of seal.key adds a line of 45 bytes.
MAX_KEY_BYTES = 64 << 10


def write_keys(file: Path) -> None:
    """Write the key files to the new file `file`, which only its owner can read."""
    contents = {name: _content(name) for name in NAMES}
    with replacing(file) as out, tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, BytesIO(content))


@contextmanager
def placed_keys(file: Path | None) -> Iterator[None]:
    """Put the keys of `file` in the folder of keys for the block, and keep them if it succeeds.

    Without `file`, the keys must be there. Raises BackupError if another key is there, or the
    folder cannot be written.
    """
    placed: list[Path] = []
    try:
        for name, content in (_read_keys(file) if file else {}).items():
            _place(name, content, placed)
        for name in NAMES[1:]:
            if not (settings.KEYS / name).is_file():
                raise BackupError(
                    f"There is no key file {settings.KEYS / name}: bring the keys of the portal "
                    "that was backed up, or name their file with --keys."
                )
        yield
    except BaseException:
        for path in placed:
            path.unlink()
        raise


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a file that gets the name `file` once the block has written all of it to the disk.

    Only its owner can read it. Raises BackupError if it cannot be written.
    """
    try:
        with TemporaryDirectory(prefix=".vpnportal-", dir=file.parent) as folder:
            new = Path(folder) / file.name
            with private_file(new) as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            new.rename(file)
        descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}.") from error


def private_file(file: Path) -> BinaryIO:
    """Open a new file for its owner alone."""
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _content(name: str) -> bytes:
    try:
        return (settings.KEYS / name).read_bytes()
    except OSError as error:
        raise BackupError(f"The key {settings.KEYS / name} is needed: {error.strerror}.") from None


def _read_keys(file: Path) -> dict[str, bytes]:
    """Return the content of each key file in `file`. Raises BackupError for any other content."""
    keys: dict[str, bytes] = {}
    try:
        with file.open("rb") as stream:
            while member := next_member(stream):
                path, size = member
                name = path.removeprefix(f"{FOLDER}/")
                if path == name or name not in NAMES or name in keys or size > MAX_KEY_BYTES:
                    raise BackupError(f"{file} has more than the three key files.")
                keys[name] = b"".join(read_content(stream, size))
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.") from None
    if len(keys) < len(NAMES):
        raise BackupError(f"{file} lacks a key file: it needs {', '.join(NAMES)}.")
    return keys


def _place(name: str, content: bytes, placed: list[Path]) -> None:
    path = settings.KEYS / name
    if path.exists():
        if path.read_bytes() != content:
            raise BackupError(
                f"{path} is another key than that of the backup. Move the keys of this "
                "installation away first."
            )
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_file(path) as out:
            placed.append(path)
            out.write(content)
    except OSError as error:
        raise BackupError(
            f"{path} cannot be written: {error.strerror}. As root, unpack the keys in "
            "/etc/vpnportal, and restore without --keys."
        ) from None
