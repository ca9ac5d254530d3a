"""Status page of all concentrators, for service operators."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Prefetch
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from vpnportal import services
from vpnportal.domain.gateway_config.drop_counters import BY_ESP, COUNTERS
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import Concentrator, DriftRepair, Tunnel
from vpnportal.web.responses import HtmxRequest, render_page

# Listed repairs of each concentrator, newest first.
MAX_REPAIRS = 20
# The label of tunnels without an SA status: the concentrator does not hold them.
NOT_APPLIED = "Not applied"


@dataclass(frozen=True, slots=True)
class ConcentratorRow:
    """Status of one concentrator.

    `tunnels` has (SA status label, number of tunnels). `dropped` has (reason, number of packets).
    """

    concentrator: Concentrator
    is_online: bool
    tunnels: tuple[tuple[str, int], ...]
    dropped: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """Return the number of tunnels whose draft is on this concentrator."""
        return sum(count for _, count in self.tunnels)


@require_safe
def concentrators(request: HtmxRequest) -> HttpResponse:
    """Render the status of all concentrators, in a constant number of queries.

    Raises Http404 if the user is no service operator.
    """
    if not request.user.is_staff:
        raise Http404("This page is for service operators.")
    repairs = DriftRepair.objects.select_related("tunnel").order_by("-pk")[:MAX_REPAIRS]
    by_name = Concentrator.objects.order_by("datacenter__name", "name")
    by_name = by_name.select_related("datacenter")
    by_name = by_name.prefetch_related(Prefetch("repairs", repairs, to_attr="newest_repairs"))
    counts = _tunnel_counts()
    rows = [
        ConcentratorRow(
            concentrator=concentrator,
            is_online=concentrator.is_online(),
            tunnels=tuple(counts[concentrator.pk].items()),
            dropped=_dropped_packets(concentrator),
        )
        for concentrator in by_name
    ]
    restore = services.restore_status()
    context = {
        "rows": rows,
        "version": settings.VERSION,
        "restore": restore,
        "held": services.held_tunnels() if restore else [],
    }
    return render_page(request, "concentrators/page.html", context)


def _tunnel_counts() -> dict[int, dict[str, int]]:
    """Return the numbers of tunnels by concentrator id and SA status label."""
    present = Tunnel.objects.present().values_list("concentrator", "sa_status")
    counts = {(pk, status): count for pk, status, count in present.annotate(Count("pk"))}
    by_concentrator: dict[int, dict[str, int]] = defaultdict(dict)
    labels = [*((status.value, status.label) for status in SaStatus), ("", NOT_APPLIED)]
    for status, label in labels:
        for (pk, counted_status), count in counts.items():
            if counted_status == status:
                by_concentrator[pk][label] = count
    return by_concentrator


def _dropped_packets(concentrator: Concentrator) -> tuple[tuple[str, int], ...]:
    """Return (reason, number of dropped packets); the reason of an unknown counter is its name."""
    counters: dict[str, int] = dict(concentrator.drop_counters)
    if counters:
        # The driver reads the drops of the kernel's ESP; the monitor counts those that charon logs.
        by_esp = counters.pop("by_esp", 0) + concentrator.dropped_by_esp
        counters = {**counters, BY_ESP: by_esp}
    # PostgreSQL keeps the keys of a JSON column in an order of its own.
    listed = (*COUNTERS, *sorted(counters.keys() - {*COUNTERS, BY_ESP}), BY_ESP)
    names = [name for name in listed if name in counters]
    return tuple((COUNTERS.get(name, name), counters[name]) for name in names)
