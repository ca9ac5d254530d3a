"""The wait of the Apply view for the outcome of its revision.

The outcome of most applies is written 15 ms after the commit. A page that waits for it shows the
result in the answer itself (docs/decisions/035-apply-answers-with-the-outcome.md).
"""

from __future__ import annotations

from threading import BoundedSemaphore
from time import monotonic, sleep

from django.conf import settings
from django.db.models import BigAutoField

from vpnportal.models import Revision
from vpnportal.prepared_statements import PreparedQuery

LONGEST_WAIT_SECONDS = 0.3
LOOK_EVERY_SECONDS = 0.01
# Waiting requests hold at most half of the threads of a process: with a worker that is away, the
# other half still answers.
_slots = BoundedSemaphore(settings.WEB_THREADS // 2)
_finished = PreparedQuery(
    lambda pk: Revision.objects.filter(pk=pk).exclude(outcome__in=Revision.UNFINISHED),
    BigAutoField(),
)


def wait_for_outcome(revision: Revision) -> Revision:
    """Return the revision with its outcome, or unfinished as it is after the longest wait.

    Call it outside of a transaction: the worker must see the revision, and must not wait for a
    lock. Returns at once if too many requests of this process wait already.
    """
    if not _slots.acquire(blocking=False):
        return revision
    try:
        deadline = monotonic() + LONGEST_WAIT_SECONDS
        while monotonic() < deadline:
            sleep(LOOK_EVERY_SECONDS)
            for finished in _finished(revision.pk):
                return finished
    finally:
        _slots.release()
    return revision
