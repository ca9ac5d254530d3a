"""The Celery application, and the scheduler of all that is done every minute or every day."""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime, timedelta
from typing import Any

from celery import Celery
from celery.beat import Scheduler
from celery.schedules import schedstate, schedule
from django.db import DatabaseError, InterfaceError, close_old_connections, transaction

from vpnportal.broker_messages import limit_messages

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")

EVERY_SECONDS = 60
# Between two tries to read the concentrators while the database is away.
RETRY_SECONDS = 5
DAY_SECONDS = 86_400
# The queue of the portal's own worker. No concentrator has it: theirs begin with `concentrator.`.
PORTAL_QUEUE = "portal"
SEND_MAIL = "vpnportal.portal_tasks.send_mail"
RUN_IMPORT = "vpnportal.portal_tasks.run_import"
SEAL_EVENTS = "vpnportal.portal_tasks.seal_events"
SEAL_SECONDS = 3
MINUTE_TASKS = (
    "vpnportal.portal_tasks.send_due_mails",
    "vpnportal.portal_tasks.continue_imports",
    "vpnportal.portal_tasks.end_key_rotations",
)
DAILY_TASKS = (
    "vpnportal.portal_tasks.remove_old_rows",
    "vpnportal.portal_tasks.warn_of_ending_keys",
)

app = Celery("vpnportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["vpnportal"])
app.autodiscover_tasks(["vpnportal"], related_name="portal_tasks")
limit_messages()


def request_portal_task(task: str, row_id: object) -> None:
    """Queue a task of the portal's own worker for a row when the transaction commits.

    By name: services request it, and the tasks call services. If the message is lost, a task of
    MINUTE_TASKS finds the row.
    """

    def send() -> None:
        app.send_task(task, (str(row_id),), queue=PORTAL_QUEUE)

    transaction.on_commit(send, robust=True)


class Regularly(schedule):
    """A schedule of one run in each period, also after the clock was set back."""

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether to run now, and the seconds until the next check."""
        if self.maybe_make_aware(last_run_at) > self.now():
            return schedstate(is_due=True, next=EVERY_SECONDS)
        return super().is_due(last_run_at)


class PortalScheduler(Scheduler):
    """A scheduler with one entry per concentrator, and those of the portal's own worker.

    It reads the concentrators every minute. It runs each task soon after its own start. While the
    database is away, it keeps the concentrators that it knows.
    """

    def setup_schedule(self) -> None:
        self._read_at, self._has_database = -float(EVERY_SECONDS), True
        self._portal_entries = {
            **{task: self._portal_entry(task, EVERY_SECONDS) for task in MINUTE_TASKS},
            **{task: self._portal_entry(task, DAY_SECONDS) for task in DAILY_TASKS},
            SEAL_EVENTS: self._portal_entry(SEAL_EVENTS, SEAL_SECONDS),
        }
        self.schedule.update(self._portal_entries)
        self._read_concentrators()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        self._read_concentrators()
        next_read = self._read_at + EVERY_SECONDS - time.monotonic()
        return max(0.0, min(super().tick(*args, **kwargs), next_read))

    def _read_concentrators(self) -> None:
        if time.monotonic() - self._read_at < EVERY_SECONDS:
            return
        self._read_at = time.monotonic()
        # Build the heap of due times again: after the clock was set back, it holds late times.
        self._heap = None
        try:
            concentrators = _concentrators()
        except (DatabaseError, InterfaceError) as error:
            # Once for each outage.
            if self._has_database:
                log.warning("The database cannot be reached: %s", error)
            self._has_database = False
            close_old_connections()
            self._read_at += RETRY_SECONDS - EVERY_SECONDS
            return
        self._has_database = True
        for queue in self.schedule.keys() - concentrators.keys() - self._portal_entries.keys():
            self.schedule.pop(queue)
        for queue in concentrators.keys() - self.schedule.keys():
            self.schedule[queue] = self._entry(concentrators[queue])

    def _entry(self, concentrator: Any) -> Any:
        return self.Entry(
            name=concentrator.queue,
            task="vpnportal.tasks.converge",
            schedule=Regularly(EVERY_SECONDS),
            args=(concentrator.pk,),
            # A worker that was down finds one converge in its queue, not one per minute.
            options={"queue": concentrator.queue, "expires": EVERY_SECONDS},
            app=self.app,
        )

    def _portal_entry(self, task: str, seconds: int) -> Any:
        return self.Entry(
            name=task,
            task=task,
            schedule=Regularly(seconds),
            last_run_at=self.app.now() - timedelta(seconds=seconds),
            options={"queue": PORTAL_QUEUE, "expires": seconds},
            app=self.app,
        )


def _concentrators() -> dict[str, Any]:
    """Return the concentrators by queue."""
    from vpnportal.models import Concentrator

    return {concentrator.queue: concentrator for concentrator in Concentrator.objects.all()}
