"""The target of a concentrator on the gateway's own disk, for a start without the database.

A file holds a live revision of a tunnel. The specification in it is sealed, as in the database.
The next revision of the tunnel is a file with the next number. The older file stays until the
newer one is on the disk, so a power cut leaves one that can be read. Of a tunnel's files, the one
with the highest number that can be read counts.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel
from vpnportal.domain.gateway_config.names import connection_of, tunnel_id
from vpnportal.domain.tunnel.serialization import deserialize
from vpnportal.encryption import CannotOpen, concentrator_key, unseal
from vpnportal.models import Revision
from vpnportal.reconciler.revision_cache import BATCH_ROWS

log = logging.getLogger(__name__)

FILE_NAME = re.compile(r"(\d+)-(\d+)\.json")
# Files whose older ones a full converge removes. To wait for the disk takes milliseconds for each.
REPLACED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A revision as its file holds it. `sealed` is the encrypted specification."""

    revision_id: int
    tunnel_id: int
    number: int
    mark: int
    sealed: str

    @classmethod
    def of(cls, revision: Revision) -> StoredRevision:
        """Return the content of a revision's file."""
        return cls(
            revision.pk,
            revision.tunnel_id,
            revision.number,
            revision.mark,
            revision.specification.token,
        )

    def compiled(self, concentrator: str) -> CompiledTunnel:
        """Return the compiled tunnel. Raises CannotOpen if the file or the key differs."""
        context = Revision.context(self.tunnel_id, self.number)
        spec = deserialize(unseal(self.sealed, context))
        return compile_tunnel(spec, concentrator_key(concentrator), self.mark)


class LocalTarget:
    """The files of one concentrator, in a folder that only its worker can read and write."""

    def __init__(self, folder: Path, concentrator: str) -> None:
        self._folder, self._concentrator = folder, concentrator
        # The stored revision by connection, and the numbers of its tunnel's files in their order,
        # read from the disk at the first use.
        self._ids: dict[str, int] | None = None
        self._numbers: dict[str, list[int]] = {}
        # The connections with more than one file.
        self._with_older: set[str] = set()

    def tunnels(self) -> Iterator[CompiledTunnel]:
        """Yield the stored tunnels that can be read."""
        for stored in self._read().values():
            try:
                yield stored.compiled(self._concentrator)
            except CannotOpen:
                log.exception("The stored revision of tunnel %s is unreadable", stored.tunnel_id)

    def save(
        self, revision_ids: Mapping[str, int], scope: str | None, read: Iterable[Revision] = ()
    ) -> None:
        """Store the newest revisions of a scope, given by connection; remove the files of others.

        `scope` is a connection, or None for all. `read` are revisions that the caller has read;
        others are read if they are not stored yet. An error of the disk is logged, and the next
        call tries again.
        """
        try:
            stored = self._stored_ids()
            missing = {pk for name, pk in revision_ids.items() if stored.get(name) != pk}
            if missing:
                rows = [revision for revision in read if revision.pk in missing]
                for revision in (*rows, *_revisions(missing - {row.pk for row in rows})):
                    self._write(revision)
            for name in [scope] if scope else list(self._numbers):
                if name not in revision_ids:
                    self._remove(name)
            if not scope:
                self._remove_older()
        except OSError:
            log.exception("The target of %s cannot be stored", self._concentrator)

    def _stored_ids(self) -> dict[str, int]:
        if self._ids is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stored = self._read()
            self._ids = {name: revision.revision_id for name, revision in stored.items()}
            self._with_older = {name for name, numbers in self._numbers.items() if numbers[1:]}
        return self._ids

    def _read(self) -> dict[str, StoredRevision]:
        """Return the stored revisions by connection, and note the numbers of their files."""
        names = filter(None, (FILE_NAME.fullmatch(file.name) for file in self._folder.glob("*")))
        found = sorted((int(match[1]), int(match[2])) for match in names)
        stored: dict[str, StoredRevision] = {}
        self._numbers = {}
        for tunnel, number in found:
            name = connection_of(tunnel)
            file = self._file(name, number)
            self._numbers.setdefault(name, []).append(number)
            try:
                stored[name] = StoredRevision(**json.loads(file.read_text()))
            except (OSError, ValueError, TypeError):
                log.exception("The file %s is unreadable", file)
        return stored

    def _write(self, revision: Revision) -> None:
        stored = StoredRevision.of(revision)
        name = connection_of(stored.tunnel_id)
        numbers = self._numbers.setdefault(name, [])
        number = numbers[-1] + 1 if numbers else 1
        # Replacing the older file costs more than all else here: some file systems wait for the
        # disk then.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(self._file(name, number), flags, 0o600), "w") as out:
            json.dump(asdict(stored), out)
        numbers.append(number)
        if numbers[1:]:
            self._with_older.add(name)
        self._stored_ids()[name] = stored.revision_id

    def _remove_older(self) -> None:
        """Remove the older files of tunnels whose newest file is on the disk."""
        for name in sorted(self._with_older)[:REPLACED_AT_ONCE]:
            *older, newest = self._numbers[name]
            _wait_for_disk(self._file(name, newest))
            self._unlink(name, older)
            self._numbers[name] = [newest]
            self._with_older.remove(name)

    def _remove(self, name: str) -> None:
        self._unlink(name, self._numbers.pop(name, ()))
        self._with_older.discard(name)
        self._stored_ids().pop(name, None)

    def _unlink(self, name: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._file(name, number).unlink(missing_ok=True)

    def _file(self, name: str, number: int) -> Path:
        return self._folder / f"{tunnel_id(name)}-{number}.json"


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
        rows = Revision.objects.filter(pk__in=wanted[start : start + BATCH_ROWS])
        yield from rows.only("tunnel_id", "number", "mark", "specification").iterator()
