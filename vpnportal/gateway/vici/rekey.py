"""Forced rekey: the first CHILD_SA of IKEv2 takes its keys from the IKE_SA (RFC 7296, 1.2).

Peers negotiate the group of Perfect Forward Secrecy at the first rekey. Without a forced rekey a
difference shows only after most of a key life.
"""

from __future__ import annotations

import time

from vpnportal.domain.planning.observed import CARRYING, ChildSa
from vpnportal.gateway.vici.session import CharonSession

REKEY_SECONDS = 1.5
POLL_SECONDS = 0.02
# charon queues the rekey behind other jobs. A child that is not REKEYING after this time, and has
# no successor, was refused.
QUEUE_SECONDS = 0.4
STEP_TEXTS = {
    True: "Rekeyed once: the peer agrees on Perfect Forward Secrecy",
    False: "The first rekey failed: Perfect Forward Secrecy or its group differs from the peer's",
}


def rekey(charon: CharonSession, connection: str) -> bool | None:
    """Return True if all CHILD_SAs have new keys, False if the peer refused.

    Returns None if no CHILD_SA is up, or if the peer does not answer within REKEY_SECONDS.
    """
    before = _children(charon, connection)
    if not before:
        return None
    for child in before.values():
        charon.rekey(child)
    began = time.monotonic()
    while time.monotonic() - began < REKEY_SECONDS:
        time.sleep(POLL_SECONDS)
        now = _children(charon, connection)
        rekeyed = {child.name for child in now.values() if child.unique_id not in before}
        if rekeyed >= {child.name for child in before.values()}:
            return True
        is_rekeying = any(child.state == "REKEYING" for child in now.values())
        if not is_rekeying and not rekeyed and time.monotonic() - began > QUEUE_SECONDS:
            return False
    return None


def _children(charon: CharonSession, connection: str) -> dict[str, ChildSa]:
    return {
        child.unique_id: child
        for sa in charon.list_sas(connection)
        for child in sa.children
        if child.state in CARRYING and child.state != "REKEYED"
    }
