"""Celery tasks: a name, a retry rule, one call. The message carries ids and no content."""

from __future__ import annotations

import logging

from celery.signals import worker_ready
from celery.utils.nodenames import nodesplit
from django.db import transaction

from vpnportal import reconcile
from vpnportal.celery import app
from vpnportal.device import DeviceError
from vpnportal.models import Concentrator

log = logging.getLogger(__name__)


@app.task(name="vpnportal.tasks.converge", bind=True, max_retries=3, default_retry_delay=2)
def converge(self, concentrator_id: int, tunnel_id: int | None = None) -> None:
    """Look again at a concentrator, or at one tunnel of it; ids are all the message says."""
    last_try = self.request.retries >= self.max_retries
    try:
        if reconcile.converge(concentrator_id, tunnel_id, give_up=last_try):
            # In between, others of this lane get their turn.
            request_converge(Concentrator.objects.get(pk=concentrator_id), tunnel_id)
    except DeviceError as error:
        if last_try:
            log.warning("Concentrator %s: %s", concentrator_id, error)
            return
        raise self.retry(exc=error) from error


def request_converge(concentrator: Concentrator, tunnel_id: int | None = None) -> None:
    """Send the message once the transaction is committed.

    A broker that is away loses nothing: the minute's converge finds the revision.
    """

    def send() -> None:
        _send(concentrator, tunnel_id)

    # Robust: what goes wrong is logged, and whoever asked is not told that the edit failed.
    transaction.on_commit(send, robust=True)


def _send(concentrator: Concentrator, tunnel_id: int | None) -> None:
    converge.apply_async((concentrator.pk, tunnel_id), queue=concentrator.queue)


@worker_ready.connect
def look_at_once(sender, **_: object) -> None:
    """A worker that starts, perhaps after a crash, first finishes what was left half done."""
    name, _host = nodesplit(sender.hostname)
    lane = Concentrator.objects.filter(name=name).first()
    if lane is not None:
        _send(lane, None)
