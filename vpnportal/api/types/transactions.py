"""SoftLayer_Provisioning_Version1_Transaction: a revision and what became of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, constant, itself, moment
from vpnportal.models import Revision

KIND = "SoftLayer_Provisioning_Version1_Transaction"


def _since(reader: SerializationContext, one: Revision) -> int:
    return max(0, int(((one.finished_at or timezone.now()) - one.created_at).total_seconds()))


def _changed(reader: SerializationContext, one: Any) -> str | None:
    return moment(one.finished_at or one.created_at)


register_type(
    DataType(
        KIND,
        {
            "id": column("pk"),
            "createDate": lambda reader, one: moment(one.created_at),
            "modifyDate": _changed,
            "statusChangeDate": _changed,
            "elapsedSeconds": _since,
        },
        {
            "transactionGroup": Relation(f"{KIND}_Group", itself, many=False),
            "transactionStatus": Relation(f"{KIND}_Status", itself, many=False),
        },
    )
)
register_type(DataType(f"{KIND}_Group", {"name": constant("Apply Configurations")}))
register_type(
    DataType(
        f"{KIND}_Status",
        {
            "name": lambda reader, one: str(one.outcome).upper(),
            "friendlyName": lambda reader, one: str(one.get_outcome_display()),
        },
    )
)
