"""What runs of a tunnel as JSON and back: times as ISO 8601, amounts and algorithms as lists."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts
from vpnportal.domain.tunnel.algorithms import Suite


def as_json(lines: Iterable[IkeSaSample]) -> list[dict[str, Any]]:
    """What a row keeps."""
    return [
        {
            "connection": line.connection,
            "id": line.id,
            "version": line.version,
            "suite": list(line.suite),
            "established_at": _text(line.established_at),
            "rekey_at": _text(line.rekey_at),
            "carriers": [_carrier_as_json(one) for one in line.child_sas],
        }
        for line in lines
    ]


def from_json(kept: Iterable[dict[str, Any]]) -> tuple[IkeSaSample, ...]:
    """What `as_json` wrote."""
    return tuple(
        IkeSaSample(
            one["connection"],
            one["id"],
            one["version"],
            Suite(*one["suite"]),
            _moment(one["established_at"]),
            _moment(one["rekey_at"]),
            tuple(_carrier(carrier) for carrier in one["carriers"]),
        )
        for one in kept
    )


def _carrier_as_json(one: ChildSaSample) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "suite": list(one.suite),
        "local": list(one.local_ts),
        "remote": list(one.remote_ts),
        "amounts": list(one.counts),
        "installed_at": one.installed_at.isoformat(),
        "rekey_at": _text(one.rekey_at),
        "ends_at": _text(one.ends_at),
        "older": one.older,
    }


def _carrier(kept: dict[str, Any]) -> ChildSaSample:
    return ChildSaSample(
        kept["id"],
        kept["name"],
        kept["state"],
        Suite(*kept["suite"]),
        tuple(kept["local"]),
        tuple(kept["remote"]),
        TrafficCounts(*kept["amounts"]),
        datetime.fromisoformat(kept["installed_at"]),
        _moment(kept["rekey_at"]),
        _moment(kept["ends_at"]),
        kept["older"],
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
