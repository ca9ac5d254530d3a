"""What belongs to tunnels, their subnets and translations: read once for an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import BigAutoField, F, QuerySet

from vpnportal.api.prepared_query import PreparedQuery
from vpnportal.api.serializers import SerializationContext
from vpnportal.models import AddressTranslation, Subnet


class RelatedRows:
    """Rows of one kind, each with the `tunnel_id` that it belongs to, in their order."""

    def __init__(self, rows: QuerySet[Any]) -> None:
        self._rows = rows
        self._of_one = PreparedQuery(lambda pk: rows.filter(tunnel_id=pk), BigAutoField())

    def __call__(self, reader: SerializationContext, tunnels: Iterable[int]) -> list[list[Any]]:
        """The rows of each of these tunnels, in one query for those that are not known yet."""
        wanted = list(tunnels)
        known: dict[int, list[Any]] = reader.kept.setdefault(self, {})
        missing = {pk for pk in wanted if pk not in known}
        if missing:
            known.update((pk, []) for pk in missing)
            for row in self._read(missing):
                known[row.tunnel_id].append(row)
        return [known[pk] for pk in wanted]

    def _read(self, tunnels: set[int]) -> Iterable[Any]:
        """For many the making of the query is nothing beside its rows."""
        if len(tunnels) == 1:
            return self._of_one(*tunnels)
        return self._rows.filter(tunnel_id__in=tunnels)


subnets = RelatedRows(Subnet.objects.order_by("pk").annotate(tunnel_id=F("tunnels")))
translations = RelatedRows(AddressTranslation.objects.order_by("pk"))
