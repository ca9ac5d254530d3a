"""Check of the record of events: it is guarded, sealed in time, and whole at its end."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from vpnportal.deployment import event_guard
from vpnportal.gateway.requirements.findings import Finding, met, unmet
from vpnportal.maintenance.event_chain import current_head
from vpnportal.maintenance.event_verification import (
    UNSEALED_AFTER,
    oldest_unsealed_age,
    verify_newest,
)
from vpnportal.management.doctor.checks import duration

NAME = "events"
NEWEST = 1_000


def events() -> Iterator[Finding]:
    """Check triggers and sealing, and verify the newest seals."""
    if not event_guard.is_installed(connection):
        yield unmet(
            NAME,
            "Triggers that refuse to change recorded events are missing or disabled.",
            "`vpnportal migrate` makes them again. Find out who removed them, and run "
            "`vpnportal audit verify` with a head from the journal.",
        )
    age = oldest_unsealed_age()
    if age is not None and age > UNSEALED_AFTER:
        yield unmet(
            NAME,
            f"An event has no seal after {duration(age)}.",
            "Look at `systemctl status vpnportal-tasks vpnportal-beat`: these two seal events.",
        )
    if problem := verify_newest(NEWEST):
        yield unmet(
            NAME,
            problem,
            "Somebody changed the record. Keep a backup of the database as it is, and run "
            "`vpnportal audit verify` with a head from the journal.",
        )
    elif age is None or age <= UNSEALED_AFTER:
        yield met(NAME, f"Events are sealed, and the newest seal is {current_head().number:,}.")
