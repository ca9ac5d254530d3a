"""What the Status section shows of one tunnel, from its newest live revision and what was counted.

Unknown is never shown as down: what was seen last is told with its age.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from django.utils import timezone

from vpnportal.domain.algorithms import suite_words
from vpnportal.domain.compile import suites
from vpnportal.domain.hour import Hour, hour, looked_at
from vpnportal.domain.picture import from_json
from vpnportal.domain.spec import TunnelSpec
from vpnportal.domain.traffic import Line
from vpnportal.models import Revision, Traffic, Tunnel
from vpnportal.services import State
from vpnportal.web.drawing import Ends, beside, column, in_words
from vpnportal.web.pair_rows import folded_rows, rows


class PhaseOne(NamedTuple):
    """An IKE association: what it runs with, since when, and when it is renewed."""

    version: int
    in_force: str
    applied: str
    established_at: datetime | None
    rekey_at: datetime | None


def standing(tunnel: Tunnel, state: State) -> dict[str, Any]:
    """What `tunnel/_status.html` shows; one query, or none where `traffic` was fetched along."""
    live = state.live
    if live is None:
        return {"drawings": ()}
    spec, traffic = live.opened, _traffic(tunnel, live)
    lines = from_json(traffic.lines) if traffic else ()
    watched = live.concentrator.watched
    ends = _ends(spec, live)
    return {
        "drawings": (beside(ends), column(ends)),
        "drawn": in_words(ends, state.association),
        "phase_one": [_phase_one(spec, line) for line in lines],
        **folded_rows(rows(spec, state, lines, traffic, watched)),
        "since": _since(traffic),
        "hour": _hour(traffic, watched),
    }


def _traffic(tunnel: Tunnel, live: Revision) -> Traffic | None:
    """What a concentrator wrote that the tunnel has left says nothing of the one it is on."""
    traffic = getattr(tunnel, "traffic", None)
    return traffic if traffic and traffic.concentrator_id == live.concentrator_id else None


def _ends(spec: TunnelSpec, live: Revision) -> Ends:
    return Ends(
        tuple(map(str, sorted(spec.hosted_subnets))),
        (str(spec.hosted_peer), live.concentrator.name),
        (str(spec.remote_peer),),
        tuple(map(str, sorted(spec.remote_subnets))),
        sorted(spec.translations, key=lambda row: row.internal),
    )


def _phase_one(spec: TunnelSpec, line: Line) -> PhaseOne:
    applied, _ = suites(spec)
    return PhaseOne(
        line.version,
        suite_words(line.suite),
        suite_words(applied) if line.suite.differs_from(applied) else "",
        line.established_at,
        line.rekey_at,
    )


def _since(traffic: Traffic | None) -> datetime | None:
    """When the first of what is counted was installed."""
    begins = [sums[0] for sums in traffic.pairs.values()] if traffic else []
    return datetime.fromisoformat(min(begins)) if begins else None


def _hour(traffic: Traffic | None, watched: Sequence[Sequence[int]]) -> Hour:
    """All pairs together, also those that the tunnel had and has no more."""
    minutes = chain.from_iterable(traffic.minutes.values()) if traffic else ()
    return hour(minutes, looked_at(watched), timezone.now())
