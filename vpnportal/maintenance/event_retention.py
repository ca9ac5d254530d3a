"""Removal of old events: a whole prefix of the chain, of which an anchor is left."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from vpnportal.deployment.event_guard import MIN_DAYS
from vpnportal.models import Event, EventAnchor, EventSeal, record_event

# One transaction: other writers wait for SQLite's one lock.
ROWS_AT_ONCE = 50_000


def remove_old_events() -> int:
    """Remove the events that were sealed VPNPORTAL_EVENT_DAYS ago; return how many.

    0 days keep all. The database removes nothing that is younger than MIN_DAYS.
    """
    days = settings.EVENT_DAYS
    if not days:
        return 0
    before = timezone.now() - timedelta(days=max(days, MIN_DAYS))
    total = 0
    while count := _remove_prefix(before):
        total += count
    return total


def _remove_prefix(before: datetime) -> int:
    with transaction.atomic():
        anchor = EventAnchor.objects.order_by("-number").first()
        start = anchor.number if anchor else 0
        prefix = EventSeal.objects.filter(number__gt=start).order_by("number")
        until = prefix.filter(number__lte=start + ROWS_AT_ONCE)
        kept = until.filter(at__gte=before).first()
        old = until.filter(number__lt=kept.number) if kept else until
        last = old.last()
        if last is None:
            return 0
        count = last.number - start
        EventAnchor.objects.create(
            number=last.number, digest=last.digest, count=count, at=timezone.now()
        )
        after = {"head": str(last), "count": count}
        record_event(Event.Action.EVENTS_REMOVED, actor="portal", after=after, count=count)
        seals = EventSeal.objects.filter(number__lte=last.number)
        Event.objects.filter(pk__in=seals.values("event_id")).delete()
        seals.delete()
    return count
