"""Compiled revisions, cached for the life of the worker: a revision never changes.

The cache holds neither settings nor preshared keys. It reads them again from the revision when a
connection must be loaded: of ten thousand tunnels, those are few.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel, ViciSection
from vpnportal.encryption import CannotOpen, concentrator_key
from vpnportal.gateway import GatewayError
from vpnportal.models import Revision

log = logging.getLogger(__name__)

# Rows per query when many revisions must be read.
BATCH_ROWS = 200


class RevisionKey(NamedTuple):
    """Id, creation time and mark of a revision. The time differs if an id is used again."""

    pk: int
    created_at: datetime
    mark: int

    @classmethod
    def of(cls, revision: Revision) -> RevisionKey:
        """Return the key of a revision."""
        return cls(revision.pk, revision.created_at, revision.mark)


class RevisionCache:
    """A cache of compiled revisions by `RevisionKey`."""

    def __init__(self) -> None:
        self._compiled: dict[RevisionKey, CompiledTunnel] = {}
        # While connections are loaded: one revision with its preshared key, and sealed rows that
        # are probably loaded next.
        self._with_secrets: dict[RevisionKey, CompiledTunnel] = {}
        self._next_rows: dict[RevisionKey, Revision] = {}

    def get(self, revision: Revision) -> CompiledTunnel | None:
        """Return the compiled revision, or None if it cannot be decrypted."""
        key = RevisionKey.of(revision)
        if key not in self._compiled and (tunnel := _compile(revision)):
            self._compiled[key] = self._without_secrets(tunnel, key)
            return tunnel
        return self._compiled.get(key)

    def get_many(self, keys: Iterable[RevisionKey]) -> dict[RevisionKey, CompiledTunnel]:
        """Return the compiled revisions by key, without those that cannot be decrypted."""
        requested = list(keys)
        missing = [key.pk for key in requested if key not in self._compiled]
        for start in range(0, len(missing), BATCH_ROWS):
            rows = Revision.objects.filter(pk__in=missing[start : start + BATCH_ROWS])
            rows = rows.select_related("concentrator")
            for revision in rows.iterator():
                if tunnel := _compile(revision):
                    key = RevisionKey.of(revision)
                    self._compiled[key] = self._without_secrets(tunnel, key)
        return {key: self._compiled[key] for key in requested if key in self._compiled}

    def retain(self, keys: Iterable[RevisionKey]) -> None:
        """Remove all compiled revisions from the cache except those with these keys."""
        for key in self._compiled.keys() - set(keys):
            del self._compiled[key]

    def drop_secrets(self) -> None:
        """Drop the preshared keys and sealed rows that were read for loading."""
        self._with_secrets.clear()
        self._next_rows.clear()

    def read_secrets(self, key: RevisionKey) -> CompiledTunnel:
        """Return the compiled revision with its settings and preshared key.

        Reads the next revisions of the concentrator ahead, but decrypts one at a time. Raises
        GatewayError if the revision can no longer be decrypted.
        """
        if key not in self._with_secrets:
            self._with_secrets.clear()
            if key not in self._next_rows:
                self._next_rows = _rows_from(key)
            if (row := self._next_rows.pop(key, None)) and (tunnel := _compile(row)):
                self._with_secrets[key] = tunnel
        if key not in self._with_secrets:
            # The row could be decrypted when it was cached, so other rows may have changed too.
            self._compiled.clear()
            raise GatewayError("a revision that could be decrypted before is unreadable now.")
        return self._with_secrets[key]

    def _without_secrets(self, tunnel: CompiledTunnel, key: RevisionKey) -> CompiledTunnel:
        source = StoredSettings(self, key)
        following = tunnel.next_secret
        return replace(
            tunnel,
            connection=replace(tunnel.connection, source=source),
            secret=replace(tunnel.secret, source=source),
            next_secret=replace(following, source=source) if following else None,
        )


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """Settings and preshared key of a revision, read from its row on each access."""

    cache: RevisionCache
    key: RevisionKey

    @property
    def settings(self) -> ViciSection:
        """The connection settings for the vici command `load-conn`."""
        return self.cache.read_secrets(self.key).connection.settings

    @property
    def preshared_key(self) -> str:
        """The key that `load-shared` takes."""
        return self.cache.read_secrets(self.key).secret.data

    @property
    def next_key(self) -> str:
        """The next key during a rotation, otherwise ""."""
        following = self.cache.read_secrets(self.key).next_secret
        return following.data if following else ""


# The cache of this worker, which runs one task at a time.
revisions = RevisionCache()


def _compile(revision: Revision) -> CompiledTunnel | None:
    try:
        key = concentrator_key(revision.concentrator.name)
        return compile_tunnel(revision.spec(), key, revision.mark)
    except CannotOpen:
        log.exception("%s cannot be decrypted: its tunnel is not changed", revision)
        return None


def _rows_from(key: RevisionKey) -> dict[RevisionKey, Revision]:
    """Return a revision and the next ones of its concentrator by key, still encrypted."""
    row = Revision.objects.filter(pk=key.pk).select_related("concentrator")
    next_rows = Revision.objects.live_or_applying().select_related("concentrator")
    next_rows = next_rows.filter(concentrator__in=row.values("concentrator"), pk__gt=key.pk)
    return {
        RevisionKey.of(revision): revision
        for revision in (*row, *next_rows.order_by("pk")[: BATCH_ROWS - 1])
    }
