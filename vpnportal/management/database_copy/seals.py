"""Sealed values of all tables: how many there are, and which do not open with the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models

from vpnportal.encryption import CannotOpen
from vpnportal.fields import SealedField
from vpnportal.models import DraftBackup, Revision, Tunnel

# The encryption context of the only sealed column of a model, and the columns that it needs.
CONTEXTS: dict[type[models.Model], tuple[Callable[[Any], str], tuple[str, ...]]] = {
    Tunnel: (lambda row: row.preshared_key_context, ()),
    Revision: (lambda row: Revision.context(row.tunnel_id, row.number), ("tunnel_id", "number")),
    DraftBackup: (lambda row: DraftBackup.context(row.tunnel_id), ("tunnel_id",)),
}


class SealedValue(NamedTuple):
    """A sealed value: the name of its row, True if it opens, and the id of its key."""

    name: str
    opens: bool
    key_id: str


def sealed_values(alias: str) -> Iterator[tuple[str, bool]]:
    """Yield the name of each sealed value of a database, and True if it opens."""
    for value in sealed_values_with_keys(alias):
        yield value.name, value.opens


def sealed_values_with_keys(alias: str) -> Iterator[SealedValue]:
    """Yield each sealed value of a database."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SealedField):
                yield from _values_of(model, field.attname, alias)


def _values_of(model: type[models.Model], column: str, alias: str) -> Iterator[SealedValue]:
    context_of, columns = CONTEXTS[model]
    rows = model._base_manager.using(alias).only("pk", column, *columns)
    for row in rows.iterator(chunk_size=500):
        sealed = getattr(row, column)
        if not sealed:
            continue
        opens = True
        try:
            sealed.open(context_of(row))
        except CannotOpen:
            opens = False
        yield SealedValue(f"{model._meta.verbose_name} {row.pk}", opens, sealed.key_id)
