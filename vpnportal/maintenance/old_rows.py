"""Rows that are removed when they are old, so that the database does not grow without end.

Accounts, tunnels, their revisions and address releases stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import models
from django.utils import timezone

from vpnportal.models import (
    AttemptCounter,
    DriftRepair,
    Invitation,
    KeyReveal,
    LimitEntry,
    MemberChange,
    OutgoingMail,
    PeerProbe,
    RefusedApply,
    TranslationImport,
    TunnelCommand,
)
from vpnportal.models.accounts import INVITATION_LASTS

log = logging.getLogger(__name__)
Q = models.Q
# One transaction: other writers wait for SQLite's one lock.
ROWS_AT_ONCE = 500
# The result of an import is a notice for its author, and the draft's edits are noted apart from it.
IMPORTS_KEPT = timedelta(days=30)
# `services.sign_in_limits` forgets them after a day.
COUNTERS_KEPT = timedelta(days=2)

# By table: the rows that nothing needs if they are older than this time. `before` is in UTC.
REMOVABLE: dict[type[models.Model], Callable[[datetime], Q]] = {
    TunnelCommand: lambda before: Q(done_at__lt=before),
    PeerProbe: lambda before: Q(finished_at__lt=before),
    DriftRepair: lambda before: Q(at__lt=before),
    Invitation: lambda before: Q(created_at__lt=before - INVITATION_LASTS),
    MemberChange: lambda before: Q(at__lt=before),
    RefusedApply: lambda before: Q(at__lt=before),
    KeyReveal: lambda before: Q(at__lt=before),
    OutgoingMail: lambda before: Q(created_at__lt=before, next_try_at=None),
    LogEntry: lambda before: Q(action_time__lt=before),
}


def remove_old_rows() -> dict[str, int]:
    """Remove rows older than VPNPORTAL_KEEP_DAYS, and ended sessions; return the numbers by table.

    Long imports are removed after IMPORTS_KEPT at the latest. A table without a removed row is not
    in the result.
    """
    now = timezone.now()
    before = now - timedelta(days=settings.KEEP_DAYS)
    conditions = {model: condition(before) for model, condition in REMOVABLE.items()}
    conditions[TranslationImport] = Q(finished_at__lt=max(before, now - IMPORTS_KEPT))
    conditions[Session] = Q(expire_date__lt=now)
    conditions[AttemptCounter] = Q(at__lt=now - COUNTERS_KEPT)
    conditions[LimitEntry] = Q(ends_at__lt=now)
    removed = {
        str(model._meta.verbose_name_plural): number
        for model, condition in conditions.items()
        if (number := _remove(model._base_manager.filter(condition)))
    }
    if removed:
        log.info("Removed old rows: %s", removed)
    return removed


def _remove(rows: models.QuerySet[Any]) -> int:
    """Remove rows in steps, each a transaction of its own; return their number."""
    total = 0
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        rows.model._base_manager.filter(pk__in=pks).delete()
        total += len(pks)
    return total
