"""The public key of a gateway, for which the texts that it reads are sealed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.encryption import CannotOpen, Reader, check_public_key
from vpnportal.fields import Sealed
from vpnportal.models import (
    Concentrator,
    Event,
    HeldTunnel,
    PeerProbe,
    Revision,
    Tunnel,
    record_event,
)
from vpnportal.models.row_locks import lock_concentrator, lock_revisions, lock_tunnels
from vpnportal.reconciler.peer_probe import OPEN_STATES
from vpnportal.services.errors import Refused

log = logging.getLogger(__name__)

BATCH_ROWS = 500


def set_envelope_key(concentrator: Concentrator, public_key: str) -> int:
    """Let the gateway that has the private key of `public_key` open the concentrator's tunnels.

    `public_key` is an X25519 public key (RFC 7748), 32 bytes in base64, as `vpnportal keys` prints
    it on a gateway; "" if there is none any more. What the gateway reads is sealed again for it, in
    one transaction: the applied revisions and what a trial can restore, held tunnels, and open
    probes.
    Edits of the concentrator's tunnels wait meanwhile. Returns how many texts were sealed again.
    Raises Refused for any other `public_key`.
    """
    if public_key:
        try:
            check_public_key(public_key)
        except ValueError as error:
            raise Refused(Problem("envelope_key", str(error))) from None
    with transaction.atomic():
        holding = Revision.objects.holding().filter(concentrator=concentrator)
        at_gateway = Q(concentrator=concentrator) | Exists(holding.filter(tunnel=OuterRef("pk")))
        # A trial that a worker takes back copies a text, under the lock of its tunnel.
        lock_tunnels(Tunnel.objects.filter(at_gateway))
        row = lock_concentrator(concentrator.pk)
        earlier, row.envelope_key = row.envelope_key, public_key
        row.save(update_fields=["envelope_key"])
        count = _seal_again(row, row.reader) if row.reader else 0
        if earlier != public_key:
            before, after = {"public_key": earlier}, {"public_key": public_key, "texts": count}
            record_event(
                Event.Action.GATEWAY_KEY_CHANGED, concentrator=row, before=before, after=after
            )
    concentrator.envelope_key = public_key
    if earlier:
        log.warning("%s has another envelope key: %s texts are sealed for it", concentrator, count)
    return count


def _seal_again(concentrator: Concentrator, reader: Reader) -> int:
    revisions = _read_by_gateway(concentrator)
    lock_revisions(revisions)
    held = concentrator.held_tunnels.exclude(specification="")
    probes = PeerProbe.objects.filter(tunnel__concentrator=concentrator, state__in=OPEN_STATES)
    return (
        _seal_rows(revisions, reader, _of_revision)
        + _seal_rows(held, reader, _of_revision)
        + _seal_rows(probes.exclude(specification=""), reader, _of_probe)
    )


def _read_by_gateway(concentrator: Concentrator) -> QuerySet[Revision]:
    """Return the revisions that reserve their networks, and the last ones that were up before."""
    good = Revision.objects.filter(outcome=Revision.Outcome.REPLACED, first_up_at__isnull=False)
    newer = good.filter(tunnel=OuterRef("tunnel"), number__gt=OuterRef("number"))
    last_good = good.exclude(Exists(newer)).values("pk")
    is_read = Q(outcome__in=Revision.HOLDING) | Q(pk__in=last_good)
    return Revision.objects.filter(is_read, concentrator=concentrator)


def _of_revision(row: Revision | HeldTunnel, is_envelope: bool) -> str:
    return Revision.context(row.tunnel_id, row.number, is_envelope)


def _of_probe(row: PeerProbe, is_envelope: bool) -> str:
    return PeerProbe.context(row.tunnel_id)


def _seal_rows(rows: QuerySet[Any], reader: Reader, context: Callable[[Any, bool], str]) -> int:
    """Write the texts of rows for the reader. What does not open stays as it is."""
    count, newest = 0, 0
    while batch := list(rows.filter(pk__gt=newest).order_by("pk")[:BATCH_ROWS]):
        newest = batch[-1].pk
        changed = []
        for row in batch:
            try:
                row.specification = _sealed_again(row, reader, context)
            except CannotOpen:
                log.exception(
                    "%s cannot be decrypted: it is not sealed for %s", row, reader.concentrator
                )
                continue
            changed.append(row)
        rows.model.objects.bulk_update(changed, ["specification"])
        count += len(changed)
    return count


def _sealed_again(row: Any, reader: Reader, context: Callable[[Any, bool], str]) -> Sealed:
    sealed: Sealed = row.specification
    if sealed.is_envelope:
        return sealed.for_other(context(row, True), reader)
    return Sealed.of(sealed.open(context(row, False)), context(row, True), reader)
