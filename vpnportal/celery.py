"""The Celery application, and the scheduler that asks every lane to converge once a minute."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from celery import Celery
from celery.beat import Scheduler
from celery.schedules import schedstate, schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")

EVERY_SECONDS = 60

app = Celery("vpnportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["vpnportal"])


class EveryMinute(schedule):
    """Once a minute, also when the clock was set back since the last time."""

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is, and in how many seconds to ask again."""
        if self.maybe_make_aware(last_run_at) > self.now():
            return schedstate(is_due=True, next=EVERY_SECONDS)
        return super().is_due(last_run_at)


class ConvergeScheduler(Scheduler):
    """One entry for each concentrator, read from the database again every minute."""

    def setup_schedule(self) -> None:
        self._read_at = -float(EVERY_SECONDS)
        self._read_concentrators()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        self._read_concentrators()
        return min(super().tick(*args, **kwargs), EVERY_SECONDS)

    def _read_concentrators(self) -> None:
        if time.monotonic() - self._read_at < EVERY_SECONDS:
            return
        self._read_at = time.monotonic()
        # Whose turn is next is reckoned anew: a clock that was set back would keep some waiting.
        self._heap = None
        from vpnportal.models import Concentrator

        concentrators = {
            concentrator.queue: concentrator for concentrator in Concentrator.objects.all()
        }
        for gone in self.schedule.keys() - concentrators.keys():
            self.schedule.pop(gone)
        for name in concentrators.keys() - self.schedule.keys():
            self.schedule[name] = self._entry(concentrators[name])

    def _entry(self, concentrator: Any) -> Any:
        return self.Entry(
            name=concentrator.queue,
            task="vpnportal.tasks.converge",
            schedule=EveryMinute(EVERY_SECONDS),
            args=(concentrator.pk,),
            # A worker that was away finds one message to look again, not an hour of them.
            options={"queue": concentrator.queue, "expires": EVERY_SECONDS},
            app=self.app,
        )
