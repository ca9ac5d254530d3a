"""What charon says of the tunnels, written down: a tunnel's row when it changed, and no oftener.

Lines go to a tunnel only if the concentrator that said them has a standing revision of it.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vpnportal.domain.hearing import Ends, Heard
from vpnportal.domain.lines import Line, as_json, from_json
from vpnportal.domain.noticing import Facts
from vpnportal.models import Concentrator, Hearing, Revision

# So old may be what is known of whose addresses are whose; addresses are given anew seldom.
KNOWN_SECONDS, MISSED_SECONDS = 5.0, 1.0
# The same attempt with the same end is written down again after so long.
SAME_AGAIN = timedelta(seconds=30)
# What is different each time: numbers of messages and of associations, SPIs, sizes.
_COUNTED = re.compile(r"\(\d+ bytes\)|\d{5,}|\b[0-9a-f]{8}_[io]\b|\{\d+\}|(?<=ctx)\d+\[\d+\]")


class Owners:
    """Whose addresses are whose at one concentrator, by the revisions that stand there."""

    def __init__(self, lane: Concentrator) -> None:
        self._lane = lane
        self._asked_at = -KNOWN_SECONDS
        self._between: dict[Ends, set[int]] = {}
        self._of_peer: dict[str, dict[int, set[int]]] = {}

    def __call__(self, ends: Ends) -> Iterable[int]:
        """The tunnel between two addresses; of a peer alone, its tunnels if of one account."""
        age = time.monotonic() - self._asked_at
        found = self._find(ends) if age < KNOWN_SECONDS else set()
        if not found and age >= MISSED_SECONDS:
            self._ask()
            found = self._find(ends)
        return sorted(found)

    def _find(self, ends: Ends) -> set[int]:
        if ends.local:
            return self._between.get(ends, set())
        accounts = self._of_peer.get(ends.remote, {})
        return next(iter(accounts.values())) if len(accounts) == 1 else set()

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._between = defaultdict(set)
        self._of_peer = defaultdict(lambda: defaultdict(set))
        rows = Revision.objects.filter(concentrator=self._lane).standing()
        fields = ("hosted_peer", "remote_peer", "tunnel_id", "tunnel__account_id")
        for hosted, remote, tunnel, account in rows.values_list(*fields):
            self._between[Ends(hosted, remote)].add(tunnel)
            self._of_peer[remote][account].add(tunnel)


def facts_of(lane: Concentrator) -> dict[int, Facts]:
    """The facts that were kept of a concentrator's tunnels, without those that have none."""
    rows = Hearing.objects.filter(tunnel__in=_here(lane)).exclude(facts={})
    return dict(rows.values_list("tunnel_id", "facts"))


def note(lane: Concentrator, heard: Mapping[int, Heard], facts: Mapping[int, Facts]) -> None:
    """Write down what was heard, and facts that changed, in one transaction."""
    tunnels = heard.keys() | facts.keys()
    if not tunnels:
        return
    with transaction.atomic():
        rows = Hearing.objects.filter(tunnel__in=tunnels).in_bulk(field_name="tunnel_id")
        here = set(_here(lane).filter(tunnel__in=tunnels))
        changed = []
        for tunnel in tunnels & here:
            row = rows.get(tunnel) or Hearing(tunnel_id=tunnel)
            if _take(row, heard.get(tunnel), facts.get(tunnel)):
                row.changed_at = timezone.now()
                changed.append(row)
        Hearing.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["tunnel"],
            update_fields=["lines", "facts", "changed_at"],
        )


def _here(lane: Concentrator) -> QuerySet[Revision, int]:
    rows = Revision.objects.filter(concentrator=lane).standing().order_by()
    return rows.values_list("tunnel_id", flat=True)


def _take(row: Hearing, heard: Heard | None, facts: Facts | None) -> bool:
    """Put what is new into a row; False if nothing is."""
    lines, before = row.lines, row.facts
    if facts is not None:
        row.facts = facts
    if heard is not None:
        earlier = from_json(row.lines)
        if heard.anew or not _same(row, earlier, heard):
            row.lines = as_json(heard.after(earlier))
    return row.lines != lines or row.facts != before


def _same(row: Hearing, earlier: tuple[Line, ...], heard: Heard) -> bool:
    """Whether the attempt before went the same way, not long ago."""
    if row.pk is None or timezone.now() - row.changed_at > SAME_AGAIN:
        return False
    if any(line.ike for line in heard.lines):
        return _way(earlier[-len(heard.lines) :]) == _way(heard.lines)
    return set(_way(heard.lines)) <= set(_way(earlier))


def _way(lines: Iterable[Line]) -> list[tuple[str, str]]:
    return [(str(line.role), _COUNTED.sub("#", line.text)) for line in lines]
