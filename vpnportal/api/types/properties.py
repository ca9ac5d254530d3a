"""Property getters and relation loaders that several data types share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db.models import prefetch_related_objects

from vpnportal.api.serializers import PropertyGetter, RelationLoader, SerializationContext


def rfc3339(at: datetime | None) -> str | None:
    """Return a time in RFC 3339 with a numeric offset, such as 2026-01-31T14:07:34+00:00.

    `slcli` crashes on XML-RPC's own type, and softlayer-go parses no other format.
    """
    return at.isoformat(timespec="seconds") if at else None


def constant(value: Any) -> PropertyGetter:
    """Return a getter of a value that all objects share."""
    return lambda serialization, row: value


def column(name: str) -> PropertyGetter:
    """Return a getter of an attribute; `name` may be dotted."""
    get = attrgetter(name)
    return lambda serialization, row: get(row)


def same_row(serialization: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    """Return `objects` unchanged: the related data type is read from the same database rows."""
    return objects


def empty_lists(serialization: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    """Return an empty list for each object: the portal has no related objects of this type."""
    return [[] for _ in objects]


def foreign_key(path: str) -> RelationLoader:
    """Return a loader of a dotted path of foreign keys: one query for each that is not cached."""
    lookup, get = path.replace(".", "__"), attrgetter(path)

    def load(serialization: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
        prefetch_related_objects(list(objects), lookup)
        return [get(row) for row in objects]

    return load
