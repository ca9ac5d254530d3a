"""What a concentrator's watch would have counted of a tunnel, written as it writes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.utils import timezone

from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import Connection
from vpnportal.domain.traffic.accounting import TrafficAccountant
from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Tunnel
from vpnportal.monitor import traffic_recorder

MUCH = TrafficCounts(1_200_000_000, 300_000_000, 900_000, 1)


def connection(tunnel: Tunnel) -> Connection:
    """What the concentrator holds of its newest revision."""
    return compile_tunnel(tunnel.latest().spec(), fingerprint_key()).connection


def carriers(
    tunnel: Tunnel, amounts: TrafficCounts, at: datetime, **changes: object
) -> list[ChildSaSample]:
    """All its children, up for ten minutes, each with these counters."""
    held = connection(tunnel)
    return [
        replace(
            ChildSaSample(
                id=f"{number}-{number:08x}",
                name=child.name,
                state="INSTALLED",
                suite=held.child_suite,
                local_ts=child.local_ts,
                remote_ts=child.remote_ts,
                counts=amounts,
                installed_at=at - timedelta(minutes=2),
                rekey_at=at + timedelta(minutes=23, seconds=30),
                ends_at=at + timedelta(minutes=29),
            ),
            **changes,
        )
        for number, child in enumerate(sorted(held.as_loaded.children), 1)
    ]


def line(tunnel: Tunnel, several: Iterable[ChildSaSample], at: datetime) -> IkeSaSample:
    """The IKE_SA of these children."""
    held = connection(tunnel)
    return IkeSaSample(
        held.name,
        "1",
        2 if tunnel.ike_version == 2 else 1,
        held.suite,
        at - timedelta(hours=2),
        at + timedelta(hours=1),
        tuple(several),
    )


def count(
    tunnel: Tunnel,
    amounts: TrafficCounts = MUCH,
    keep: int | None = None,
    **changes: object,
) -> None:
    """A look just now at all its children, or at the first so many of them."""
    at, held = timezone.now(), connection(tunnel)
    seen = [line(tunnel, carriers(tunnel, amounts, at, **changes)[:keep], at)]
    traffic_recorder.save_traffic(
        tunnel.concentrator,
        TrafficAccountant({}, None).sample({held.name: held.as_loaded}, seen, at),
    )
