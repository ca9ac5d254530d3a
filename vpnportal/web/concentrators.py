"""For the operators of the service: how each concentrator stands, whoever's tunnels it has."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Count, Prefetch
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from vpnportal.domain.gateway_config.drop_counters import BY_ESP, COUNTERS
from vpnportal.models import Concentrator, DriftRepair, Tunnel
from vpnportal.web.responses import HtmxRequest, render_page

# How many repairs of each concentrator the page lists, newest first.
REPAIRS = 20
NOT_THERE = "not on it"


@dataclass(frozen=True, slots=True)
class ConcentratorRow:
    """One concentrator. `tunnels` are numbers by association, `dropped` packets by reason."""

    concentrator: Concentrator
    in_sight: bool
    tunnels: tuple[tuple[str, int], ...]
    dropped: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """Tunnels that end here, by their drafts."""
        return sum(number for _, number in self.tunnels)


@require_safe
def concentrators(request: HtmxRequest) -> HttpResponse:
    """All of them on one page, in a constant number of queries; nothing for anybody else."""
    if not request.user.is_staff:
        raise Http404("This page is for the operators of the service.")
    newest = DriftRepair.objects.select_related("tunnel").order_by("-pk")[:REPAIRS]
    rows = Concentrator.objects.select_related("datacenter").order_by("datacenter__name", "name")
    rows = rows.prefetch_related(Prefetch("repairs", newest, to_attr="newest_repairs"))
    tunnels = _tunnels()
    places = [
        ConcentratorRow(row, row.is_online(), tuple(tunnels[row.pk].items()), _dropped(row))
        for row in rows
    ]
    return render_page(request, "concentrators/page.html", {"places": places})


def _tunnels() -> dict[int, dict[str, int]]:
    """How many tunnels each concentrator has, by association; in the order of the words."""
    counted = Tunnel.objects.present().values_list("concentrator", "sa_status")
    numbers = {(place, word): many for place, word, many in counted.annotate(Count("pk"))}
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for word in (*Tunnel.SaStatus, ""):
        for place in {place for place, seen in numbers if seen == word}:
            label = word.label if word else NOT_THERE
            found[place][label] = numbers[place, word]
    return found


def _dropped(concentrator: Concentrator) -> tuple[tuple[str, int], ...]:
    """Packets by the words of their counter; a counter of another version by its own name."""
    counted: dict[str, int] = dict(concentrator.drop_counters)
    if counted:
        # The kernel's ESP counts by itself, and what charon's drops its watch has heard of.
        by_esp = counted.pop("by_esp", 0) + concentrator.dropped_by_esp
        counted = {**counted, BY_ESP: by_esp}
    return tuple((COUNTERS.get(name, name), packets) for name, packets in counted.items())
