"""Diagnosis of a tunnel from its diagnostic log, computed when a page asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.domain.diagnosis import Evidence, Finding, diagnose
from vpnportal.domain.diagnosis.log_lines import from_json
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import DiagnosticLog, Revision, Tunnel

# Only recent failures of a tunnel count as flapping.
FLAPPING_WINDOW = timedelta(minutes=5)


def findings_of(tunnel: Tunnel) -> tuple[Finding, ...]:
    """Return the findings, the most decisive first; none for a tunnel that was never applied."""
    revision = _diagnosed_revision(tunnel)
    if revision is None:
        return ()
    return diagnose(revision.spec(), _evidence(tunnel, revision))


def _diagnosed_revision(tunnel: Tunnel) -> Revision | None:
    applied = tunnel.revisions.live_or_applying().order_by("-number").first()
    return applied or tunnel.latest()


def _evidence(tunnel: Tunnel, revision: Revision) -> Evidence:
    log = DiagnosticLog.objects.filter(tunnel=tunnel).first() or DiagnosticLog(tunnel=tunnel)
    anomalies = log.anomalies
    narrowed = anomalies.get("narrowed")
    return Evidence(
        lines=from_json(log.lines),
        up=tunnel.sa_status == SaStatus.UP,
        rekey_refused=revision.first_rekey == Revision.Rekeyed.FAILED,
        narrowed=(tuple(narrowed[0]), tuple(narrowed[1])) if narrowed else None,
        one_way_seconds=_seconds_since(anomalies.get("one_way_since")),
        downs=_recent(anomalies.get("downs", ())),
        duplicates=anomalies.get("duplicates", 0),
    )


def _seconds_since(moment: str | None) -> int:
    """Return the seconds since an ISO 8601 time: at least 1, or 0 if the time is missing."""
    if not moment:
        return 0
    return max(1, int((timezone.now() - datetime.fromisoformat(moment)).total_seconds()))


def _recent(moments: Iterable[str]) -> int:
    return sum(age_of(datetime.fromisoformat(text)) <= FLAPPING_WINDOW for text in moments)
