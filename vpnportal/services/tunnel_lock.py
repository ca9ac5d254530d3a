"""The one way a service says no, and the lock that most refusals come from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, transaction

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import Revision, Tunnel
from vpnportal.services import draft_digests
from vpnportal.services.errors import NO_ROOM, Refused

log = logging.getLogger(__name__)

APPLYING_NOW = (
    "The configuration is being applied right now: nothing was changed. "
    "Enter it again in a moment, when the result is here."
)
CANCELLED = "This tunnel was cancelled: it cannot be changed or applied any more."


def is_lock(refused: Refused) -> bool:
    """Whether waiting is all that helps."""
    return any(problem.text == APPLYING_NOW for problem in refused.problems)


@contextmanager
def lock_tunnel_for_edit(tunnel: Tunnel) -> Iterator[Tunnel]:
    """The fresh row of a tunnel that nobody else edits or applies inside this block.

    Refused also when the database cannot be written: a page then keeps what somebody typed.
    """
    try:
        with transaction.atomic():
            fresh = Tunnel.objects.select_for_update().get(pk=tunnel.pk)
            if fresh.cancelled_at:
                raise Refused(Problem("", CANCELLED))
            if Revision.objects.locking().filter(tunnel=fresh).exists():
                raise Refused(Problem("", APPLYING_NOW))
            yield fresh
            draft_digests.update(fresh.pk)
    except OperationalError as error:
        log.exception("%s cannot be written", tunnel)
        raise Refused(Problem("", NO_ROOM)) from error
