"""Checks of what the database knows about gateways: reports, converges, revisions, releases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from vpnportal import services
from vpnportal.clock import age_of
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import duration
from vpnportal.models import AddressPool, Concentrator, Revision
from vpnportal.models.concentrators import STALE_AFTER
from vpnportal.models.revisions import LOCK_DURATION

# A worker converges everything each minute.
CONVERGE_WARNING, CONVERGE_ERROR = timedelta(minutes=3), timedelta(minutes=10)
REVISION_WARNING = timedelta(minutes=1)
# The monitor reports every 5 s.
LOOK_AGAIN_SECONDS = 6.0
CLOCK_AHEAD = timedelta(seconds=2)
POOL_WARNING_PERCENT = 10
POOL_WORDS = {
    AddressPool.Kind.HOSTED_PEER: "hosted peer addresses",
    AddressPool.Kind.STATIC_NAT: "static NAT subnets",
}
MAX_NAMES = 10


def reports() -> Iterator[Finding]:
    """Check that the monitor of each concentrator reports, and its clock."""
    silent = {
        row.pk: row.seen_at
        for row in Concentrator.objects.all()
        if row.seen_at and not row.unreachable_reason and not row.is_online()
    }
    if silent:
        # A report with an old time, or a future one, is none from a machine that is away.
        time.sleep(LOOK_AGAIN_SECONDS)
    return _each("reports", lambda row: _report(row, silent.get(row.pk)))


def _report(concentrator: Concentrator, earlier: datetime | None) -> Finding:
    """Return the finding about a monitor. `earlier` is the last report of one that seems silent."""
    name, monitor = f"reports/{concentrator.name}", f"vpnportal-monitor@{concentrator.name}"
    if concentrator.seen_at is None and not concentrator.unreachable_reason:
        return at_risk(
            name,
            "It has never reported.",
            f"Install its gateway (docs/install.md) and start {monitor}, or delete it under "
            "Administration.",
        )
    if earlier and concentrator.seen_at != earlier and not concentrator.unreachable_reason:
        return _other_clock(name, concentrator.seen_at)
    if concentrator.seen_at and concentrator.seen_at - timezone.now() > CLOCK_AHEAD:
        return _other_clock(name, concentrator.seen_at)
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


def _other_clock(name: str, seen_at: datetime | None) -> Finding:
    """Return the finding about a gateway that reports with a time that is not the portal's."""
    difference = (seen_at or timezone.now()) - timezone.now()
    direction = "ahead of" if difference > timedelta() else "behind"
    make = unmet if abs(difference) > STALE_AFTER else at_risk
    return make(
        name,
        f"It reports, but its clock is {duration(abs(difference))} {direction} that of the portal.",
        "Install chrony or systemd-timesyncd on both machines; `timedatectl` shows its state.",
    )


def certificates() -> Iterator[Finding]:
    """Check the end of the certificate of each gateway."""
    return _each("gateway_certificates", _certificate)


def _certificate(concentrator: Concentrator) -> Finding:
    name, until = f"gateway_certificates/{concentrator.name}", concentrator.certificate_until
    if until is None:
        return met(name, "It has none: its gateway did not join by `vpnportal gateway join`.")
    text = f"Its end is {until:%Y-%m-%d %H:%M} UTC."
    problem, advice = concentrator.certificate_problem
    if not problem:
        return met(name, text)
    make = unmet if concentrator.has_certificate_ended else at_risk
    return make(name, f"{text} {problem}", advice)


def pools() -> Iterator[Finding]:
    """Check how many addresses each concentrator has for new tunnels."""
    uses = services.pool_uses()
    has_pool = {use.concentrator for use in uses if use.total}
    for use in uses:
        name = f"pools/{use.concentrator}/{use.kind.value}"
        if use.concentrator not in has_pool:
            yield met(name, "It has no pool, and gets no new tunnels.")
        else:
            yield _pool(name, use)
    if not uses:
        yield met("pools", "There is no concentrator.")


def _pool(name: str, use: services.PoolUse) -> Finding:
    things = POOL_WORDS[use.kind]
    text = f"Free {things}: {use.free:,} of {use.total:,}."
    option = f"--{use.kind.value.replace('peer', 'peers')}"
    advice = (
        f"Lead another network to the gateway, and add it: `vpnportal gateway add "
        f"{use.concentrator} {option} NETWORK`."
    )
    if not use.free:
        return unmet(name, f"{text} Orders are refused.", advice)
    if use.free * 100 < use.total * POOL_WARNING_PERCENT:
        return at_risk(name, text, advice)
    return met(name, text)


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
