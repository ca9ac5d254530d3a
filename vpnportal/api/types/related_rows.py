"""Subnets and translations of tunnels, read once for each reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import BigAutoField, F, QuerySet

from vpnportal.api.serializers import SerializationContext
from vpnportal.models import AddressTranslation, Subnet
from vpnportal.prepared_statements import PreparedQuery


class RelatedRows:
    """Loader of the rows of one model that belong to tunnels, in the order of the queryset."""

    def __init__(self, rows: QuerySet[Any]) -> None:
        self._rows = rows
        self._of_one_tunnel = PreparedQuery(lambda pk: rows.filter(tunnel_id=pk), BigAutoField())

    def __call__(
        self, serialization: SerializationContext, tunnel_ids: Iterable[int]
    ) -> list[list[Any]]:
        """Return a list of rows for each tunnel id, with one query for ids that are not cached."""
        ids = list(tunnel_ids)
        rows_by_tunnel: dict[int, list[Any]] = serialization.cache.setdefault(self, {})
        missing = {pk for pk in ids if pk not in rows_by_tunnel}
        if missing:
            rows_by_tunnel.update((pk, []) for pk in missing)
            for row in self._read(missing):
                rows_by_tunnel[row.tunnel_id].append(row)
        return [rows_by_tunnel[pk] for pk in ids]

    def _read(self, tunnel_ids: set[int]) -> Iterable[Any]:
        # PreparedQuery takes no list of values; beside many rows, building the SQL costs nothing.
        if len(tunnel_ids) == 1:
            return self._of_one_tunnel(*tunnel_ids)
        return self._rows.filter(tunnel_id__in=tunnel_ids)


subnets = RelatedRows(Subnet.objects.order_by("pk").annotate(tunnel_id=F("tunnels")))
translations = RelatedRows(AddressTranslation.objects.order_by("pk"))
