"""JSON codec of the SA samples of a tunnel: times as ISO 8601, counts and algorithms as lists."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts
from vpnportal.domain.tunnel.algorithms import Suite


def as_json(ike_sas: Iterable[IkeSaSample]) -> list[dict[str, Any]]:
    """Return samples as `Traffic.lines` stores them."""
    return [
        {
            "connection": ike_sa.connection,
            "id": ike_sa.id,
            "version": ike_sa.version,
            "suite": list(ike_sa.suite),
            "established_at": _text(ike_sa.established_at),
            "rekey_at": _text(ike_sa.rekey_at),
            "carriers": [_child_as_json(child) for child in ike_sa.child_sas],
        }
        for ike_sa in ike_sas
    ]


def from_json(rows: Iterable[dict[str, Any]]) -> tuple[IkeSaSample, ...]:
    """Return the samples from the dicts that `as_json` made."""
    return tuple(
        IkeSaSample(
            row["connection"],
            row["id"],
            row["version"],
            Suite(*row["suite"]),
            _moment(row["established_at"]),
            _moment(row["rekey_at"]),
            tuple(_child_from_json(child) for child in row["carriers"]),
        )
        for row in rows
    )


def _child_as_json(child: ChildSaSample) -> dict[str, Any]:
    return {
        "id": child.id,
        "name": child.name,
        "state": child.state,
        "suite": list(child.suite),
        "local": list(child.local_ts),
        "remote": list(child.remote_ts),
        "amounts": list(child.counts),
        "installed_at": child.installed_at.isoformat(),
        "rekey_at": _text(child.rekey_at),
        "ends_at": _text(child.ends_at),
        "older": child.older,
    }


def _child_from_json(row: dict[str, Any]) -> ChildSaSample:
    return ChildSaSample(
        row["id"],
        row["name"],
        row["state"],
        Suite(*row["suite"]),
        tuple(row["local"]),
        tuple(row["remote"]),
        TrafficCounts(*row["amounts"]),
        datetime.fromisoformat(row["installed_at"]),
        _moment(row["rekey_at"]),
        _moment(row["ends_at"]),
        row["older"],
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
