"""Celery tasks: a name, a retry rule, one call. The message carries ids and no content."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import worker_ready
from celery.utils.nodenames import nodesplit
from django.db import OperationalError, transaction

from vpnportal.celery import EVERY_SECONDS, app
from vpnportal.gateway import GatewayError
from vpnportal.models import Concentrator, PeerProbe
from vpnportal.reconciler import address_release, peer_probe, reconcile

log = logging.getLogger(__name__)


@app.task(name="vpnportal.tasks.converge", bind=True, max_retries=3, default_retry_delay=2)
def converge(self, concentrator_id: int, tunnel_id: int | None = None) -> None:
    """Look again at a concentrator, or at one tunnel of it; ids are all the message says."""
    last_try = self.request.retries >= self.max_retries
    try:
        left = reconcile.converge(concentrator_id, tunnel_id, give_up=last_try)
    except (GatewayError, OperationalError) as error:
        # A full disk is emptied, and a database that is locked for long is free again.
        if last_try:
            log.warning("Concentrator %s: %s", concentrator_id, error)
            return
        raise self.retry(exc=error) from error
    concentrator = Concentrator.objects.get(pk=concentrator_id)
    if left:
        # In between, others of this lane get their turn.
        request_converge(concentrator, tunnel_id)
    if tunnel_id is not None:
        for other in address_release.still_configured_on(concentrator, tunnel_id):
            # One that is away finds by itself what it holds too much, and no heap of messages.
            request_converge(other, expires=EVERY_SECONDS)


@app.task(name="vpnportal.tasks.ask")
def ask(question_id: int) -> None:
    """Go on with a question to a peer; between its rounds, others of this lane get their turn."""
    if peer_probe.run_round(question_id):
        question = PeerProbe.objects.select_related("tunnel__concentrator").get(pk=question_id)
        request_ask(question.tunnel.concentrator, question_id)


def request_ask(concentrator: Concentrator, question_id: int) -> None:
    """Send the message once the transaction is committed.

    One that is lost leaves a question that has failed after a while, and can be asked again.
    """

    def send() -> None:
        ask.apply_async((question_id,), queue=concentrator.queue)

    transaction.on_commit(send, robust=True)


def request_converge(
    concentrator: Concentrator, tunnel_id: int | None = None, **options: Any
) -> None:
    """Send the message once the transaction is committed.

    A broker that is away loses nothing: the minute's converge finds the revision.
    """

    def send() -> None:
        _send(concentrator, tunnel_id, **options)

    # Robust: what goes wrong is logged, and whoever asked is not told that the edit failed.
    transaction.on_commit(send, robust=True)


def _send(concentrator: Concentrator, tunnel_id: int | None, **options: Any) -> None:
    converge.apply_async((concentrator.pk, tunnel_id), queue=concentrator.queue, **options)


@worker_ready.connect
def look_at_once(sender, **_: object) -> None:
    """A worker that starts, perhaps after a crash, first finishes what was left half done."""
    name, _host = nodesplit(sender.hostname)
    concentrator = Concentrator.objects.filter(name=name).first()
    if concentrator is not None:
        peer_probe.sweep(concentrator)
        _send(concentrator, None)
