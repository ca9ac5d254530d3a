"""Traffic counters of SAs, from the replies to `list-sas` and from events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts
from vpnportal.gateway.vici.parsing import parse_suite


def ike_sa_sample(connection: str, body: Mapping[str, Any], now: datetime) -> IkeSaSample:
    """Return the counters of the CHILD_SAs with an SPI in an entry of `list-sas`."""
    return _ike_sa_sample(connection, body, body.get("child-sas", {}).values(), now)


def final_sample(connection: str, body: Mapping[str, Any], now: datetime) -> IkeSaSample:
    """Return the last counters of CHILD_SAs that went down or were replaced.

    `body` is the connection's section of a `child-updown` or `child-rekey` event. In the latter
    each child has the sections `old` and `new`.
    """
    children = (child.get("old", child) for child in body.get("child-sas", {}).values())
    return _ike_sa_sample(connection, body, children, now)


def _ike_sa_sample(
    connection: str, body: Mapping[str, Any], children: Iterable[Mapping[str, Any]], now: datetime
) -> IkeSaSample:
    return IkeSaSample(
        connection,
        body.get("uniqueid", ""),
        int(body.get("version", 0)),
        parse_suite(body),
        _time_ago(body, "established", now),
        _time_ahead(body, "rekey-time", now),
        tuple(_child_sa_sample(child, now) for child in children if "spi-in" in child),
    )


def _child_sa_sample(body: Mapping[str, Any], now: datetime) -> ChildSaSample:
    return ChildSaSample(
        # charon numbers its CHILD_SAs from 1 after each start; an SPI is random.
        id=f"{body['uniqueid']}-{body['spi-in']}",
        name=body.get("name", ""),
        state=body.get("state", ""),
        suite=parse_suite(body),
        local_ts=tuple(body.get("local-ts", ())),
        remote_ts=tuple(body.get("remote-ts", ())),
        counts=TrafficCounts(
            int(body.get("bytes-in", 0)),
            int(body.get("bytes-out", 0)),
            int(body.get("packets-in", 0)),
            int(body.get("packets-out", 0)),
        ),
        installed_at=_time_ago(body, "install-time", now) or now,
        rekey_at=_time_ahead(body, "rekey-time", now),
        ends_at=_time_ahead(body, "life-time", now),
    )


def _time_ago(body: Mapping[str, Any], key: str, now: datetime) -> datetime | None:
    return now - timedelta(seconds=int(body[key])) if key in body else None


def _time_ahead(body: Mapping[str, Any], key: str, now: datetime) -> datetime | None:
    return now + timedelta(seconds=int(body[key])) if key in body else None
