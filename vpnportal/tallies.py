"""What tunnels carried, written down: the rows of those of which something is new, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from vpnportal.domain.metering import Carried
from vpnportal.domain.picture import as_json, from_json
from vpnportal.domain.traffic import NOTHING, Amounts, Line, last_hour
from vpnportal.models import Concentrator, Traffic
from vpnportal.sightings import running_at


def known(lane: Concentrator) -> dict[int, tuple[Line, ...]]:
    """What was written of each tunnel that runs at a concentrator."""
    rows = Traffic.objects.filter(concentrator=lane).exclude(lines=[])
    return {tunnel: from_json(lines) for tunnel, lines in rows.values_list("tunnel_id", "lines")}


def watched(lane: Concentrator) -> list[list[int]]:
    """The minutes in which everything was looked at, as `note_watched` wrote them."""
    return Concentrator.objects.values_list("watched", flat=True).get(pk=lane.pk)


def note_watched(lane: Concentrator, spans: Iterable[Iterable[int]]) -> None:
    """The minutes of the last hour in which everything was looked at."""
    Concentrator.objects.filter(pk=lane.pk).update(watched=spans)


def note(lane: Concentrator, carried: Mapping[int, Carried]) -> None:
    """Add what is new to the rows of these tunnels, if this concentrator speaks for them."""
    now = timezone.now()
    with transaction.atomic():
        here = set(running_at(lane).filter(pk__in=carried).values_list("pk", flat=True))
        rows = Traffic.objects.filter(tunnel__in=here).in_bulk(field_name="tunnel_id")
        Traffic.objects.bulk_create(
            [
                _added(rows.get(tunnel) or Traffic(tunnel_id=tunnel), lane, carried[tunnel], now)
                for tunnel in sorted(here)
            ],
            update_conflicts=True,
            unique_fields=["tunnel"],
            update_fields=["concentrator", "taken_at", "lines", "pairs", "minutes"],
        )


def _added(row: Traffic, lane: Concentrator, new: Carried, now: datetime) -> Traffic:
    row.concentrator, row.taken_at = lane, new.at
    if new.lines is not None:
        row.lines = as_json(new.lines)
    row.pairs = _pairs(row.pairs, new)
    row.minutes = _minutes(row, new, last_hour(now))
    return row


def _pairs(kept: Mapping[str, list], new: Carried) -> dict[str, list]:
    """The sums by selectors, without those that the tunnel neither has any more nor carries."""
    pairs = dict(kept)
    for pair, tally in new.pairs.items():
        since, *before = pairs.get(pair, [tally.since.isoformat(), *NOTHING])
        pairs[pair] = [since, *Amounts(*before).plus(tally.amounts)]
    if new.wanted is None:
        return pairs
    run = {carrier.pair for line in new.lines or () for carrier in line.carriers}
    return {pair: sums for pair, sums in pairs.items() if pair in new.wanted | run}


def _minutes(row: Traffic, new: Carried, hour: range) -> dict[str, list[list[int]]]:
    """Those of the last hour; of selectors that were let go all together, as there may be many."""
    minutes = dict(row.minutes)
    for pair, tally in new.pairs.items():
        told = ([minute, *amounts] for minute, amounts in tally.minutes.items())
        minutes[pair] = _together(minutes.get(pair, []), told)
    for pair in minutes.keys() - row.pairs.keys() - {Traffic.GONE}:
        minutes[Traffic.GONE] = _together(minutes.get(Traffic.GONE, []), minutes.pop(pair))
    recent = ((pair, [one for one in few if one[0] in hour]) for pair, few in minutes.items())
    return {pair: few for pair, few in recent if few}


def _together(kept: list[list[int]], new: Iterable[list[int]]) -> list[list[int]]:
    """What is kept stays as it is where nothing is new."""
    minutes = {one[0]: one for one in kept}
    for minute, *amounts in new:
        _, *before = minutes.get(minute, [minute, *NOTHING])
        minutes[minute] = [minute, *Amounts(*before).plus(Amounts(*amounts))]
    return [minutes[minute] for minute in sorted(minutes)]
