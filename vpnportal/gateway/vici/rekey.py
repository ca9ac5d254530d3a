"""Renewing keys on demand: the first CHILD_SA of IKEv2 has its keys from IKE (RFC 7296, 1.2).

Whether both ends mean the same by PFS is negotiated for the first time when it is rekeyed. Left to
itself, that is most of a key life after everybody went home.
"""

from __future__ import annotations

import time

from vpnportal.domain.planning.observed import CARRYING, ChildSa
from vpnportal.gateway.vici.session import CharonSession

SECONDS = 1.5
PAUSE_SECONDS = 0.02
# charon puts the rekey behind other jobs; one that is not at it any more then was refused.
BEGUN_SECONDS = 0.4
WORDS = {
    True: "Renewed the keys once: both ends agree on Perfect Forward Secrecy",
    False: "The keys cannot be renewed: the ends differ in Perfect Forward Secrecy or its group",
}


def rekey(charon: CharonSession, connection: str) -> bool | None:
    """Whether new keys were agreed on; None while nothing is up or the peer takes its time."""
    before = _children(charon, connection)
    if not before:
        return None
    for child in before.values():
        charon.rekey(child)
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        time.sleep(PAUSE_SECONDS)
        now = _children(charon, connection)
        fresh = {child.name for child in now.values() if child.unique_id not in before}
        if fresh >= {child.name for child in before.values()}:
            return True
        at_it = any(child.state == "REKEYING" for child in now.values())
        if not at_it and not fresh and time.monotonic() - began > BEGUN_SECONDS:
            return False
    return None


def _children(charon: CharonSession, connection: str) -> dict[str, ChildSa]:
    return {
        child.unique_id: child
        for sa in charon.list_sas(connection)
        for child in sa.children
        if child.state in CARRYING and child.state != "REKEYED"
    }
