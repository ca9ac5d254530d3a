"""Checks of what the database knows about gateways: reports, converges, revisions, releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import duration
from vpnportal.models import Concentrator, Revision
from vpnportal.models.revisions import LOCK_DURATION

# A worker converges everything each minute.
CONVERGE_WARNING, CONVERGE_ERROR = timedelta(minutes=3), timedelta(minutes=10)
REVISION_WARNING = timedelta(minutes=1)
MAX_NAMES = 10


def reports() -> Iterator[Finding]:
    """Check that the monitor of each concentrator reports."""
    return _each("reports", _report)


def _report(concentrator: Concentrator) -> Finding:
    name, monitor = f"reports/{concentrator.name}", f"vpnportal-monitor@{concentrator.name}"
    if concentrator.seen_at is None and not concentrator.unreachable_reason:
        return at_risk(
            name,
            "It has never reported.",
            f"Install its gateway (docs/install.md) and start {monitor}, or delete it under "
            "Administration.",
        )
    seen = _ago(concentrator.seen_at) if concentrator.seen_at else "never"
    if concentrator.is_online():
        return met(name, f"It reported {seen}.")
    reason = concentrator.unreachable_reason or (
        "Its monitor does not run, or cannot reach the database of this portal."
    )
    return unmet(
        name,
        f"Its last good report came {seen}. {reason}",
        f"On the gateway: vpnportal doctor, which also tells a network that is cut; systemctl "
        f"restart {monitor}",
    )


def converges() -> Iterator[Finding]:
    """Check that the worker of each concentrator converges everything, as it does each minute."""
    return _each("converges", _converge)


def _converge(concentrator: Concentrator) -> Finding:
    name, at = f"converges/{concentrator.name}", concentrator.converged_at
    unit = f"vpnportal-worker@{concentrator.name}"
    advice = (
        f"On the gateway: systemctl restart {unit}; its journal has the reason. On the portal, "
        "vpnportal-beat must run."
    )
    if at is None:
        return at_risk(name, "No full converge of it is recorded.", advice)
    text = f"Its last full converge ended {_ago(at)}."
    if age_of(at) > CONVERGE_ERROR:
        return unmet(name, text, advice)
    return at_risk(name, text, advice) if age_of(at) > CONVERGE_WARNING else met(name, text)


def revisions() -> Iterator[Finding]:
    """Check that no revision waits longer than a minute for its outcome."""
    before = timezone.now() - REVISION_WARNING
    waiting = Revision.objects.filter(outcome__in=Revision.UNFINISHED, created_at__lt=before)
    late = list(waiting.select_related("tunnel", "concentrator").order_by("created_at"))
    if not late:
        yield met("revisions", "No revision has waited for a minute.")
        return
    names = [
        f"{row.tunnel.name} revision {row.number} at {row.concentrator.name} ({duration(row.age)})"
        for row in late[:MAX_NAMES]
    ]
    make = unmet if any(row.age > LOCK_DURATION for row in late) else at_risk
    count = "1 revision waits" if len(late) == 1 else f"{len(late):,} revisions wait"
    yield make(
        "revisions",
        f"{count} for an outcome: {', '.join(names)}.",
        f"On that gateway: systemctl status vpnportal-worker@{late[0].concentrator.name}; the page "
        "of the tunnel has the steps.",
    )


def releases() -> Iterator[Finding]:
    """Check that each gateway has the release of the portal."""
    return _each("releases", _release)


def _release(concentrator: Concentrator) -> Finding:
    name, ours, theirs = f"releases/{concentrator.name}", settings.VERSION, concentrator.release
    upgrade = "Install the packages of the portal's release on the gateway."
    if not theirs:
        text = "It has reported no release: it never ran, or its release is an older one."
        return at_risk(name, text, upgrade)
    if theirs == ours:
        return met(name, f"It has the release {ours}, as the portal.")
    text = f"It has the release {theirs}, and the portal has {ours}."
    if _number(theirs) > _number(ours):
        return unmet(name, text, "Upgrade the portal: it must not be older than its gateways.")
    return at_risk(name, text, upgrade)


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdecimal())


def _each(name: str, look: Callable[[Concentrator], Finding]) -> Iterator[Finding]:
    found = [look(concentrator) for concentrator in Concentrator.objects.order_by("name")]
    yield from found or [met(name, "There is no concentrator.")]


def _ago(moment: datetime) -> str:
    return f"{duration(age_of(moment))} ago"
