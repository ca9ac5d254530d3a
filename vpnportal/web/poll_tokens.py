"""Poll tokens: digests of the data that a page shows, so that a poll renders only changed data.

A poll sends the token of the shown data, and gets 204 while the token is unchanged. The versions of
drafts are no poll tokens: they protect edits (`web.tunnel.draft_version`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2s
from typing import Any

from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.timesince import timesince

from vpnportal.domain.traffic.counters import minute_of
from vpnportal.models import DriftRepair, Revision, Tunnel, TunnelCommand
from vpnportal.services import TunnelState
from vpnportal.templatetags.times import short_age


def state_box_token(
    state: TunnelState,
    *,
    findings: Iterable[tuple[str, ...]],
    repairs: Iterable[DriftRepair],
    command: TunnelCommand | None,
    is_command_open: bool,
    is_settling: bool,
    is_held: bool,
    detail: str,
    version: datetime | None,
) -> str:
    """Return the token of the state box and the review.

    The token covers no preshared key and no digest of a preshared key. The token ignores the log
    lines of findings, whose times change: a poll would replace text that the user selects.
    """
    last_seen = state.seen_at if state.is_unknown else None
    return _digest(
        state.label,
        is_held,
        detail,
        state.sa_status,
        (state.last_sa_status, last_seen, timesince(last_seen)) if last_seen else "",
        state.unreachable,
        state.releasing_from,
        state.trial_is_over,
        [
            _revision_facts(revision)
            for revision in (state.latest, state.live, state.fallback, state.rolled_back)
        ],
        [(change.label, change.before, change.after) for change in state.pending],
        list(findings),
        [repair.pk for repair in repairs],
        (command and (command.pk, command.ok), is_command_open),
        is_settling,
        version,
    )


def _revision_facts(revision: Revision | None) -> tuple[Any, ...]:
    """Return the values of a revision that can change on the page; () if there is no revision."""
    if revision is None:
        return ()
    return (
        revision.number,
        revision.outcome,
        revision.reason,
        len(revision.steps),
        short_age(revision.created_at) if revision.waits_too_long else "",
        revision.finished_at,
        revision.trial_ends_at,
        revision.first_rekey,
    )


def status_section_token(tunnel: Tunnel, live: Revision | None) -> str:
    """Return the token of the Status section, which changes at least every minute.

    The section shows ages such as "23 minutes", and a chart whose time axis advances.
    """
    concentrator = live.concentrator if live else tunnel.concentrator
    traffic = getattr(tunnel, "traffic", None)
    return _digest(
        minute_of(timezone.now()),
        (live.pk, live.created_at) if live else None,
        (
            concentrator.pk,
            concentrator.is_online(),
            concentrator.unreachable_reason,
            concentrator.observed_minutes,
        ),
        traffic.taken_at if traffic else None,
        tunnel.sa_status,
        tunnel.disconnected_at,
        tunnel.cancelled_at,
    )


def list_row_token(*columns: Any) -> str:
    """Return the token of one row of the tunnel list; the columns include the draft's digest."""
    return _keyed_digest(*columns)


def state_counts_token(by_rank: Mapping[int, int], changed: int) -> str:
    """Return the token of the number of tunnels in each state."""
    return _keyed_digest(sorted(by_rank.items()), changed)


def _digest(*values: Any) -> str:
    return blake2s(repr(values).encode(), digest_size=8).hexdigest()


def _keyed_digest(*values: Any) -> str:
    """Return 12 hex digits of an HMAC: an unkeyed digest could help to guess a preshared key."""
    return salted_hmac("poll token", repr(values)).hexdigest()[:12]
