"""Verification of the chain: the first row that is wrong, missing or not sealed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from multiprocessing import get_context

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from vpnportal.maintenance.event_chain import (
    COLUMNS,
    NOTHING,
    Head,
    current_head,
    digest_of,
    sealed_rows,
)
from vpnportal.models import Event, EventAnchor, EventSeal

# Of each query: its rows are in memory at once.
RANGE_ROWS = 5_000
# A shorter chain is verified before other processes would have started.
MANY_ROWS = 50_000
UNSEALED_AFTER = timedelta(seconds=60)
HEAD = re.compile(r"\b([1-9][0-9]{0,18}):([0-9a-f]{64})\b")
HEADS_AT_ONCE = 500
ID = COLUMNS.index("id")


@dataclass(frozen=True, slots=True)
class Verified:
    """The result: the newest seal, the number of verified seals, and the first problem or ""."""

    head: Head
    count: int
    problem: str


def heads_in(lines: Iterable[str]) -> Iterator[Head]:
    """Yield the heads in lines of a log, NUMBER:DIGEST anywhere in a line."""
    for line in lines:
        for number, digest in HEAD.findall(line):
            yield Head(int(number), digest)


def verify(heads: Iterable[Head] = ()) -> Verified:
    """Verify the whole chain, and that it has these heads, which were noted elsewhere.

    Without a head, a chain whose end was cut off or replaced looks whole. Memory does not grow with
    the chain. Several processes share a long one.
    """
    anchor, head = _newest_anchor(), current_head()
    start = anchor.number if anchor else 0
    previous = anchor.digest if anchor else NOTHING
    problem = (
        next(_problems_of_anchors(anchor), "")
        or _first_problem(start, head.number, previous)
        or next(_problems_of_heads(heads, start, previous, head), "")
        or _unsealed_problem()
    )
    return Verified(head, head.number - start, problem)


def verify_newest(count: int) -> str:
    """Verify the newest seals alone; return the problem, or ""."""
    head, anchor = current_head(), _newest_anchor()
    start = max(head.number - count, anchor.number if anchor else 0)
    return _verify_range((start, head.number, _digest_before(start)))


def oldest_unsealed_age() -> timedelta | None:
    """Return the age of the oldest event without a seal, or None if all have one."""
    oldest = _unsealed().order_by("pk").values_list("at", flat=True).first()
    return None if oldest is None else timezone.now() - oldest


def _newest_anchor() -> EventAnchor | None:
    return EventAnchor.objects.order_by("-number").first()


def _first_problem(start: int, end: int, previous: str) -> str:
    bounds = [*range(start, end, RANGE_ROWS), end]
    # A range that begins inside trusts the digest before it, which the range before verifies.
    ranges = [
        (after, until, previous if after == start else None) for after, until in pairwise(bounds)
    ]
    is_shared = end - start > MANY_ROWS and connections[DEFAULT_DB_ALIAS].vendor == "postgresql"
    if not is_shared:
        return next(filter(None, map(_verify_range, ranges)), "")
    # A child must not use the connection of its parent.
    connections.close_all()
    with _processes() as executor:
        for problem in executor.map(_verify_range, ranges, chunksize=4):
            if problem:
                executor.shutdown(wait=False, cancel_futures=True)
                return problem
    return ""


def _processes() -> Executor:
    count = min(4, len(os.sched_getaffinity(0)))
    return ProcessPoolExecutor(count, mp_context=get_context("fork"))


def _verify_range(bounds: tuple[int, int, str | None]) -> str:
    """Return the first problem of the seals after one number and until another, or ""."""
    after, until, known = bounds
    previous = _digest_before(after) if known is None else known
    for number, digest, sealed_at, event_id, *event in sealed_rows(
        connections[DEFAULT_DB_ALIAS], after, until
    ):
        if number != after + 1:
            return f"Seal {after + 1} is missing."
        after = number
        if event[ID] is None:
            return f"Event {event_id} of seal {number} is missing."
        if digest_of(tuple(event), number, sealed_at, previous) != digest:
            return f"Event {event_id} or seal {number} was changed."
        previous = digest
    return "" if after == until else f"Seal {after + 1} is missing."


def _digest_before(number: int) -> str:
    """Return the digest of a seal or of the newest anchor; "" if the seal is missing."""
    if number == 0:
        return NOTHING
    rows = EventSeal.objects.filter(pk=number) or EventAnchor.objects.filter(pk=number)
    return next((row.digest for row in rows), "")


def _problems_of_anchors(newest: EventAnchor | None) -> Iterator[str]:
    """Yield the errors of the anchors. The event of the newest one must be in the chain."""
    if newest is None:
        return
    before = 0
    for anchor in EventAnchor.objects.order_by("number"):
        if anchor.count != anchor.number - before:
            yield f"Anchor {anchor.number} has the wrong number of events: {anchor.count:,}."
        before = anchor.number
    told = {"head": str(newest), "count": newest.count}
    # It is newer than all that it removed.
    event = Event.objects.filter(action=Event.Action.EVENTS_REMOVED).order_by("-pk").first()
    if event is None or event.after != told:
        yield f"Anchor {newest.number} has no event of its removal."


def _problems_of_heads(
    heads: Iterable[Head], start: int, anchored: str, newest: Head
) -> Iterator[str]:
    batch: dict[int, set[str]] = {}
    for head in heads:
        batch.setdefault(head.number, set()).add(head.digest)
        if len(batch) >= HEADS_AT_ONCE:
            yield from _differing(batch, start, anchored, newest)
            batch = {}
    yield from _differing(batch, start, anchored, newest)


def _differing(
    batch: dict[int, set[str]], start: int, anchored: str, newest: Head
) -> Iterator[str]:
    saved = {seal.number: seal.digest for seal in EventSeal.objects.filter(pk__in=batch)}
    saved[start] = anchored
    for number, digests in sorted(batch.items()):
        if number > newest.number:
            yield f"The chain ends at seal {newest.number}, before the head {number}: it was cut."
        # What was removed before the newest anchor cannot be compared any more.
        elif number >= start and digests != {saved.get(number)}:
            yield f"Seal {number} is not the head that was noted: the chain was written again."


def _unsealed() -> QuerySet[Event]:
    has_seal = Exists(EventSeal.objects.filter(event_id=OuterRef("pk")))
    return Event.objects.filter(~has_seal)


def _unsealed_problem() -> str:
    old = _unsealed().filter(at__lt=timezone.now() - UNSEALED_AFTER)
    if not (count := old.count()):
        return ""
    first = old.order_by("pk").values_list("pk", flat=True).first()
    return f"{count:,} events older than a minute have no seal, the first is event {first}."
