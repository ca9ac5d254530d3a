"""Summaries: one narrow row for each tunnel, by which the list filters, sorts and counts."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AnonymousUser, User
from django.db import models

from vpnportal.models.accounts import Account, Membership
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel


class TunnelSummaryQuerySet(models.QuerySet["TunnelSummary"]):
    """Summaries, with a filter by membership."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Return the summaries of the accounts that the user is a member of."""
        if user.pk is None:
            return self.none()
        return self.filter(account__in=Membership.objects.filter(user=user).values("account"))


class TunnelSummary(models.Model):
    """The row of one tunnel, which triggers write and no code does.

    The triggers are in `deployment.summary_triggers`, their query in `deployment.summary_query`.
    They follow every change of a tunnel, its revisions and its releases in the same transaction.
    `rank` is the rank of the state label while `reported_by` is online (`services.STATE_RANKS`).
    `names` has the names and the notes in upper case. `peers` has the two addresses, each between
    spaces.
    """

    # The tunnel's own columns have the constraints, and the triggers delete the row.
    tunnel = models.OneToOneField(
        Tunnel,
        models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="summary",
    )
    account = models.ForeignKey(
        Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    concentrator = models.ForeignKey(
        Concentrator, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    # The concentrator of the live revision, or else of the draft.
    reported_by = models.ForeignKey(
        Concentrator, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    rank = models.PositiveSmallIntegerField()
    is_changed = models.BooleanField()
    # The end of the apply of the live revision.
    applied_at = models.DateTimeField(null=True)
    # Sort keys. ipsec999 comes before ipsec1000, because its length is the first part. Without a
    # name the key is null, and the tunnel is last.
    name_key = models.CharField(max_length=22)
    friendly_key = models.CharField(max_length=80, null=True)  # noqa: DJ001
    hosted_number = models.BigIntegerField()
    remote_number = models.BigIntegerField(null=True)
    names = models.TextField()
    peers = models.CharField(max_length=34)

    objects = TunnelSummaryQuerySet.as_manager()

    class Meta:
        # No index has a column that follows the state: PostgreSQL then writes a new state without
        # writing to the indexes (heap-only tuples).
        indexes = [
            models.Index("name_key", "tunnel", name="summaries_by_name"),
            models.Index("account", "name_key", "tunnel", name="summaries_by_account"),
        ]

    def __str__(self) -> str:
        return f"summary of {self.tunnel_id}"
