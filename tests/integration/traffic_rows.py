"""Traffic of a tunnel, recorded as the monitor of its concentrator records it."""

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
    """Return the connection of the tunnel's newest revision."""
    return compile_tunnel(tunnel.latest().spec(), fingerprint_key()).connection


def child_sa_samples(
    tunnel: Tunnel, counts: TrafficCounts, at: datetime, **changes: object
) -> list[ChildSaSample]:
    """Return a sample of each CHILD_SA of the tunnel, each with these counters."""
    loaded = connection(tunnel)
    return [
        replace(
            ChildSaSample(
                id=f"{number}-{number:08x}",
                name=child.name,
                state="INSTALLED",
                suite=loaded.child_suite,
                local_ts=child.local_ts,
                remote_ts=child.remote_ts,
                counts=counts,
                installed_at=at - timedelta(minutes=2),
                rekey_at=at + timedelta(minutes=23, seconds=30),
                ends_at=at + timedelta(minutes=29),
            ),
            **changes,
        )
        for number, child in enumerate(sorted(loaded.as_loaded.children), 1)
    ]


def ike_sa_sample(tunnel: Tunnel, children: Iterable[ChildSaSample], at: datetime) -> IkeSaSample:
    """Return the sample of the IKE_SA of these CHILD_SAs."""
    loaded = connection(tunnel)
    return IkeSaSample(
        loaded.name,
        "1",
        2 if tunnel.ike_version == 2 else 1,
        loaded.suite,
        at - timedelta(hours=2),
        at + timedelta(hours=1),
        tuple(children),
    )


def record_traffic(
    tunnel: Tunnel,
    counts: TrafficCounts = MUCH,
    child_count: int | None = None,
    **changes: object,
) -> None:
    """Record a sample of now, with all CHILD_SAs of the tunnel or the first `child_count`."""
    at, loaded = timezone.now(), connection(tunnel)
    children = child_sa_samples(tunnel, counts, at, **changes)[:child_count]
    samples = [ike_sa_sample(tunnel, children, at)]
    traffic_recorder.save_traffic(
        tunnel.concentrator,
        TrafficAccountant({}, None).sample({loaded.name: loaded.as_loaded}, samples, at),
    )
