"""Celery tasks of the workers. A message contains only row ids."""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.nodenames import nodesplit
from django.conf import settings
from django.db import DatabaseError, OperationalError, transaction

from vpnportal.celery import EVERY_SECONDS, app
from vpnportal.gateway import GatewayError
from vpnportal.models import Concentrator
from vpnportal.reconciler import address_release, peer_probe, reconcile

log = logging.getLogger(__name__)

# Until a probe of a peer looks again whether an apply or a command waits.
YIELD_SECONDS = 0.5


@app.task(name="vpnportal.tasks.converge", bind=True, max_retries=3, default_retry_delay=2)
def converge(self: Any, concentrator_id: int, tunnel_id: int | None = None) -> None:
    """Converge a concentrator, or one tunnel of it."""
    last_try = self.request.retries >= self.max_retries
    try:
        has_work_left = reconcile.converge(concentrator_id, tunnel_id, give_up=last_try)
    except (GatewayError, OperationalError) as error:
        if isinstance(error, OperationalError):
            converge_without_portal()
        # The database may be locked or its disk full: both can end before the last try.
        if last_try:
            log.warning("Concentrator %s: %s", concentrator_id, error)
            return
        raise self.retry(exc=error) from error
    concentrator = reconcile.find_concentrator(concentrator_id)
    if has_work_left:
        # In a new message, so that other tunnels in the queue get their turn.
        request_converge(concentrator, tunnel_id)
    if tunnel_id is not None:
        for other in address_release.still_configured_on(concentrator, tunnel_id):
            # Expires, because a full converge of the other concentrator does the same.
            request_converge(other, expires=EVERY_SECONDS)


@app.task(name="vpnportal.tasks.ask")
def probe_peer(probe_id: int) -> None:
    """Run one round of a peer probe, and queue the next round behind other work.

    While an apply or a command waits, no round begins.
    """
    waits = peer_probe.yields(probe_id)
    if waits or peer_probe.run_round(probe_id):
        concentrator = Concentrator.objects.get(tunnels__peer_probes=probe_id)
        request_probe(concentrator, probe_id, **({"countdown": YIELD_SECONDS} if waits else {}))


def request_probe(concentrator: Concentrator, probe_id: int, **options: Any) -> None:
    """Queue a round of a peer probe when the transaction commits.

    If the message is lost, the probe times out and the user can start another.
    """

    def send() -> None:
        probe_peer.apply_async((probe_id,), queue=concentrator.queue, **options)

    transaction.on_commit(send, robust=True)


def request_converge(
    concentrator: Concentrator, tunnel_id: int | None = None, **options: Any
) -> None:
    """Queue a converge when the transaction commits.

    If the message is lost, the monitor or the next full converge does the work.
    """

    def send() -> None:
        _send(concentrator, tunnel_id, **options)

    # Robust: an unreachable broker is logged, and does not fail the request that has committed.
    transaction.on_commit(send, robust=True)


def _send(concentrator: Concentrator, tunnel_id: int | None, **options: Any) -> None:
    converge.apply_async((concentrator.pk, tunnel_id), queue=concentrator.queue, **options)


def converge_without_portal() -> None:
    """Converge this worker's concentrator without the queue, and without the database if need be.

    Errors are logged: the caller tries again.
    """
    if not settings.CONCENTRATOR:
        return
    try:
        reconcile.converge_without_portal(settings.CONCENTRATOR)
    except GatewayError as error:
        log.warning("Concentrator %s: %s", settings.CONCENTRATOR, error)


def converge_all(worker: str) -> None:
    """Queue a full converge for a worker that was just connected to the broker.

    `worker` is its name, such as hou02-vpn01@host. A crash or an outage may have left work.
    """
    name, _host = nodesplit(worker)
    try:
        concentrator = Concentrator.objects.filter(name=name).first()
        if concentrator is not None:
            peer_probe.sweep(concentrator)
            _send(concentrator, None)
    except DatabaseError as error:
        log.warning("The database cannot be reached: %s", error)
        converge_without_portal()
