"""The file of a backup: a tar of a manifest and a dump. A reader has limits and trusts no size."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = 1
MANIFEST, DUMP = "manifest.json", "database.dump"
# A manifest has a line for each of about 40 tables and 6 apps.
MAX_MANIFEST_BYTES = 1 << 20
BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20


class BackupError(Exception):
    """A refusal to back up or to restore, as a sentence with the remedy."""


class WrongUse(BackupError):
    """A refusal because of the arguments of the command."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a dump.

    `version` is the portal's, `server` the database's. `created_at` is ISO 8601 in UTC.
    `migrations` has the newest migration of each app, `rows` the number of rows of each table.
    """

    version: str
    created_at: str
    vendor: str
    server: str
    migrations: dict[str, str]
    rows: dict[str, int]
    dump_bytes: int
    dump_sha256: str

    def as_json(self) -> str:
        """Return the text of the manifest, with a digest of itself."""
        values = {"format": FORMAT, **asdict(self)}
        return json.dumps({**values, "manifest_sha256": _digest(values)}, indent=2) + "\n"

    @classmethod
    def of_json(cls, text: bytes) -> Manifest:
        """Return the manifest of a text. Raises BackupError if it is of another form."""
        try:
            values = json.loads(text)
            digest, form = values.pop("manifest_sha256"), values.pop("format")
        except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
            raise BackupError(f"{MANIFEST} in the backup is damaged.") from None
        if form != FORMAT:
            raise BackupError(
                f"The backup has the format {form!r:.20}, and this version reads {FORMAT}. "
                "Restore it with the version of the portal that made it."
            )
        if digest != _digest({"format": form, **values}) or not _is_typed(values):
            raise BackupError(f"{MANIFEST} in the backup is damaged.")
        return cls(**values)


def write_archive(out: BinaryIO, manifest: Manifest, dump: Path) -> None:
    """Write the two members of a backup."""
    text = manifest.as_json().encode()
    at = int(datetime.fromisoformat(manifest.created_at).timestamp())
    # GNU's form has sizes above 8 GiB in the header itself, without extra members.
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, size in ((MANIFEST, len(text)), (DUMP, manifest.dump_bytes)):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = size, 0o600, at
            if name == MANIFEST:
                _add(archive, member, text)
            else:
                with dump.open("rb") as content:
                    archive.addfile(member, content)


def read_archive(stream: BinaryIO, dump: Path) -> Manifest:
    """Copy the dump of a backup to the file `dump`, and return its manifest.

    Raises BackupError if a member is missing, foreign or damaged.
    """
    size = _expect(stream, MANIFEST)
    if size > MAX_MANIFEST_BYTES:
        raise BackupError(f"{MANIFEST} in the backup is larger than {MAX_MANIFEST_BYTES:,} bytes.")
    manifest = Manifest.of_json(b"".join(read_content(stream, size)))
    if _expect(stream, DUMP) != manifest.dump_bytes:
        raise BackupError(f"{DUMP} in the backup has another size than {MANIFEST} says.")
    digest = hashlib.sha256()
    with dump.open("wb") as out:
        for chunk in read_content(stream, manifest.dump_bytes):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != manifest.dump_sha256:
        raise BackupError(
            f"{DUMP} in the backup is damaged: its SHA-256 differs from that in {MANIFEST}."
        )
    if next_member(stream) is not None:
        raise BackupError(f"The backup has more members than {MANIFEST} and {DUMP}.")
    return manifest


def next_member(stream: BinaryIO) -> tuple[str, int] | None:
    """Return the name and the size of the next member of a tar, or None at its end.

    It reads single headers, because `tarfile` reads extended headers of any size into memory.
    Raises BackupError for a member that is no regular file.
    """
    block = _read(stream, BLOCK)
    if block == bytes(BLOCK):
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError):
        raise BackupError("The file is no backup of a portal, or it is damaged.") from None
    if member.type != tarfile.REGTYPE or member.size < 0:
        raise BackupError("The file has a member that is no regular file.")
    return member.name, member.size


def read_content(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the content of the member whose header was just read."""
    left = size
    while left:
        chunk = _read(stream, min(left, CHUNK))
        left -= len(chunk)
        yield chunk
    _read(stream, -size % BLOCK)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, as 64 hex digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _expect(stream: BinaryIO, name: str) -> int:
    """Read the header of the member `name`, and return its size."""
    member = next_member(stream)
    if member is None or member[0] != name:
        found = f"the member {member[0]!r:.60}" if member else "its end"
        raise BackupError(f"The file is no backup of a portal: it has {found} in place of {name}.")
    return member[1]


def _read(stream: BinaryIO, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = stream.read(size - len(content))
        if not chunk:
            raise BackupError("The file ends too early: copy it again, or take another backup.")
        content += chunk
    return bytes(content)


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    archive.addfile(member, BytesIO(content))


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_typed(values: dict[str, Any]) -> bool:
    """Return True if the values have the names and types of a manifest's fields."""
    tables = {"migrations": str, "rows": int}
    numbers = {"dump_bytes"}
    if values.keys() != {field.name for field in fields(Manifest)}:
        return False
    for name, value in values.items():
        if item := tables.get(name):
            if not isinstance(value, dict) or not all(
                type(each) is item for each in value.values()
            ):
                return False
        elif type(value) is not (int if name in numbers else str):
            return False
    return True
