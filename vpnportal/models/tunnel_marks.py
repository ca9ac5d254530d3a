"""Marks: the numbers by which a concentrator tells the packets of its tunnels apart."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import models
from django.db.models import Count, F, Max, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from vpnportal.models.concentrators import Concentrator
from vpnportal.models.tunnels import Tunnel

# The low 16 bits of a packet mark. 0 is the mark of packets without a tunnel.
MARKS = range(1, 65_536)


class TunnelMarkQuerySet(models.QuerySet["TunnelMark"]):
    """Marks, with the operations that give one to a tunnel, take it away and free its number."""

    def live(self) -> TunnelMarkQuerySet:
        """Return the marks that a tunnel holds."""
        return self.filter(released_at=None)

    def release(self, tunnel: Tunnel, concentrator: Concentrator) -> None:
        """Take the mark of a tunnel away. Its number stays reserved until `free`."""
        held = self.live().filter(tunnel=tunnel, concentrator=concentrator)
        held.update(released_at=timezone.now())

    def free(
        self, concentrator: Concentrator, zones_in_use: Collection[int], before: datetime
    ) -> int:
        """Free the numbers of released marks whose conntrack zone is empty; return how many.

        `zones_in_use` are the zones with an entry. `before` is the time at which their observation
        began: a mark that was released later is not in question yet.
        """
        released = self.filter(concentrator=concentrator, released_at__lt=before)
        rows = released.values_list("pk", "number")
        unused = [pk for pk, number in rows if number not in zones_in_use]
        for start in range(0, len(unused), 500):
            self.filter(pk__in=unused[start : start + 500]).delete()
        return len(unused)

    def first_unused(self, concentrator: Concentrator) -> int | None:
        """Return the lowest number without a row at the concentrator, or None if all have one."""
        here = self.filter(concentrator=concentrator)
        count, highest = here.aggregate(n=Count("pk"), highest=Max("number")).values()
        if count == (highest or 0):
            return count + 1 if count < len(MARKS) else None
        # By its place, and not by a search for each follower: PostgreSQL reads the whole table for
        # each of them while it has no statistics, which took minutes.
        place = Window(RowNumber(), order_by="number")
        behind_gap = here.annotate(place=place).filter(number__gt=F("place"))
        return behind_gap.order_by("number").values_list("place", flat=True)[0]


class TunnelMark(models.Model):
    """The mark of a tunnel at one concentrator.

    A tunnel that moves has a mark at both concentrators until the old one holds nothing of it. A
    row with `released_at` belongs to no tunnel, and reserves its number: packets of connections
    that began earlier may still carry it.
    """

    concentrator = models.ForeignKey(Concentrator, models.PROTECT, related_name="marks")
    number = models.PositiveIntegerField()
    tunnel = models.ForeignKey(Tunnel, models.SET_NULL, null=True, related_name="marks")
    released_at = models.DateTimeField(null=True)

    objects = TunnelMarkQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("concentrator", "number", name="one_tunnel_per_mark"),
            models.UniqueConstraint(
                "concentrator",
                "tunnel",
                condition=models.Q(released_at__isnull=True),
                name="one_live_mark_per_tunnel",
            ),
            models.CheckConstraint(
                condition=models.Q(number__gte=MARKS.start, number__lte=MARKS[-1]),
                name="marks_are_16_bits",
            ),
        ]

    def __str__(self) -> str:
        return f"mark {self.number} at {self.concentrator}"
