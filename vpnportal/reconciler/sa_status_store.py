"""Storage of SA status and concentrator status: only changes are written.

Worker and monitor both observe. Each write has the time its observation began, and an older
observation never overwrites a newer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import BigAutoField, DateTimeField, F, Q, QuerySet
from django.utils import timezone

from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel
from vpnportal.models.row_locks import lock_tunnels
from vpnportal.prepared_statements import PreparedUpdate

# The peer has accepted settings of the tunnel.
CARRYING = (SaStatus.UP, SaStatus.PARTIAL, SaStatus.OLDER)
# Users who edit a tunnel wait for the write of all that are locked with it.
TUNNELS_PER_WRITE = 1000


def save_all(concentrator: Concentrator, status: dict[int, SaStatus], at: datetime) -> None:
    """Write the changed SA statuses of a concentrator's tunnels, by tunnel id.

    A tunnel that is not in `status` is not loaded in charon.
    """
    changed: dict[str, list[int]] = defaultdict(list)
    for pk, saved in tunnels_of(concentrator).values_list("pk", "sa_status"):
        if status.get(pk, "") != saved:
            changed[status.get(pk, "")].append(pk)
    for value, pks in changed.items():
        for start in range(0, len(pks), TUNNELS_PER_WRITE):
            chunk = Tunnel.objects.filter(pk__in=pks[start : start + TUNNELS_PER_WRITE])
            tunnels = _observed_before(chunk, at, timezone.now())
            with transaction.atomic():
                lock_tunnels(tunnels)
                tunnels.update(**_columns(value, at))


def save_one(
    concentrator: Concentrator, tunnel_id: int, status: dict[int, SaStatus], at: datetime
) -> None:
    """Write the status of one tunnel."""
    value = status.get(tunnel_id, "")
    write = _write_one_up if value in CARRYING else _write_one
    write(concentrator.pk, tunnel_id, at, timezone.now(), **_columns(value, at))


def _columns(value: str, at: datetime) -> dict[str, Any]:
    """Return the columns to write with a status. A tunnel that was up once keeps its claims."""
    kept = {"claims_until": None} if value in CARRYING else {}
    return {"sa_status": value, "sa_status_at": at, **kept}


def save_online(concentrator: Concentrator, userland_esp: bool) -> None:
    """Write that the concentrator answered now."""
    Concentrator.objects.filter(pk=concentrator.pk).update(
        seen_at=timezone.now(), unreachable_reason="", userland_esp=userland_esp
    )


def save_unreachable(concentrator: Concentrator, reason: str) -> None:
    """Write that the concentrator does not answer. `seen_at` stays, for the age of the status."""
    Concentrator.objects.filter(pk=concentrator.pk).exclude(unreachable_reason=reason).update(
        unreachable_reason=reason
    )


def save_capabilities(
    concentrator: Concentrator, algorithms: dict[str, list[str]], version: str
) -> None:
    """Write the algorithms and the version of charon, and the release here, if they changed."""
    new = {"algorithms": algorithms, "charon_version": version, "release": settings.VERSION}
    row = Concentrator.objects.filter(pk=concentrator.pk)
    if new != row.values(*new).first():
        row.update(**new)


def save_converged(concentrator: Concentrator) -> None:
    """Write that a full converge ended now."""
    Concentrator.objects.filter(pk=concentrator.pk).update(converged_at=timezone.now())


def save_for_operators(
    concentrator: Concentrator, foreign_connections: Iterable[str], drop_counters: Mapping[str, int]
) -> None:
    """Write unmanaged connections and counters of dropped packets, if they changed."""
    new = (list(foreign_connections), dict(drop_counters))
    row = Concentrator.objects.filter(pk=concentrator.pk)
    if new != row.values_list("foreign_connections", "drop_counters").first():
        row.update(foreign_connections=new[0], drop_counters=new[1])


def save_dropped_by_esp(concentrator: Concentrator, packets: int) -> None:
    """Add a number of packets to the counter of packets that no selector allowed."""
    Concentrator.objects.filter(pk=concentrator.pk).update(
        dropped_by_esp=F("dropped_by_esp") + packets
    )


def tunnels_of(concentrator: Concentrator) -> QuerySet[Tunnel]:
    """Return the tunnels whose status this concentrator reports.

    A tunnel that moves belongs to its old concentrator until its revision is live on the new one.
    """
    return _tunnels_of(concentrator.pk)


def _tunnels_of(concentrator_id: int) -> QuerySet[Tunnel]:
    moving = AddressRelease.objects.open().values("tunnel")
    live = Revision.objects.filter(outcome=Revision.Outcome.LIVE, tunnel__in=moving)
    still_here = live.filter(concentrator_id=concentrator_id).values("tunnel")
    elsewhere = live.exclude(concentrator_id=concentrator_id).values("tunnel")
    is_here = Q(concentrator_id=concentrator_id) | Q(pk__in=still_here)
    return Tunnel.objects.filter(is_here).exclude(pk__in=elsewhere)


def _observed_before(tunnels: QuerySet[Tunnel], at: datetime, now: datetime) -> QuerySet[Tunnel]:
    """Return the tunnels whose status is older than an observation that began at `at`."""
    is_older = Q(sa_status_at__isnull=True) | Q(sa_status_at__lt=at)
    # A time in the future was written before the clock was set back. It must not block updates.
    return tunnels.filter(is_older | Q(sa_status_at__gt=now))


def _writer(*columns: str) -> PreparedUpdate:
    return PreparedUpdate(
        lambda concentrator_id, pk, at, now: _observed_before(
            _tunnels_of(concentrator_id).filter(pk=pk), at, now
        ),
        BigAutoField(),
        BigAutoField(),
        DateTimeField(),
        DateTimeField(),
        columns=columns,
    )


_write_one = _writer("sa_status", "sa_status_at")
_write_one_up = _writer("sa_status", "sa_status_at", "claims_until")
