"""vici's replies as the domain's values: bytes become text, sections become associations."""

from __future__ import annotations

from typing import Any

from vpnportal.domain.observed import ChildSa, IkeSa


def ike_sa(connection: str, body: dict[str, Any]) -> IkeSa:
    """An entry of `list-sas`."""
    children = body.get("child-sas", {}).values()
    return IkeSa(
        connection=connection,
        unique_id=body["uniqueid"],
        state=body["state"],
        children=tuple(
            ChildSa(child["name"], child["uniqueid"], child["state"]) for child in children
        ),
        tasks=frozenset(body.get("tasks-queued", [])) | frozenset(body.get("tasks-active", [])),
    )


def text(value: Any) -> Any:
    """A vici reply with its bytes decoded; what a peer put in names may be no UTF-8."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [text(item) for item in value]
    return value
