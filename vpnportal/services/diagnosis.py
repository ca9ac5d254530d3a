"""Why a tunnel is down, computed from what was heard of it when somebody wants to know."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from vpnportal.domain.diagnosis import Evidence, Finding, diagnose
from vpnportal.domain.diagnosis.log_lines import from_json
from vpnportal.models import DiagnosticLog, Revision, Tunnel

DOWNS_LAST = timedelta(minutes=5)


def findings_of(tunnel: Tunnel) -> tuple[Finding, ...]:
    """What is wrong with a tunnel, most decisive first; empty when nothing is, or none applied."""
    revision = _revision(tunnel)
    if revision is None:
        return ()
    return diagnose(revision.spec(), _evidence(tunnel, revision))


def _revision(tunnel: Tunnel) -> Revision | None:
    standing = tunnel.revisions.live_or_applying().order_by("-number").first()
    return standing or tunnel.latest()


def _evidence(tunnel: Tunnel, revision: Revision) -> Evidence:
    kept = DiagnosticLog.objects.filter(tunnel=tunnel).first() or DiagnosticLog(tunnel=tunnel)
    facts, now = kept.anomalies, timezone.now()
    narrowed = facts.get("narrowed")
    return Evidence(
        lines=from_json(kept.lines),
        up=tunnel.sa_status == Tunnel.SaStatus.UP,
        rekey_refused=revision.first_rekey == Revision.Rekeyed.FAILED,
        narrowed=(tuple(narrowed[0]), tuple(narrowed[1])) if narrowed else None,
        one_way_seconds=_seconds_since(facts.get("one_way_since"), now),
        downs=_lately(facts.get("downs", ()), now),
        duplicates=facts.get("duplicates", 0),
    )


def _seconds_since(then: str | None, now: datetime) -> int:
    """At least 1 when there is a time: a clock that was set back makes nothing well."""
    return max(1, int((now - datetime.fromisoformat(then)).total_seconds())) if then else 0


def _lately(times: Any, now: datetime) -> int:
    return sum(abs(now - datetime.fromisoformat(one)) <= DOWNS_LAST for one in times)
