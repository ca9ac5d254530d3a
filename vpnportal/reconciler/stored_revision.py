"""The content of a file of `local_target`: a revision that a gateway can restore by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import concentrator_key
from vpnportal.fields import Sealed
from vpnportal.models import Revision
from vpnportal.reconciler.revision_cache import RevisionKey


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A revision as its file holds it. `sealed` is the encrypted specification, "" in a tombstone.

    `epoch` is the epoch of the database that the revision came from, "" before any restore. Times
    are ISO 8601. `account_id` and `name` are those of the tunnel.
    """

    revision_id: int
    tunnel_id: int
    number: int
    mark: int
    sealed: str
    created_at: str = ""
    epoch: str = ""
    account_id: int | None = None
    name: str = ""
    removed_at: str = ""

    @classmethod
    def of(cls, revision: Any, epoch: str) -> StoredRevision:
        """Return the content of the file of a revision from `RevisionQuerySet.with_owner`."""
        return cls(
            revision.pk,
            revision.tunnel_id,
            revision.number,
            revision.mark,
            revision.specification.token,
            revision.created_at.isoformat(),
            epoch,
            revision.account_id,
            revision.tunnel_name,
        )

    @classmethod
    def read(cls, file: Path) -> StoredRevision:
        """Return the content of a file. Raises OSError, ValueError or TypeError if it has none."""
        stored = cls(**json.loads(file.read_text()))
        Entry.of(stored)
        return stored

    @property
    def text(self) -> str:
        """The content of the file."""
        # `asdict` copies each value, and takes longer than the rest.
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @property
    def reader(self) -> str:
        """The id of the gateway's key that opens the file; "" of a tombstone and without one."""
        return Sealed(self.sealed).gateway_key_id

    @property
    def spec(self) -> TunnelSpec:
        """The specification, decrypted. Raises CannotOpen if the file or the key differs."""
        return Revision.unsealed(Sealed(self.sealed), self.tunnel_id, self.number)

    def compiled(self, concentrator: str) -> CompiledTunnel:
        """Return the compiled tunnel. Raises CannotOpen if the file or the key differs."""
        return compile_tunnel(self.spec, concentrator_key(concentrator), self.mark)


class Entry(NamedTuple):
    """The newest readable file of a tunnel, without its specification.

    `key` is None if the file has no creation time. `removed_at` is set in a tombstone. A file is
    `outdated` if it is not sealed for the gateway's current key: a full converge writes it again.
    """

    key: RevisionKey | None
    epoch: str
    removed_at: datetime | None
    outdated: bool = False

    @classmethod
    def of(cls, stored: StoredRevision) -> Entry:
        """Return the entry of a file."""
        created_at, removed_at = _time(stored.created_at), _time(stored.removed_at)
        key = RevisionKey(stored.revision_id, created_at, stored.mark) if created_at else None
        return cls(key, stored.epoch, removed_at)

    def holds(self, key: RevisionKey) -> bool:
        """Return True if the file has the specification of this revision."""
        return self.key == key and self.removed_at is None and not self.outdated


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
