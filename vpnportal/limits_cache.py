"""Cache of the limits of django-allauth: rows of the database, which all processes share.

Values are JSON and not pickles: a process that writes to the database must not run code in another.
`add` is one INSERT, so that of several processes one gets a lock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.utils import timezone


class LimitsCache(BaseCache):
    """A cache with the methods that django-allauth calls. Keys have at most 250 characters."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Store a value unless there is one that has not ended. Return True if it is stored."""
        rows, name = _rows(), self._name(key, version)
        rows.filter(key=name, ends_at__lte=timezone.now()).delete()
        row = rows.model(key=name, value=value, ends_at=self._end(timeout), writer=uuid4())
        # Of several processes, the database takes the row of one.
        rows.bulk_create([row], ignore_conflicts=True)
        return bool(rows.filter(key=name, writer=row.writer).exists())

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value, or `default` if there is none or it has ended."""
        found = _rows().filter(key=self._name(key, version), ends_at__gt=timezone.now())
        return found.values_list("value", flat=True).first() or default

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Store a value in place of an earlier one."""
        _rows().update_or_create(
            key=self._name(key, version),
            defaults={"value": value, "ends_at": self._end(timeout)},
        )

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Remove a value. Return True if there was one."""
        return bool(_rows().filter(key=self._name(key, version)).delete()[0])

    def clear(self) -> None:
        """Remove all values."""
        _rows().all().delete()

    def _name(self, key: Any, version: int | None) -> str:
        return str(self.make_and_validate_key(key, version=version))

    def _end(self, timeout: Any) -> datetime:
        seconds = self.get_backend_timeout(timeout)
        return datetime.fromtimestamp(seconds, UTC) if seconds else datetime.max.replace(tzinfo=UTC)


def _rows() -> Any:
    # The settings name this module before there are models.
    from vpnportal.models import LimitEntry

    return LimitEntry.objects
