"""What charon counted, out of the same replies and events that tell of associations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts
from vpnportal.gateway.vici.parsing import suite


def line(connection: str, body: Mapping[str, Any], now: datetime) -> IkeSaSample:
    """An entry of `list-sas`, with the children that carry packets."""
    children = body.get("child-sas", {}).values()
    return _line(connection, body, children, now)


def ended(connection: str, body: Mapping[str, Any], now: datetime) -> IkeSaSample:
    """An event of a child that went down, or that another one took the place of (old and new)."""
    children = (child.get("old", child) for child in body.get("child-sas", {}).values())
    return _line(connection, body, children, now)


def _line(
    connection: str, body: Mapping[str, Any], children: Iterable[Mapping[str, Any]], now: datetime
) -> IkeSaSample:
    return IkeSaSample(
        connection,
        body.get("uniqueid", ""),
        int(body.get("version", 0)),
        suite(body),
        _ago(body, "established", now),
        _ahead(body, "rekey-time", now),
        tuple(_carrier(child, now) for child in children if "spi-in" in child),
    )


def _carrier(body: Mapping[str, Any], now: datetime) -> ChildSaSample:
    return ChildSaSample(
        # charon counts its children from 1 when it starts; an SPI is drawn by chance.
        id=f"{body['uniqueid']}-{body['spi-in']}",
        name=body.get("name", ""),
        state=body.get("state", ""),
        suite=suite(body),
        local_ts=tuple(body.get("local-ts", ())),
        remote_ts=tuple(body.get("remote-ts", ())),
        counts=TrafficCounts(
            int(body.get("bytes-in", 0)),
            int(body.get("bytes-out", 0)),
            int(body.get("packets-in", 0)),
            int(body.get("packets-out", 0)),
        ),
        installed_at=_ago(body, "install-time", now) or now,
        rekey_at=_ahead(body, "rekey-time", now),
        ends_at=_ahead(body, "life-time", now),
    )


def _ago(body: Mapping[str, Any], key: str, now: datetime) -> datetime | None:
    return now - timedelta(seconds=int(body[key])) if key in body else None


def _ahead(body: Mapping[str, Any], key: str, now: datetime) -> datetime | None:
    return now + timedelta(seconds=int(body[key])) if key in body else None
