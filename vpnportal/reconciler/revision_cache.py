"""Revisions compiled, remembered for the life of the process: a revision never changes.

What is remembered holds neither settings nor preshared keys. Those are read again from the revision
when something must be loaded, which of ten thousand tunnels are few.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import CompiledTunnel, ViciSection
from vpnportal.encryption import CannotOpen, fingerprint_key
from vpnportal.gateway import GatewayError
from vpnportal.models import Revision

log = logging.getLogger(__name__)

# Rows that are read at once when many must be loaded.
AHEAD = 200


class Key(NamedTuple):
    """What tells a revision from every other one that there ever was; its settings' source."""

    pk: int
    created_at: datetime

    @property
    def settings(self) -> ViciSection:
        """What its connection is loaded with, read again."""
        return _read(self).connection.settings

    @property
    def preshared_key(self) -> str:
        """What its secret is loaded with, read again."""
        return _read(self).secret.data


_remembered: dict[Key, CompiledTunnel] = {}
# To be loaded: the one that is, with its preshared key, and those that may be next, still sealed.
_opened: dict[Key, CompiledTunnel] = {}
_read_ahead: dict[Key, Revision] = {}


def remembered(keys: Iterable[Key]) -> dict[Key, CompiledTunnel]:
    """These revisions; those that do not open are left out, and it is logged."""
    wanted = list(keys)
    missing = [key for key in wanted if key not in _remembered]
    for at in range(0, len(missing), AHEAD):
        chunk = missing[at : at + AHEAD]
        for revision in Revision.objects.filter(pk__in=[key.pk for key in chunk]).iterator():
            if one := _compiled(revision):
                key = Key(revision.pk, revision.created_at)
                _remembered[key] = _slim(one, key)
    return {key: _remembered[key] for key in wanted if key in _remembered}


def of(revision: Revision) -> CompiledTunnel | None:
    """One revision, or None when it does not open, which is logged."""
    key = Key(revision.pk, revision.created_at)
    if key not in _remembered and (one := _compiled(revision)):
        _remembered[key] = _slim(one, key)
        return one
    return _remembered.get(key)


def let_secrets_go() -> None:
    """What was read to be loaded is loaded: preshared keys stay in memory no longer."""
    _opened.clear()
    _read_ahead.clear()


def forget_all_but(keys: Iterable[Key]) -> None:
    """Nobody aims at the others any more."""
    for gone in _remembered.keys() - set(keys):
        del _remembered[gone]


def _compiled(revision: Revision) -> CompiledTunnel | None:
    try:
        return compile_tunnel(revision.spec(), fingerprint_key())
    except CannotOpen:
        log.exception("%s cannot be opened: its tunnel is left as it is", revision)
        return None


def _slim(one: CompiledTunnel, key: Key) -> CompiledTunnel:
    return replace(
        one,
        connection=replace(one.connection, source=key),
        secret=replace(one.secret, source=key),
    )


def _read(key: Key) -> CompiledTunnel:
    """A revision with everything. Of those that may be next only the sealed rows are read ahead."""
    if key not in _opened:
        _opened.clear()
        if key not in _read_ahead:
            _read_ahead.clear()
            _read_ahead.update(_rows(key))
        if (row := _read_ahead.pop(key, None)) and (one := _compiled(row)):
            _opened[key] = one
    if key not in _opened:
        # It did open when it was compiled. The next look finds out that it does not any more.
        _remembered.clear()
        raise GatewayError("a revision that opened before does not open any more.")
    return _opened[key]


def _rows(key: Key) -> Iterator[tuple[Key, Revision]]:
    """A revision, and the next ones of its concentrator beside it."""
    first = Revision.objects.filter(pk=key.pk)
    concentrator = first.values("concentrator")
    rows = Revision.objects.live_or_applying().filter(concentrator__in=concentrator, pk__gt=key.pk)
    for revision in (*first, *rows.order_by("pk")[: AHEAD - 1]):
        yield Key(revision.pk, revision.created_at), revision
