"""The target of a concentrator on the gateway's own disk, for a start without the database.

Each tunnel is a file with its newest live revision. The specification in it is sealed, as in the
database. A file is replaced at once, so a power cut leaves the old or the new one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel
from vpnportal.domain.gateway_config.names import connection_of, tunnel_id
from vpnportal.domain.tunnel.serialization import deserialize
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import CannotOpen, concentrator_key, unseal
from vpnportal.models import Revision
from vpnportal.reconciler.revision_cache import BATCH_ROWS

log = logging.getLogger(__name__)

SUFFIX = ".json"


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

    @classmethod
    def read(cls, file: Path) -> StoredRevision:
        """Return the content of a file. Raises OSError, ValueError or TypeError if it has none."""
        return cls(**json.loads(file.read_text()))

    def spec(self) -> TunnelSpec:
        """Return the specification. Raises CannotOpen if the file or the key differs."""
        return deserialize(unseal(self.sealed, Revision.context(self.tunnel_id, self.number)))

    def compiled(self, concentrator: str) -> CompiledTunnel:
        """Return the compiled tunnel. Raises CannotOpen as `spec` does."""
        return compile_tunnel(self.spec(), concentrator_key(concentrator), self.mark)


class LocalTarget:
    """The files of one concentrator, in a folder that only its worker can read and write."""

    def __init__(self, folder: Path, concentrator: str) -> None:
        self._folder, self._concentrator = folder, concentrator
        # The ids of the stored revisions by connection, read from the files at the first use.
        self._ids: dict[str, int] | None = None

    def tunnels(self) -> Iterator[CompiledTunnel]:
        """Yield the stored tunnels that can be read."""
        for stored in self._read_all():
            try:
                yield stored.compiled(self._concentrator)
            except CannotOpen:
                log.exception("The stored revision of tunnel %s is unreadable", stored.tunnel_id)

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self._folder

    def files(self) -> list[Path]:
        """Return the files of all tunnels. Raises no error without the folder."""
        return sorted(self._folder.glob(f"*{SUFFIX}"))

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
            for name in [scope] if scope else list(stored):
                if name not in revision_ids and name in stored:
                    del stored[name]
                    self._file(name).unlink(missing_ok=True)
        except OSError:
            log.exception("The target of %s cannot be stored", self._concentrator)

    def _stored_ids(self) -> dict[str, int]:
        if self._ids is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ids = {
                connection_of(stored.tunnel_id): stored.revision_id for stored in self._read_all()
            }
        return self._ids

    def _read_all(self) -> Iterator[StoredRevision]:
        for file in self.files():
            try:
                yield StoredRevision.read(file)
            except (OSError, ValueError, TypeError):
                log.exception("The file %s is unreadable", file)

    def _write(self, revision: Revision) -> None:
        stored = StoredRevision.of(revision)
        name = connection_of(stored.tunnel_id)
        file = self._file(name)
        new = file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(asdict(stored), out)
        new.replace(file)
        self._stored_ids()[name] = stored.revision_id

    def _file(self, name: str) -> Path:
        return self._folder / f"{tunnel_id(name)}{SUFFIX}"


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
