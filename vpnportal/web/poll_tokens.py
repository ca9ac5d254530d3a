"""A token for what the state of a tunnel shows, so that a poll renders only what is new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2s
from typing import Any

from django.utils.crypto import salted_hmac
from django.utils.timesince import timesince

from vpnportal.models import DriftRepair, Revision, TunnelCommand
from vpnportal.services import TunnelState


def token_of(
    state: TunnelState,
    findings: Iterable[tuple[str, ...]],
    repairs: Iterable[DriftRepair],
    asked: tuple[TunnelCommand | None, bool],
    version: datetime | None,
) -> str:
    """The same while the page would look the same. No key is in it, nor anything made from one.

    charon's own lines are left out: with every attempt their times are others, and what somebody
    is about to copy would be replaced under the hand.
    """
    last = state.seen_at if state.sa_status == "unknown" else None
    shown: tuple[Any, ...] = (
        state.label,
        state.sa_status,
        (state.last_sa_status, last, timesince(last)) if last else "",
        state.unreachable,
        state.releasing_from,
        state.trial_is_over,
        [_of(one) for one in (state.latest, state.live, state.fallback, state.rolled_back)],
        [(one.label, one.before, one.after) for one in state.pending],
        list(findings),
        [one.pk for one in repairs],
        (asked[0] and (asked[0].pk, asked[0].ok), asked[1]),
        version,
    )
    return blake2s(repr(shown).encode(), digest_size=8).hexdigest()


def _of(revision: Revision | None) -> tuple[Any, ...]:
    """What a revision's words depend on. Its specification never changes; its steps only grow."""
    if revision is None:
        return ()
    return (
        revision.number,
        revision.outcome,
        revision.reason,
        len(revision.steps),
        revision.waits_too_long,
        revision.finished_at,
        revision.trial_ends_at,
        revision.first_rekey,
    )


def keyed_token(*shown: Any) -> str:
    """Another one exactly when something else is shown, where digests of keys are among it."""
    return salted_hmac("token of what is shown", repr(shown)).hexdigest()[:12]
