"""Mails that wait for the portal's tasks worker."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.db import models

from vpnportal.fields import Sealed, SealedField


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    """Mails, with a filter for those to send."""

    def due(self, now: datetime) -> OutgoingMailQuerySet:
        """Return the mails whose next try is due at `now`."""
        return self.filter(next_try_at__lte=now)


class OutgoingMail(models.Model):
    """A mail to one address.

    `text` is sealed, because a link in it may give access. A mail that was sent or given up has no
    text. `next_try_at` is None then. `error` is the answer to the last try, "" if it was sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    recipient = models.EmailField()
    subject = models.CharField(max_length=200)
    text = SealedField(default=Sealed, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    next_try_at = models.DateTimeField(null=True, db_index=True)
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    objects = OutgoingMailQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.subject} to {self.recipient}"

    @property
    def context(self) -> str:
        """The encryption context of `text`."""
        return f"mail {self.pk}"
