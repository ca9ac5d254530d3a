"""Long imports of translations, which the portal's tasks worker saves in steps."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from vpnportal.clock import age_of
from vpnportal.models.tunnels import Tunnel

# An import without progress ends, and no longer locks its tunnel: the tasks worker may be away.
LONGEST_PAUSE = timedelta(minutes=5)
OVERDUE = (
    f"There was no progress for {LONGEST_PAUSE // timedelta(minutes=1)} minutes. "
    "The service operators can see why: vpnportal-tasks may not be running."
)


class TranslationImportQuerySet(models.QuerySet["TranslationImport"]):
    """Imports, with filters by state."""

    def unfinished(self) -> TranslationImportQuerySet:
        """Return the imports without a result."""
        return self.filter(state__in=TranslationImport.UNFINISHED)

    def locking(self) -> TranslationImportQuerySet:
        """Return the unfinished imports that lock their tunnel."""
        now = timezone.now()
        return self.unfinished().filter(
            progress_at__range=(now - LONGEST_PAUSE, now + LONGEST_PAUSE)
        )


class TranslationImport(models.Model):
    """An import of more than LONG_IMPORT_ROWS changes into the translation table of a draft.

    `changes` is the JSON of `services.changes_as_json`, and empty after the end. The first `saved`
    of `total` changes are saved. `problems` is a list of sentences: why not all are.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        SAVING = "saving", "saving"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    UNFINISHED: ClassVar = (State.QUEUED, State.SAVING)

    tunnel = models.ForeignKey(Tunnel, models.CASCADE, related_name="imports")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    progress_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=6, choices=State, default=State.QUEUED)
    changes = models.JSONField(default=list)
    total = models.PositiveIntegerField()
    saved = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)

    objects = TranslationImportQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                "tunnel",
                condition=models.Q(state__in=("queued", "saving")),
                name="one_unfinished_import_per_tunnel",
            )
        ]

    def __str__(self) -> str:
        return f"import of {self.total} translations into {self.tunnel_id}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in self.UNFINISHED

    @property
    def is_overdue(self) -> bool:
        """True if it is unfinished without progress for LONGEST_PAUSE."""
        return self.is_unfinished and age_of(self.progress_at) > LONGEST_PAUSE

    def end(self, *problems: str) -> None:
        """Set the result, and remove the changes. Does not save the row."""
        self.state = self.State.FAILED if problems else self.State.DONE
        self.problems, self.changes, self.finished_at = list(problems), [], timezone.now()
