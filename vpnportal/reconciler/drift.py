"""Drift repairs: steps of a converge that no apply and no command asked for."""

from __future__ import annotations

from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator, DriftRepair

# More repairs at once are one event, such as a restart of charon, and become one row.
MAX_ROWS = 20


class DriftLog:
    """A step sink that collects the drift repairs of one converge."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._steps: list[Step] = []

    def accept(self, step: Step) -> bool:
        """Collect a repair. Accepts every step, so it is the last sink of a router."""
        self._steps.append(step)
        return True

    def save(self) -> None:
        """Write the collected repairs: a row for each, or one row that sums up many."""
        steps, self._steps = list(dict.fromkeys(self._steps)), []
        if len(steps) > MAX_ROWS:
            tunnels = {step.connection for step in steps if step.connection}
            text = f"Corrected {len(tunnels)} tunnels in {len(steps)} steps"
            steps = [Step("", text), *(step for step in steps if not step.connection)]
        if steps:
            tunnel_ids = set(self._concentrator.tunnels.values_list("pk", flat=True))
            DriftRepair.objects.bulk_create(self._row(step, tunnel_ids) for step in steps)

    def _row(self, step: Step, tunnel_ids: set[int]) -> DriftRepair:
        number = tunnel_id(step.connection) if step.connection else None
        return DriftRepair(
            concentrator=self._concentrator,
            tunnel_id=number if number in tunnel_ids else None,
            text=step.text,
        )
