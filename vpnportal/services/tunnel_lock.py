"""Lock of a tunnel for an edit, an apply or a command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, transaction
from django.db.models import Exists, Q

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Concentrator, HeldTunnel, Revision, TranslationImport, Tunnel
from vpnportal.models.row_locks import lock_account, lock_tunnel
from vpnportal.services.draft_digests import update_digest
from vpnportal.services.errors import CANNOT_WRITE, Refused, TunnelLocked

log = logging.getLogger(__name__)

LOCKED = (
    "Locked while revision {number} is being applied. Nothing was changed. "
    "Try again when the result is shown."
)
IMPORTING = (
    "Locked while {total:,} translations are being imported. Nothing was changed. "
    "Try again when the result is shown."
)
DELETED = "This tunnel was deleted. It can no longer be changed or applied."
HELD = (
    "The portal was restored from a backup, and the gateway keeps this tunnel as it was before "
    "until the service operators have compared it. Nothing was changed. The draft can be edited "
    "meanwhile."
)


@contextmanager
def lock_tunnel_for_edit(
    tunnel: Tunnel, *, with_account: bool = False, during_import: bool = False
) -> Iterator[Tunnel]:
    """Lock the row of a tunnel, yield its current state and update the digest of its draft.

    `with_account` also locks the account, whose tunnels share their remote subnets.
    `during_import` is for operations that leave the draft as it is.
    Raises TunnelLocked during an apply or a long import. Raises Refused if the tunnel is deleted,
    or if the database cannot be written: a page then keeps the entered values.
    """
    try:
        with transaction.atomic():
            if with_account:
                lock_account(tunnel.account_id)
            fresh = lock_tunnel(tunnel.pk)
            refuse_unless_editable(fresh)
            if not during_import:
                _refuse_during_import(fresh)
            yield fresh
            update_digest(fresh.pk)
    except OperationalError as error:
        log.exception("%s cannot be written", tunnel)
        raise Refused(Problem("", CANNOT_WRITE)) from error


def refuse_unless_editable(tunnel: Tunnel) -> None:
    """Raise Refused for a deleted tunnel, TunnelLocked during an apply."""
    if tunnel.cancelled_at:
        raise Refused(Problem("", DELETED))
    locking = Revision.objects.locking().filter(tunnel=tunnel)
    if number := locking.values_list("number", flat=True).first():
        raise TunnelLocked(Problem("", LOCKED.format(number=number)))


def _refuse_during_import(tunnel: Tunnel) -> None:
    imports = TranslationImport.objects.locking().filter(tunnel=tunnel)
    if total := imports.values_list("total", flat=True).first():
        raise TunnelLocked(Problem("", IMPORTING.format(total=total)))


def refuse_while_held(tunnel: Tunnel) -> None:
    """Raise Refused if the tunnel waits for an operator after a restore."""
    if is_held(tunnel):
        raise Refused(Problem("", HELD))


def is_held(tunnel: Tunnel) -> bool:
    """Return True if a restored backup leaves in question what a gateway runs of a tunnel.

    This holds for all tunnels of a gateway that was not compared with the backup yet. One query.
    """
    held = HeldTunnel.objects.undecided().filter(tunnel_id=tunnel.pk)
    holding = Revision.objects.holding().filter(tunnel=tunnel).values("concentrator")
    here = Concentrator.objects.filter(Q(pk=tunnel.concentrator_id) | Q(pk__in=holding))
    uncompared = Q(pk__in=here.uncompared().values("pk"))
    return Concentrator.objects.filter(Exists(held) | uncompared).exists()
