"""How the old API writes times, and relations that many types share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db.models import prefetch_related_objects

from vpnportal.api.serializers import Load, SerializationContext


def moment(at: datetime | None) -> str | None:
    """A time as RFC 3339 has it, such as 2026-01-31T14:07:34+00:00."""
    return at.isoformat(timespec="seconds") if at else None


def constant(value: Any) -> Callable[[SerializationContext, Any], Any]:
    """A property that is the same of every object."""
    return lambda reader, one: value


def column(name: str) -> Callable[[SerializationContext, Any], Any]:
    """A property that is an attribute of the object."""
    get = attrgetter(name)
    return lambda reader, one: get(one)


def itself(reader: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    """A relation to what the portal has in the same row."""
    return objects


def nothing(reader: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
    """A relation to what the portal has not."""
    return [[] for _ in objects]


def leads(path: str) -> Load:
    """A relation that follows foreign keys: one query for each that was not followed yet."""
    lookup, get = path.replace(".", "__"), attrgetter(path)

    def load(reader: SerializationContext, objects: Sequence[Any]) -> Sequence[Any]:
        prefetch_related_objects(list(objects), lookup)
        return [get(one) for one in objects]

    return load
