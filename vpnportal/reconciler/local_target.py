"""The target of a concentrator on the gateway's own disk, for a start without the database.

A file holds a live revision of a tunnel. The specification in it is sealed, as in the database.
The next revision of the tunnel is a file with the next number. The older file stays until the
newer one is on the disk, so a power cut leaves one that can be read. Of a tunnel's files, the one
with the highest number that can be read counts. The last file of a tunnel that was removed is a
tombstone: without it, a restored backup could not tell the tunnel from one that is missing.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.gateway_config.desired import CompiledTunnel
from vpnportal.domain.gateway_config.names import connection_of, tunnel_id
from vpnportal.encryption import CannotOpen, own_key_id
from vpnportal.models import Revision
from vpnportal.reconciler.revision_cache import BATCH_ROWS, RevisionKey
from vpnportal.reconciler.stored_revision import Entry, StoredRevision

log = logging.getLogger(__name__)

FILE_NAME = re.compile(r"(\d+)-(\d+)\.json")
# Files whose older ones a full converge removes. To wait for the disk takes milliseconds for each.
REPLACED_AT_ONCE = 100
# A backup that is older than this loads tunnels that were removed after it.
TOMBSTONES_LAST = timedelta(days=90)


class LocalTarget:
    """The files of one concentrator, in a folder that only its worker can read and write."""

    def __init__(self, folder: Path, concentrator: str) -> None:
        self._folder, self._concentrator = folder, concentrator
        # The newest file by connection, and the numbers of its tunnel's files in their order, read
        # from the disk at the first use.
        self._known: dict[str, Entry] | None = None
        self._numbers: dict[str, list[int]] = {}
        # The connections with more than one file.
        self._with_older: set[str] = set()
        self._epoch: str | None = None

    @property
    def epoch(self) -> UUID | None:
        """The epoch with which the files were compared, None before any restore."""
        if self._epoch is None:
            try:
                self._epoch = str(UUID(self._epoch_file.read_text()))
            except FileNotFoundError:
                self._epoch = ""
            except (OSError, ValueError):
                # The next comparison writes it again.
                log.exception("The file %s is unreadable", self._epoch_file)
                self._epoch = ""
        return UUID(self._epoch) if self._epoch else None

    def begin_epoch(self, epoch: UUID | None) -> None:
        """Write the epoch with which the files were compared. An error of the disk is logged."""
        self._epoch = str(epoch or "")
        try:
            if epoch is None:
                self._epoch_file.unlink(missing_ok=True)
                return
            new = self._epoch_file.with_suffix(".new")
            _write_private(new, self._epoch)
            _wait_for_disk(new)
            new.rename(self._epoch_file)
        except OSError:
            log.exception("The epoch of %s cannot be stored", self._concentrator)

    def newest(self) -> RevisionKey | None:
        """Return the newest revision of this epoch that was stored; None without one."""
        epoch = str(self.epoch or "")
        entries = (entry for entry in self._entries().values() if entry.epoch == epoch)
        return max((entry.key for entry in entries if entry.key), default=None)

    def tunnels(self) -> Iterator[CompiledTunnel]:
        """Yield the stored tunnels that can be read."""
        for stored in self._read().values():
            try:
                if not stored.removed_at:
                    yield stored.compiled(self._concentrator)
            except CannotOpen:
                log.exception("The stored revision of tunnel %s is unreadable", stored.tunnel_id)

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self._folder

    def newest_files(self) -> dict[str, Path]:
        """Return the newest file of each connection, also if it cannot be read."""
        return {connection_of(tunnel): file for (tunnel, _), file in self._in_order()}

    def _in_order(self) -> list[tuple[tuple[int, int], Path]]:
        """Return the files by tunnel id and number."""
        matches = ((FILE_NAME.fullmatch(file.name), file) for file in self._folder.glob("*"))
        return sorted(((int(match[1]), int(match[2])), file) for match, file in matches if match)

    def files(self) -> dict[int, StoredRevision | None]:
        """Return the stored revisions and tombstones by tunnel id; None for an unreadable one.

        Raises OSError if the folder cannot be read.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stored = self._read()
        return {tunnel_id(name): stored.get(name) for name in self._numbers}

    def save(
        self,
        keys: Mapping[str, RevisionKey],
        scope: str | None,
        read: Iterable[Revision] = (),
        held: Collection[str] = (),
    ) -> None:
        """Store the newest revisions of a scope, given by connection; remove the others.

        `scope` is a connection, or None for all. `read` are revisions that the caller has read;
        others are read if they are not stored yet. The files of `held` connections stay. An error
        of the disk is logged, and the next call tries again.
        """
        try:
            stored = self._entries()
            missing = {
                key.pk
                for name, key in keys.items()
                if name not in stored or not stored[name].holds(key)
            }
            if missing:
                rows = [revision for revision in read if revision.pk in missing]
                for revision in (*rows, *_revisions(missing - {row.pk for row in rows})):
                    self._write(StoredRevision.of(revision, str(self.epoch or "")))
            for name in [scope] if scope else list(self._numbers):
                if name not in keys and name not in held:
                    self._remove(name)
            if not scope:
                self._remove_older()
        except OSError:
            log.exception("The target of %s cannot be stored", self._concentrator)

    def _entries(self) -> dict[str, Entry]:
        if self._known is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            key_id = own_key_id()
            # Once: until the portal knows the current key, its revisions are sealed for another.
            self._known = {
                name: Entry.of(stored)._replace(outdated=bool(key_id) and stored.reader != key_id)
                for name, stored in self._read().items()
            }
            self._with_older = {name for name, numbers in self._numbers.items() if numbers[1:]}
        return self._known

    def _read(self) -> dict[str, StoredRevision]:
        """Return the stored revisions by connection, and note the numbers of their files."""
        stored: dict[str, StoredRevision] = {}
        self._numbers = {}
        for (tunnel, number), file in self._in_order():
            name = connection_of(tunnel)
            self._numbers.setdefault(name, []).append(number)
            try:
                stored[name] = StoredRevision.read(file)
            except (OSError, ValueError, TypeError):
                log.exception("The file %s is unreadable", file)
        return stored

    def _write(self, stored: StoredRevision) -> None:
        name = connection_of(stored.tunnel_id)
        numbers = self._numbers.setdefault(name, [])
        number = numbers[-1] + 1 if numbers else 1
        # Replacing the older file costs more than all else here: some file systems wait for the
        # disk then.
        _write_private(self._file(name, number), stored.text)
        numbers.append(number)
        if numbers[1:]:
            self._with_older.add(name)
        self._entries()[name] = Entry.of(stored)

    def _remove_older(self) -> None:
        """Remove the older files of tunnels whose newest file is on the disk."""
        for name in sorted(self._with_older)[:REPLACED_AT_ONCE]:
            *older, newest = self._numbers[name]
            _wait_for_disk(self._file(name, newest))
            self._unlink(name, older)
            self._numbers[name] = [newest]
            self._with_older.remove(name)

    def _remove(self, name: str) -> None:
        """Write the tombstone of a tunnel, or remove one that is too old."""
        entry = self._entries().get(name)
        if entry is None or entry.removed_at is None:
            if numbers := self._numbers.get(name):
                self._write(self._tombstone(name, numbers[-1]))
        elif age_of(entry.removed_at) > TOMBSTONES_LAST:
            self._unlink(name, self._numbers.pop(name, ()))
            self._with_older.discard(name)
            self._entries().pop(name)

    def _tombstone(self, name: str, newest: int) -> StoredRevision:
        removed_at = timezone.now().isoformat()
        try:
            stored = StoredRevision.read(self._file(name, newest))
        except (OSError, ValueError, TypeError):
            stored = StoredRevision(0, tunnel_id(name), 0, 0, "")
        return replace(stored, sealed="", removed_at=removed_at)

    def _unlink(self, name: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._file(name, number).unlink(missing_ok=True)

    def _file(self, name: str, number: int) -> Path:
        return self._folder / f"{tunnel_id(name)}-{number}.json"

    @property
    def _epoch_file(self) -> Path:
        return self._folder / "epoch"


def _write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read. A part of it, on a full disk, is removed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(os.open(file, flags, 0o600), "wb") as out:
            out.write(text.encode())
    except OSError:
        file.unlink(missing_ok=True)
        raise


def _wait_for_disk(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def local_target(concentrator: str) -> LocalTarget:
    """Return the files of a concentrator, whose ids this process remembers."""
    return _local_target(Path(settings.GATEWAY_STATE), concentrator)


@cache
def _local_target(folder: Path, concentrator: str) -> LocalTarget:
    return LocalTarget(folder / "target" / concentrator, concentrator)


def _revisions(ids: Iterable[int]) -> Iterator[Revision]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), BATCH_ROWS):
        rows = Revision.objects.filter(pk__in=wanted[start : start + BATCH_ROWS]).with_owner()
        columns = ("tunnel_id", "number", "mark", "specification", "created_at")
        yield from rows.only(*columns).iterator()
