"""SoftLayer_Provisioning_Version1_Transaction: a revision with its outcome as the status."""

from __future__ import annotations

from django.utils import timezone

from vpnportal.api.serializers import DataType, Relation, SerializationContext, register_type
from vpnportal.api.types.properties import column, constant, rfc3339, same_row
from vpnportal.models import Revision

TRANSACTION = "SoftLayer_Provisioning_Version1_Transaction"


def _elapsed_seconds(serialization: SerializationContext, revision: Revision) -> int:
    end = revision.finished_at or timezone.now()
    return max(0, int((end - revision.created_at).total_seconds()))


def _changed_at(serialization: SerializationContext, revision: Revision) -> str | None:
    return rfc3339(revision.finished_at or revision.created_at)


register_type(
    DataType(
        TRANSACTION,
        {
            "id": column("pk"),
            "createDate": lambda serialization, revision: rfc3339(revision.created_at),
            "modifyDate": _changed_at,
            "statusChangeDate": _changed_at,
            "elapsedSeconds": _elapsed_seconds,
        },
        {
            "transactionGroup": Relation(f"{TRANSACTION}_Group", same_row, many=False),
            "transactionStatus": Relation(f"{TRANSACTION}_Status", same_row, many=False),
        },
    )
)
register_type(DataType(f"{TRANSACTION}_Group", {"name": constant("Apply Configurations")}))
register_type(
    DataType(
        f"{TRANSACTION}_Status",
        {
            "name": lambda serialization, revision: str(revision.outcome).upper(),
            "friendlyName": lambda serialization, revision: str(revision.get_outcome_display()),
        },
    )
)
