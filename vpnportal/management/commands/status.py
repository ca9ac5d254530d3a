"""`manage.py status`: a short summary of the portal, its gateways, tunnels and queues."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from vpnportal.gateway.requirements.findings import Finding, Level
from vpnportal.management.doctor import broker, machine
from vpnportal.management.doctor.checks import Check, run_limited
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Concentrator, Tunnel

STATES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
STATUSES = {Level.OK: 0, Level.WARNING: 1, Level.ERROR: 2}


class Command(JsonCommand):
    """Command that changes nothing. Its status is 0, 1 with something yellow, 2 with red.

    A gateway that is offline is red. `doctor` says what to do.
    """

    help = "Show version, gateways, tunnels, queues and the last backup in a few lines."
    failure_status = 2

    def handle(self, *args: Any, **options: Any) -> None:
        concentrators = list(Concentrator.objects.order_by("name"))
        findings = [
            *run_limited(Check("queues", frozenset(), (broker.queues,))),
            *run_limited(Check("backup", frozenset(), (machine.backup,))),
        ]
        summary = {
            "version": settings.VERSION,
            "gateways": [gateway(row) for row in concentrators],
            "tunnels": tunnels_by_state(),
            "checks": [
                {"name": f.requirement, "state": STATES[f.level], "found": f.text} for f in findings
            ],
        }
        self.answer(summary, text_of(summary))
        if status := status_of(concentrators, findings):
            sys.exit(status)


def gateway(row: Concentrator) -> dict[str, Any]:
    """Return the state of a gateway. The times are in ISO 8601, or None."""
    return {
        "name": row.name,
        "online": row.is_online(),
        "seen_at": _iso(row.seen_at),
        "release": row.release,
        "certificate_until": _iso(row.certificate_until),
        "reason": row.unreachable_reason,
    }


def tunnels_by_state() -> dict[str, int]:
    """Return the number of tunnels by SA status; "none" for those without one."""
    rows = Tunnel.objects.filter(cancelled_at=None).values_list("sa_status")
    counted = rows.annotate(count=Count("pk")).order_by("sa_status")
    return {status or "none": count for status, count in counted}


def status_of(concentrators: list[Concentrator], findings: list[Finding]) -> int:
    """Return 0 if everything is green, 1 if something is yellow, 2 if something is red."""
    now = timezone.now()
    # One that never reported waits for its machine.
    statuses = [
        2 if row.seen_at or row.unreachable_reason else 1
        for row in concentrators
        if not row.is_online()
    ]
    ended = [row.certificate_until for row in concentrators if row.certificate_until]
    statuses += [2 for end in ended if end < now]
    statuses += [STATUSES[finding.level] for finding in findings]
    return max(statuses, default=0)


def text_of(summary: dict[str, Any]) -> str:
    """Return the summary as lines."""
    lines = [f"vpnportal {summary['version']}"]
    for each in summary["gateways"]:
        seen = each["seen_at"] or "never"
        state = "online" if each["online"] else f"offline, last seen {seen}"
        end = each["certificate_until"]
        certificate = f", certificate until {end[:10]}" if end else ", no certificate"
        lines.append(f"gateway {each['name']}: {state}{certificate}")
    states = ", ".join(f"{count:,} {state}" for state, count in summary["tunnels"].items())
    lines.append(f"tunnels: {states or 'none'}")
    lines += [f"{each['name']}: {each['state']}: {each['found']}" for each in summary["checks"]]
    return "\n".join(lines)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
